"""Counts and rates over live time, in total and over time. Needs numpy only."""

import math

import numpy as np
from numpy.typing import NDArray

from qhal.errors import OutOfRange
from qhal.tags.batch import TagBatch


class RateMeter:
    """Count rates of each channel, in total and over time.

    A rate is a count over live time, so that neither a gap nor a pause lowers it.

    Parameters
    ----------
    bin_s
        Bin width over time, of the tagger's clock.

    Attributes
    ----------
    counts
        Tags by channel.
    missed
        Tags known to be lost.

    Raises
    ------
    OutOfRange
        For a bin width that is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> from qhal.tags import Gap, TagBatch
    >>> times = np.arange(0, 500_000_000_000, 1_000_000_000)
    >>> lost = Gap(500_000_000_000, 1_000_000_000_000)
    >>> meter = RateMeter()
    >>> meter.add(TagBatch(times, np.ones(500, np.uint8), 0, 1_000_000_000_000, gaps=(lost,)))
    >>> meter.rates_hz()
    {1: 1000.0}
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
        """Count the next batch of the stream."""
        self.missed += batch.missed
        rest = batch
        while rest.stop_ps > rest.start_ps:
            index = rest.start_ps // self._bin_ps
            part, rest = rest.split(min((index + 1) * self._bin_ps, rest.stop_ps))
            self._add(part, (batch.epoch, index))

    def rates_hz(self) -> dict[int, float]:
        """Return the rate of each channel that has tags; infinite if all of them are in gaps."""
        live_s = {channel: self._live(channel) for channel in sorted(self.counts)}
        return {c: self.counts[c] / seconds if seconds else math.inf for c, seconds in live_s.items()}

    def over_time(
        self, channel: int, epoch: int = 0, min_live: float = 0.0, bins: int = 1
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return the starts of the bins (s), the rates in them (1/s) and their standard uncertainties.

        Parameters
        ----------
        channel, epoch
            Channel and epoch of the tags.
        min_live
            Live fraction of a bin up to which its rate is NaN.
        bins
            Number of bins to combine into one.
        """
        indices = np.array(sorted(index for each, index in self._bins if each == epoch), np.int64)
        starts, first = np.unique(indices // bins, return_index=True)
        contents = [self._bins[epoch, index] for index in indices.tolist()]
        counts = np.add.reduceat(np.array([counts[channel] for counts, _ in contents], float), first)
        live_s = np.add.reduceat(np.array([live_s[channel] for _, live_s in contents]), first)
        live_s[live_s <= min_live * self.bin_s * bins] = np.nan
        # The variance of a count is better known from its neighbours; a lone 0 is not a certainty.
        begins: NDArray[np.float64] = np.asarray(starts, np.float64) * bins * self.bin_s
        return begins, counts / live_s, np.sqrt(np.maximum(counts, 1)) / live_s

    def _live(self, channel: int) -> float:
        return sum(float(live_s[channel]) for _, live_s in self._bins.values())

    def _add(self, part: TagBatch, key: tuple[int, int]) -> None:
        counts, live_s = self._bins.setdefault(key, (np.zeros(256, np.int64), np.zeros(256)))
        added = np.bincount(part.channels, minlength=256)
        counts += added
        named = {channel for gap in part.gaps for channel in gap.channels}
        common_s = part.select(()).live_time_s() if named else part.live_time_s()
        live_s += [part.live_time_s(channel) if channel in named else common_s for channel in range(256)]
        for channel in np.flatnonzero(added):
            self.counts[int(channel)] = self.counts.get(int(channel), 0) + int(added[channel])
