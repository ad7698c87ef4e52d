"""Acquisition: the position of the sender's pattern in a block of tags."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from qhal.link.link_errors import SynchronisationFailed
from qhal.link.pattern import SymbolPattern

MINIMUM_SIGNIFICANCE = 8.0
"""Minimum correlation peak in standard deviations; chance gives 4.5 among 65,536 shifts."""
MINIMUM_TAGS = 20


@dataclass(frozen=True)
class Acquisition:
    """Position in the pattern at a time.

    Attributes
    ----------
    time_ps
        The time.
    symbol, fraction
        Position ``symbol + fraction`` in symbols, fraction in [0, 1); pulses arrive at whole numbers.
    fraction_sigma
        Standard uncertainty of the fraction.
    significance
        Height of the correlation peak, in standard deviations of chance.
    """

    time_ps: int
    symbol: int
    fraction: float
    fraction_sigma: float
    significance: float


class PatternFinder:
    """Correlates blocks of tags with one pattern; independent of the polarization.

    The phase within a symbol is the circular mean of the tags; the symbol is the peak of the cyclic
    cross-correlation of symbol counts with the mean photon numbers over the whole pattern.
    """

    def __init__(self, pattern: SymbolPattern, minimum_significance: float = MINIMUM_SIGNIFICANCE) -> None:
        self._pattern = pattern
        self._minimum = minimum_significance
        self._spectrum = np.conj(fft.rfft(pattern.template))

    def find(
        self, times_ps: NDArray[np.int64], start_ps: int, stop_ps: int, rate: float | None = None
    ) -> Acquisition:
        """Return the position of the pattern at the middle of ``[start_ps, stop_ps)``.

        Parameters
        ----------
        times_ps
            Times of the tags, corrected for skew.
        start_ps, stop_ps
            The block.
        rate
            Symbols per picosecond of the tagger, nominal by default; an error that shifts the phase by half a symbol
            within the block hides the pattern.

        Raises
        ------
        SynchronisationFailed
            If there are too few tags, or the peak is not significant.
        """
        pattern, count = self._pattern, len(times_ps)
        if count < MINIMUM_TAGS:
            span_ms = (stop_ps - start_ps) * 1e-9
            raise SynchronisationFailed(f"{count} tags in {span_ms:.3f} ms, {MINIMUM_TAGS} needed")
        rate = 1 / pattern.period_ps if rate is None else rate
        middle = (start_ps + stop_ps) // 2
        position = (times_ps - middle) * rate
        phasor = np.exp(2j * np.pi * position).sum()
        fraction = float(np.angle(phasor) / (2 * np.pi))
        symbols = np.floor(position - fraction + 0.5).astype(np.int64)
        counts = np.bincount(symbols % len(pattern), minlength=len(pattern))
        correlation = fft.irfft(fft.rfft(counts) * self._spectrum, len(pattern))
        shift = int(np.argmax(correlation))
        # The template has mean 0 and variance 1, so chance gives a sum of variance ``count``.
        significance = float(correlation[shift] / np.sqrt(count))
        if significance < self._minimum:
            raise SynchronisationFailed(
                f"correlation peak of {significance:.1f} sigma at symbol {shift}, {self._minimum} needed;"
                f" {count} tags in {(stop_ps - start_ps) * 1e-9:.3f} ms,"
                f" contrast of the pulses {abs(phasor) / count:.2f}"
            )
        # Tags of pattern symbol s were counted at s + shift, and u(middle) = -fraction there.
        whole = -shift - fraction
        symbol = int(np.floor(whole))
        return Acquisition(
            time_ps=middle,
            symbol=symbol % len(pattern),
            fraction=whole - symbol,
            fraction_sigma=phase_sigma(abs(phasor), count),
            significance=significance,
        )


def phase_sigma(resultant: float, count: int) -> float:
    """Return the standard uncertainty, in periods, of the direction of a sum of unit phasors.

    ``sqrt((1 - r^4) / 2 n) / r`` with ``r = resultant / n``, of a wrapped normal distribution. Its lower bound is that
    of pulses 0.001 period wide, so that a few coinciding tags do not count as certain.

    Parameters
    ----------
    resultant
        Length of the sum.
    count
        Number n of phasors.

    References
    ----------
    K. V. Mardia and P. E. Jupp, Directional Statistics, Wiley (2000).

    Examples
    --------
    >>> round(phase_sigma(90.0, 100), 4)
    0.0073
    """
    mean = resultant / count
    return float(np.sqrt(max((1 - mean**4) / 2, (2 * np.pi * 1e-3) ** 2) / count) / mean / (2 * np.pi))
