"""Pairs and tuples of tags: coincidences, cross-correlation, start-stop histograms.

Each takes an endless stream batch by batch and has the same result as on the whole at once. Pairs reach across
batches, not across epochs.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qhal.errors import OutOfRange
from qhal.tags.analysis import correlation_kernels
from qhal.tags.batch import TagBatch

Times = NDArray[np.int64]
Channels = NDArray[np.uint8]
_LONG_AGO = -(1 << 62)
_NOTHING = (np.empty(0, np.int64), np.empty(0, np.uint8))


class _Paired:
    """What keeps the end of the stream, as far as a later tag can find partners in it."""

    def __init__(self, a: int, b: int, low_ps: int, high_ps: int) -> None:
        _check_channels(a, b)
        if low_ps > high_ps:
            raise OutOfRange(f"lags from {low_ps} to {high_ps} ps: the first must not be larger")
        self.channels = (a, b)
        self.low_ps, self.high_ps = low_ps, high_ps
        self.live_time_s = 0.0
        self.counts = {a: 0, b: 0}
        self._roles = np.zeros(256, np.uint8)
        self._roles[a] |= 1
        self._roles[b] |= 2
        self._epoch: int | None = None
        self._before = _NOTHING

    def add(self, batch: TagBatch) -> None:
        """Take the next batch of the stream."""
        if batch.epoch != self._epoch:
            self._before, self._epoch = _NOTHING, batch.epoch
        self._take(batch.times_ps, batch.channels)
        self._before = _end(self._before, batch, batch.stop_ps - max(self.high_ps, -self.low_ps))
        counts = np.zeros(256, np.int64)
        correlation_kernels.count_channels(batch.channels, counts)
        for channel in self.counts:
            self.counts[channel] += int(counts[channel])
        self.live_time_s += min(batch.live_time_s(channel) for channel in self.channels)

    def _take(self, times: Times, channels: Channels) -> None:
        raise NotImplementedError

    @property
    def accidentals_per_ps(self) -> float:
        """Pairs per picosecond of lag that unrelated tags at these rates would give."""
        if self.live_time_s == 0:
            return 0.0
        a, b = self.channels
        return self.counts[a] * self.counts[b] / (self.live_time_s * 1e12)


class PairCounter(_Paired):
    """Count the pairs of tags of channels ``a`` and ``b`` whose lag ``b - a`` is from ``low_ps`` to ``high_ps``.

    Exact: every pair counts, also when one tag has several partners. Raises OutOfRange for an empty range.
    """

    def __init__(self, a: int, b: int, low_ps: int, high_ps: int) -> None:
        super().__init__(a, b, low_ps, high_ps)
        self.pairs = 0

    @property
    def accidentals(self) -> float:
        """Pairs that unrelated tags at these rates would give."""
        return self.accidentals_per_ps * (self.high_ps - self.low_ps + 1)

    def _take(self, times: Times, channels: Channels) -> None:
        self.pairs += int(
            correlation_kernels.count_pairs(
                times, channels, *self._before, self._roles, self.low_ps, self.high_ps
            )
        )


class CrossCorrelation(_Paired):
    """Histogram the lags ``b - a`` of all pairs, in ``bins`` bins of ``bin_ps`` from ``low_ps`` on.

    With ``a == b`` it is the autocorrelation, without pairs of a tag with itself. Raises OutOfRange.
    """

    def __init__(self, a: int, b: int, bin_ps: int, bins: int, low_ps: int | None = None) -> None:
        if bin_ps < 1 or bins < 1:
            raise OutOfRange(f"{bins} bins of {bin_ps} ps: there must be one of 1 ps at least")
        first = -(bins // 2) * bin_ps if low_ps is None else low_ps
        super().__init__(a, b, first, first + bins * bin_ps - 1)
        self.bin_ps = bin_ps
        self.histogram = np.zeros(bins, np.int64)

    @property
    def lags_ps(self) -> NDArray[np.float64]:
        """The middle of each bin (lags are whole picoseconds)."""
        middles = np.arange(len(self.histogram), dtype=np.float64) * self.bin_ps + (self.bin_ps - 1) / 2
        return middles + self.low_ps

    def g2(self) -> NDArray[np.float64]:
        """Return the histogram over what unrelated tags at these rates would give. Raises OutOfRange without tags."""
        if self.accidentals_per_ps == 0:
            raise OutOfRange(f"channels {self.channels}: no tags to relate")
        return self.histogram / (self.accidentals_per_ps * self.bin_ps)

    def _take(self, times: Times, channels: Channels) -> None:
        correlation_kernels.histogram_pairs(
            times, channels, *self._before, self._roles, self.low_ps, self.bin_ps, self.histogram
        )


class TupleCounter:
    """Count n-fold coincidences: tuples of one tag of each channel, whose lags to the first channel are in range.

    A tag of the first channel with p and q partners in two others makes p * q tuples. ``tuples`` holds those whose
    last possible partner is known to have come; :meth:`finish` counts the others. Raises OutOfRange.
    """

    def __init__(self, channels: Sequence[int], low_ps: int, high_ps: int) -> None:
        _check_channels(*channels)
        if len(set(channels)) != len(channels) or len(channels) < 2:
            raise OutOfRange(f"channels {tuple(channels)}: give two or more different ones")
        if not low_ps <= 0 <= high_ps:
            raise OutOfRange(f"lags from {low_ps} to {high_ps} ps: 0 must be among them")
        self.channels = tuple(channels)
        self.tuples = 0
        self._low, self._high = low_ps, high_ps
        self._roles = np.zeros(256, np.uint8)
        self._roles[list(channels)] = np.arange(1, len(channels) + 1)
        self._epoch: int | None = None
        self._before, self._waiting = _NOTHING, 0

    def add(self, batch: TagBatch) -> None:
        """Take the next batch of the stream."""
        if batch.epoch != self._epoch:
            self.finish()
            self._before, self._waiting, self._epoch = _NOTHING, 0, batch.epoch
        self._take(batch.times_ps, batch.channels, batch.stop_ps)

    def finish(self) -> int:
        """Count what waits for partners, and return all tuples."""
        self._take(*_NOTHING, 1 << 62)
        return self.tuples

    def _take(self, times: Times, channels: Channels, stop_ps: int) -> None:
        times = np.concatenate((self._before[0], times))
        channels = np.concatenate((self._before[1], channels))
        tuples, waiting = correlation_kernels.count_tuples(
            times, channels, self._roles, self._low, self._high, self._waiting, stop_ps
        )
        self.tuples += int(tuples)
        oldest = min(int(times[waiting]) if waiting < len(times) else stop_ps, stop_ps) + self._low
        kept = int(np.searchsorted(times, oldest))
        self._before = (times[kept:], channels[kept:])
        self._waiting = int(waiting) - kept


class StartStop:
    """Histogram the time from the last tag of ``start`` to each tag of the stop channels; one row for each.

    A stop at the time of a start that comes before it in the stream falls into the first bin. Raises OutOfRange.
    """

    def __init__(self, start: int, stops: Sequence[int], bin_ps: int, bins: int) -> None:
        _check_channels(start, *stops)
        if bin_ps < 1 or bins < 1:
            raise OutOfRange(f"{bins} bins of {bin_ps} ps: there must be one of 1 ps at least")
        if start in stops or len(set(stops)) != len(stops) or not stops:
            raise OutOfRange(f"start {start}, stops {tuple(stops)}: give different channels")
        self.bin_ps = bin_ps
        self.histogram = np.zeros((len(stops), bins), np.int64)
        self._roles = np.zeros(256, np.uint8)
        self._roles[start] = 1
        self._roles[list(stops)] = np.arange(2, len(stops) + 2)
        self._epoch: int | None = None
        self._last = _LONG_AGO

    def add(self, batch: TagBatch) -> None:
        """Take the next batch of the stream."""
        if batch.epoch != self._epoch:
            self._last, self._epoch = _LONG_AGO, batch.epoch
        self._last = int(
            correlation_kernels.start_stop(
                batch.times_ps, batch.channels, self._roles, self._last, self.bin_ps, self.histogram
            )
        )


def _check_channels(*channels: int) -> None:
    for channel in channels:
        if not 0 <= channel <= 255:
            raise OutOfRange(f"channel {channel}: there are 0..255")


def _end(before: tuple[Times, Channels], batch: TagBatch, from_ps: int) -> tuple[Times, Channels]:
    """Return the tags from ``from_ps`` on."""
    kept = int(np.searchsorted(batch.times_ps, from_ps))
    times, channels = batch.times_ps[kept:].copy(), batch.channels[kept:].copy()
    if kept:
        return times, channels
    older = int(np.searchsorted(before[0], from_ps))
    return np.concatenate((before[0][older:], times)), np.concatenate((before[1][older:], channels))
