"""Pairs and tuples of tags: coincidences, cross-correlation, start-stop histograms.

Each counts an endless stream batch by batch; the result does not depend on how the stream is cut. Pairs span batches,
not epochs.
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
    """Base of the counters of pairs: stores the end of the stream, in which later tags may have partners."""

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
        """Count the next batch of the stream."""
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
        """Pairs per picosecond of lag of independent tags at these rates."""
        if self.live_time_s == 0:
            return 0.0
        a, b = self.channels
        return self.counts[a] * self.counts[b] / (self.live_time_s * 1e12)


class PairCounter(_Paired):
    """Coincidences of two channels within a range of lags.

    Exact: every pair counts, also if one tag has several partners.

    Parameters
    ----------
    a, b
        Channels; the lag is the time of b minus that of a.
    low_ps, high_ps
        Range of the lag, both ends included.

    Attributes
    ----------
    pairs
        Number of pairs.
    counts
        Tags by channel.
    live_time_s
        Time in which both channels were recorded.

    Raises
    ------
    OutOfRange
        For an empty range.

    Examples
    --------
    >>> import numpy as np
    >>> from qhal.tags import TagBatch
    >>> counter = PairCounter(1, 2, -100, 100)
    >>> counter.add(TagBatch(np.array([0, 50, 5000]), np.array([1, 2, 1], np.uint8), 0, 10_000))
    >>> counter.pairs
    1
    """

    def __init__(self, a: int, b: int, low_ps: int, high_ps: int) -> None:
        super().__init__(a, b, low_ps, high_ps)
        self.pairs = 0

    @property
    def accidentals(self) -> float:
        """Pairs of independent tags at these rates."""
        return self.accidentals_per_ps * (self.high_ps - self.low_ps + 1)

    def _take(self, times: Times, channels: Channels) -> None:
        self.pairs += int(
            correlation_kernels.count_pairs(
                times, channels, *self._before, self._roles, self.low_ps, self.high_ps
            )
        )


class CrossCorrelation(_Paired):
    """Histogram of the lags between two channels.

    Parameters
    ----------
    a, b
        Channels; the lag is the time of b minus that of a. With ``a == b`` it is the autocorrelation, without the pairs
        of a tag with itself.
    bin_ps, bins
        Width and number of bins.
    low_ps
        Start of the first bin; by default the bins are centred on 0.

    Attributes
    ----------
    histogram
        Pairs in each bin.
    counts, live_time_s
        As of :class:`PairCounter`.

    Raises
    ------
    OutOfRange
        For fewer than one bin of 1 ps.

    Examples
    --------
    >>> import numpy as np
    >>> from qhal.tags import TagBatch
    >>> correlation = CrossCorrelation(1, 2, bin_ps=100, bins=4)
    >>> correlation.add(TagBatch(np.array([0, 150, 5000]), np.array([1, 2, 1], np.uint8), 0, 10_000))
    >>> correlation.histogram.tolist()
    [0, 0, 0, 1]
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
        """Centre of each bin (lags are whole picoseconds)."""
        middles = np.arange(len(self.histogram), dtype=np.float64) * self.bin_ps + (self.bin_ps - 1) / 2
        return middles + self.low_ps

    def g2(self) -> NDArray[np.float64]:
        """Return the histogram relative to that of independent tags at these rates. Raises OutOfRange without tags."""
        if self.accidentals_per_ps == 0:
            raise OutOfRange(f"channels {self.channels}: no tags to relate")
        return self.histogram / (self.accidentals_per_ps * self.bin_ps)

    def _take(self, times: Times, channels: Channels) -> None:
        correlation_kernels.histogram_pairs(
            times, channels, *self._before, self._roles, self.low_ps, self.bin_ps, self.histogram
        )


class TupleCounter:
    """N-fold coincidences: tuples of one tag of each channel, with lags to the first channel in a range.

    A tag of the first channel with p and q partners in two others makes p * q tuples.

    Parameters
    ----------
    channels
        Two or more channels; lags are relative to the first.
    low_ps, high_ps
        Range of the lags, both ends included, with 0 in it.

    Attributes
    ----------
    tuples
        Tuples whose last possible partner has come; :meth:`finish` adds the others.

    Raises
    ------
    OutOfRange
        For equal channels, or a range without 0.

    Examples
    --------
    >>> import numpy as np
    >>> from qhal.tags import TagBatch
    >>> counter = TupleCounter((1, 2, 3), -100, 100)
    >>> counter.add(TagBatch(np.array([0, 10, 20, 30]), np.array([1, 2, 3, 3], np.uint8), 0, 10_000))
    >>> counter.finish()
    2
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
        """Count the next batch of the stream."""
        if batch.epoch != self._epoch:
            self.finish()
            self._before, self._waiting, self._epoch = _NOTHING, 0, batch.epoch
        self._take(batch.times_ps, batch.channels, batch.stop_ps)

    def finish(self) -> int:
        """Count the tags that wait for partners, and return the number of all tuples."""
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
    """Histogram of the time from the last start to each stop.

    A stop at the time of a start that precedes it in the stream is in the first bin.

    Parameters
    ----------
    start
        Channel of the starts.
    stops
        Channels of the stops.
    bin_ps, bins
        Width and number of bins.

    Attributes
    ----------
    histogram
        Stops in each bin, one row per stop channel.

    Raises
    ------
    OutOfRange
        For equal channels, or fewer than one bin of 1 ps.

    Examples
    --------
    >>> import numpy as np
    >>> from qhal.tags import TagBatch
    >>> times = StartStop(1, [2], bin_ps=100, bins=3)
    >>> times.add(TagBatch(np.array([0, 150, 260]), np.array([1, 2, 2], np.uint8), 0, 10_000))
    >>> times.histogram.tolist()
    [[0, 1, 1]]
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
        """Count the next batch of the stream."""
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
