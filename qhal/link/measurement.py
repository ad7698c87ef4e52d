"""Measure a link with a known pattern: from the batches of a tagger to counts, error rate over time and pulse shape."""

from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qhal.link.estimates import SiftedCounts
from qhal.link.link_errors import NotEnoughCounts
from qhal.link.pattern import SymbolPattern
from qhal.link.sifting import Sifter
from qhal.link.skew import Receiver
from qhal.link.symbol_tags import SymbolTags
from qhal.link.sync import SymbolClock
from qhal.tags.batch import TagBatch


@dataclass(frozen=True, eq=False, kw_only=True)
class PatternCounts:
    """Counts of a pattern over a span of the tagger's time.

    Attributes
    ----------
    counts
        Symbols, clicks and errors by intensity.
    rates_hz
        Tags per second of live time, by input of the tagger.
    qber_over_time
        One row per batch: seconds since the start, QBER of all intensities, its standard uncertainty.
    phase_histogram
        Tags by time within the symbol, in bins of ``phase_bin_ps``; the middle bin begins at the pulse.
    phase_bin_ps
        Width of these bins.
    """

    counts: SiftedCounts
    rates_hz: dict[int, float]
    qber_over_time: NDArray[np.float64]
    phase_histogram: NDArray[np.int64]
    phase_bin_ps: int


class PatternCounter:
    """Counts a pattern in a stream of batches.

    Parameters
    ----------
    pattern
        Pattern of the sender.
    receiver
        Tagger inputs and skews of the detectors.
    window_ps
        Detection window, centred on the pulse.
    dead_time_ps
        Dead time of a detector after a click: symbols within it count as not live.
    phase_bin_ps
        Bin width of the histogram over the symbol.
    """

    def __init__(
        self,
        pattern: SymbolPattern,
        receiver: Receiver,
        *,
        window_ps: float = 3000.0,
        dead_time_ps: float,
        phase_bin_ps: int = 100,
    ) -> None:
        self._clock = SymbolClock(pattern, receiver, window_ps=window_ps)
        self._sifter = Sifter(pattern, dead_time_ps)
        self._inputs = receiver.channels
        self._phase_bin_ps = phase_bin_ps
        self._histogram = np.zeros(round(pattern.period_ps / phase_bin_ps), np.int64)
        self._tags = np.zeros(256, np.int64)
        self._live_s = self._covered_s = 0.0
        self._before = self._sifter.counts()
        self._qber_over_time: list[tuple[float, float, float]] = []

    def push(self, batch: TagBatch) -> None:
        """Count the next batch. Raises SynchronisationFailed when the pattern cannot be found or is lost."""
        self._count(self._clock.push(batch))
        self._tags += np.bincount(batch.channels, minlength=256)
        self._live_s += batch.live_time_s()
        self._covered_s += (batch.stop_ps - batch.start_ps) * 1e-12
        counts = self._sifter.counts()
        added, self._before = counts - self._before, counts
        with suppress(NotEnoughCounts):  # in a batch without a click in the sender's basis
            qber = added.click_matrix().qber
            self._qber_over_time.append((self._covered_s, qber.value, qber.standard_uncertainty))

    def finish(self) -> PatternCounts:
        """Count the tags that wait for a later batch, and return the result."""
        self._count(self._clock.finish())
        return PatternCounts(
            counts=self._sifter.counts(),
            rates_hz={channel: float(self._tags[channel]) / self._live_s for channel in self._inputs},
            qber_over_time=np.array(self._qber_over_time),
            phase_histogram=self._histogram,
            phase_bin_ps=self._phase_bin_ps,
        )

    def _count(self, parts: list[SymbolTags]) -> None:
        self._sifter.push(parts)
        bins = len(self._histogram)
        for part in parts:
            phase = np.floor(part.offsets_ps / self._phase_bin_ps).astype(np.int64) + bins // 2
            self._histogram += np.bincount(phase % bins, minlength=bins)


@dataclass(frozen=True, slots=True)
class NoiseRate:
    """Count rate of the detectors without light of the sender, corrected for dead time.

    ``rate_hz`` is the sum of all detectors, from ``start_s`` to ``stop_s`` of device time.
    """

    start_s: float
    stop_s: float
    rate_hz: float
    standard_uncertainty_hz: float


def corrected_rate_hz(
    counts: NDArray[np.int64], live_s: float, dead_time_s: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the count rate of each detector corrected for its dead time, and its standard uncertainty.

    Non-paralysable dead time: ``r = n / (t - n tau)``; the uncertainty is Poisson's, and that of one count for none.

    Parameters
    ----------
    counts
        Counts of each detector.
    live_s
        Time in which they were counted.
    dead_time_s
        Dead time after each count.

    Examples
    --------
    >>> rates_hz, uncertainties_hz = corrected_rate_hz(np.array([0, 1_000_000]), 10.0, 1e-7)
    >>> rates_hz.round(1).tolist()
    [0.0, 101010.1]
    """
    counting_s = live_s - counts * dead_time_s
    rates = counts / counting_s
    return rates, np.sqrt(np.maximum(counts, 1)) / counting_s * (1 + rates * dead_time_s)
