"""Counts and rates over live time, in total and over time. Needs numpy only."""

import math

import numpy as np
from numpy.typing import NDArray

from qhal.errors import OutOfRange
from qhal.tags.batch import TagBatch


class RateMeter:
    """Count the tags of each channel, and of each bin of ``bin_s`` of the tagger's time.

    Rates are counts over live time, so neither a gap nor a pause lowers them. Raises OutOfRange.
    """

    def __init__(self, bin_s: float = 1.0) -> None:
        if bin_s <= 0:
            raise OutOfRange(f"bins of {bin_s} s: give a positive time")
        self.bin_s = bin_s
        self.counts: dict[int, int] = {}
        self.missed = 0
        self._bin_ps = round(bin_s * 1e12)
        self._bins: dict[tuple[int, int], tuple[NDArray[np.int64], NDArray[np.float64]]] = {}

    def add(self, batch: TagBatch) -> None:
        """Take the next batch of the stream."""
        self.missed += batch.missed
        rest = batch
        while rest.stop_ps > rest.start_ps:
            place = rest.start_ps // self._bin_ps
            part, rest = rest.split(min((place + 1) * self._bin_ps, rest.stop_ps))
            self._add(part, (batch.epoch, place))

    def rates_hz(self) -> dict[int, float]:
        """Return the rate of each channel that has tags (inf when all of them came in gaps)."""
        live_s = {channel: self._live(channel) for channel in sorted(self.counts)}
        return {c: self.counts[c] / seconds if seconds else math.inf for c, seconds in live_s.items()}

    def over_time(
        self, channel: int, epoch: int = 0, least_live: float = 0.0, bins: int = 1
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return the beginnings of the bins (s), the rates in them (1/s) and their standard uncertainties.

        So many ``bins`` are taken together. One that was live for no more than the share ``least_live`` of it has no
        rate (nan).
        """
        places = np.array(sorted(place for each, place in self._bins if each == epoch), np.int64)
        starts, first = np.unique(places // bins, return_index=True)
        found = [self._bins[epoch, place] for place in places.tolist()]
        counts = np.add.reduceat(np.array([counts[channel] for counts, _ in found], float), first)
        live_s = np.add.reduceat(np.array([live_s[channel] for _, live_s in found]), first)
        live_s[live_s <= least_live * self.bin_s * bins] = np.nan
        # The variance of a count is better known from its neighbours; a lone 0 is no certainty.
        begins: NDArray[np.float64] = np.asarray(starts, np.float64) * bins * self.bin_s
        return begins, counts / live_s, np.sqrt(np.maximum(counts, 1)) / live_s

    def _live(self, channel: int) -> float:
        return sum(float(live_s[channel]) for _, live_s in self._bins.values())

    def _add(self, part: TagBatch, key: tuple[int, int]) -> None:
        counts, live_s = self._bins.setdefault(key, (np.zeros(256, np.int64), np.zeros(256)))
        found = np.bincount(part.channels, minlength=256)
        counts += found
        named = {channel for gap in part.gaps for channel in gap.channels}
        common_s = part.select(()).live_time_s() if named else part.live_time_s()
        live_s += [part.live_time_s(channel) if channel in named else common_s for channel in range(256)]
        for channel in np.flatnonzero(found):
            self.counts[int(channel)] = self.counts.get(int(channel), 0) + int(found[channel])
