"""Gains, error rates and click matrices with their uncertainties."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray
from uncertainties import UFloat

from qhal.errors import OutOfRange
from qhal.link.finite_key import BlockCounts
from qhal.link.intensities import Intensities
from qhal.link.link_errors import NotEnoughCounts
from qhal.link.pattern import Intensity
from qhal.link.statistics import ONE_SIGMA, Interval, binomial_interval, binomial_standard_uncertainty
from qhal.records.uncertain import statistical


class _Proportion:
    """A probability that was estimated from counts: ``_successes`` of ``_trials``."""

    @property
    def _successes(self) -> int:
        raise NotImplementedError

    @property
    def _trials(self) -> int:
        raise NotImplementedError

    @property
    def value(self) -> float:
        """The probability, 0 to 1."""
        return self._successes / self._trials

    @property
    def standard_uncertainty(self) -> float:
        """Binomial standard uncertainty of the value, never zero."""
        return binomial_standard_uncertainty(self._successes, self._trials)

    def interval(self, confidence: float = ONE_SIGMA) -> Interval:
        """Return the exact (Clopper-Pearson) confidence interval of the probability."""
        return binomial_interval(self._successes, self._trials, confidence)

    def number(self, name: str = "counts") -> UFloat:
        """Return the value for computations, with one statistical error of this name; a new one at each call."""
        return statistical(name, self.value, self.standard_uncertainty)


@dataclass(frozen=True)
class GainEstimate(_Proportion):
    """Gain of one intensity: the probability of at least one click in the window of a live symbol.

    Attributes
    ----------
    live
        Symbols at whose start all detectors could click.
    clicked
        Those of them with a click in the window.

    Examples
    --------
    >>> f"{GainEstimate(live=1_000_000, clicked=29_280).number():.2u}"
    '0.02928+/-0.00017'
    """

    live: int
    clicked: int

    @property
    def _successes(self) -> int:
        return self.clicked

    @property
    def _trials(self) -> int:
        return self.live


@dataclass(frozen=True)
class QberEstimate(_Proportion):
    """Quantum bit error rate of one intensity.

    Attributes
    ----------
    sifted
        Sifted bits.
    errors
        Those of them that are wrong.
    """

    sifted: int
    errors: int

    @property
    def _successes(self) -> int:
        return self.errors

    @property
    def _trials(self) -> int:
        return self.sifted


@dataclass(frozen=True, eq=False)
class ClickMatrix:
    """Clicks in the window, by state of the sender and detector.

    Attributes
    ----------
    counts
        int64 (4, 4): state of the sender (row), detector (column), both numbered ``2 * basis + bit``. All clicks of a
        symbol count.
    """

    counts: NDArray[np.int64]

    @property
    def standard_uncertainties(self) -> NDArray[np.float64]:
        """Poisson standard uncertainty of each count, ``sqrt(count + 1/2)``, never zero."""
        uncertainties: NDArray[np.float64] = np.sqrt(self.counts + 0.5)
        return uncertainties

    @property
    def qber(self) -> QberEstimate:
        """Error rate of the clicks in the sender's basis, both bases together.

        Raises NotEnoughCounts without a click in the sender's basis.
        """
        right = int(np.trace(self.counts))
        wrong = sum(int(self.counts[state, state ^ 1]) for state in range(4))
        if right + wrong == 0:
            raise NotEnoughCounts("no click in the sender's basis")
        return QberEstimate(right + wrong, wrong)

    def balanced_error_rate(self, weights: ArrayLike) -> UFloat:
        """Return the error rate of detectors of equal efficiency and bases of equal probability.

        Parameters
        ----------
        weights
            Of the four detectors (:class:`~qhal.link.receiver.ReceiverModel`); only their ratios matter. A click counts
            one over the weight of its detector.

        Returns
        -------
        UFloat
            With the statistical error of the clicks.

        Raises
        ------
        OutOfRange
            If the weights are not 4 positive numbers.
        NotEnoughCounts
            Without a click in the sender's basis.
        """
        each = np.asarray(weights, np.float64)
        if each.shape != (4,) or not np.all(each > 0) or not np.isfinite(each).all():
            raise OutOfRange(f"weights {each.tolist()} are not 4 positive numbers")
        own = np.arange(4)
        right, wrong = np.diag(self.counts) / each, self.counts[own, own ^ 1] / each[own ^ 1]
        total = float(right.sum() + wrong.sum())
        if total == 0:
            raise NotEnoughCounts("no click in the sender's basis")
        rate = float(wrong.sum()) / total
        # Half a click more of each: no click is not certainty.
        variance = np.sum((np.diag(self.counts) + 0.5) * (rate / each) ** 2)
        variance += np.sum((self.counts[own, own ^ 1] + 0.5) * ((1 - rate) / each[own ^ 1]) ** 2)
        return statistical("clicks", rate, float(np.sqrt(variance)) / total)


@dataclass(frozen=True, eq=False)
class SiftedCounts:
    """Counts of a :class:`~qhal.link.sifting.Sifter`, int64 arrays by intensity (signal, decoy, vacuum).

    Counts of disjoint spans can be added, and an earlier snapshot subtracted.

    Attributes
    ----------
    live
        Symbols at whose start all four detectors could click; all else is of these.
    clicked
        Symbols with a click in the window.
    sifted_by_basis, errors_by_basis
        Bits in the sender's basis, and the wrong ones, (3, 2) by intensity and basis.
    cross_basis
        Symbols with clicks in both bases, dropped from sifting.
    same_basis
        Symbols with two clicks in one basis, a random bit.
    clicks
        Clicks, (3, 4, 4) by intensity, state and detector.
    """

    live: NDArray[np.int64]
    clicked: NDArray[np.int64]
    sifted_by_basis: NDArray[np.int64]
    errors_by_basis: NDArray[np.int64]
    cross_basis: NDArray[np.int64]
    same_basis: NDArray[np.int64]
    clicks: NDArray[np.int64]

    def __add__(self, other: "SiftedCounts") -> "SiftedCounts":
        return SiftedCounts(
            **{each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(self)}
        )

    def __sub__(self, other: "SiftedCounts") -> "SiftedCounts":
        return SiftedCounts(
            **{each.name: getattr(self, each.name) - getattr(other, each.name) for each in fields(self)}
        )

    @property
    def sifted(self) -> NDArray[np.int64]:
        """Sifted bits by intensity, both bases together."""
        total: NDArray[np.int64] = self.sifted_by_basis.sum(axis=1)
        return total

    @property
    def errors(self) -> NDArray[np.int64]:
        """Wrong bits by intensity, both bases together."""
        total: NDArray[np.int64] = self.errors_by_basis.sum(axis=1)
        return total

    def block(self, key_basis: int) -> BlockCounts:
        """Return the counts as a block with its key from one basis, its test from the other. Raises OutOfRange."""
        if key_basis not in (0, 1):
            raise OutOfRange(f"basis {key_basis}: there are 0 and 1")
        columns = (
            tuple(map(float, table[:, basis]))
            for basis in (key_basis, 1 - key_basis)
            for table in (self.sifted_by_basis, self.errors_by_basis)
        )
        return BlockCounts(*columns)

    def gain(self, intensity: int) -> GainEstimate:
        """Return the gain of an intensity. Raises NotEnoughCounts without a live symbol."""
        if not self.live[intensity]:
            raise NotEnoughCounts(f"intensity {intensity} has no live symbol")
        return GainEstimate(int(self.live[intensity]), int(self.clicked[intensity]))

    def qber(self, intensity: int) -> QberEstimate:
        """Return the error rate of an intensity. Raises NotEnoughCounts without a sifted bit."""
        if not self.sifted[intensity]:
            raise NotEnoughCounts(f"intensity {intensity} has no sifted bit")
        return QberEstimate(int(self.sifted[intensity]), int(self.errors[intensity]))

    def gains(self) -> Intensities[UFloat]:
        """Return the gains of all intensities. Raises NotEnoughCounts if one has no live symbol."""
        return Intensities(*(self.gain(each).number(f"clicks, {each.name.lower()}") for each in Intensity))

    def error_rates(self) -> Intensities[UFloat]:
        """Return the error rates of all intensities. Raises NotEnoughCounts if one has no sifted bit."""
        return Intensities(*(self.qber(each).number(f"errors, {each.name.lower()}") for each in Intensity))

    def click_matrix(self, intensity: int | None = None) -> ClickMatrix:
        """Return the click matrix of one intensity, or of all."""
        return ClickMatrix(self.clicks.sum(axis=0) if intensity is None else self.clicks[intensity].copy())
