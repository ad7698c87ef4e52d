"""Exact confidence intervals and standard uncertainties of counts."""

import math
from typing import NamedTuple

from scipy import special

from qhal.errors import OutOfRange

ONE_SIGMA = 0.6826894921370859
"""Confidence of +-1 standard deviation of a normal distribution."""


class Interval(NamedTuple):
    """A two-sided confidence interval ``[low, high]``."""

    low: float
    high: float


def poisson_interval(count: int, confidence: float = ONE_SIGMA) -> Interval:
    """Return the exact central confidence interval of a Poisson mean.

    Parameters
    ----------
    count
        Observed events, at least 0.
    confidence
        Probability that the interval covers the mean, in (0, 1); it covers at least that.

    Raises
    ------
    OutOfRange
        For a negative count, or a confidence outside (0, 1).

    References
    ----------
    F. Garwood, Biometrika 28, 437 (1936).

    Examples
    --------
    >>> low, high = poisson_interval(10, 0.95)
    >>> round(low, 2), round(high, 2)
    (4.8, 18.39)
    """
    _check(count, confidence)
    tail = (1.0 - confidence) / 2
    low = float(special.gammaincinv(count, tail)) if count else 0.0
    return Interval(low, float(special.gammainccinv(count + 1, tail)))


def binomial_interval(successes: int, trials: int, confidence: float = ONE_SIGMA) -> Interval:
    """Return the exact central confidence interval of a probability.

    Parameters
    ----------
    successes, trials
        ``0 <= successes <= trials``, at least one trial.
    confidence
        Probability that the interval covers the probability, in (0, 1); it covers at least that.

    Raises
    ------
    OutOfRange
        For impossible counts, or a confidence outside (0, 1).

    References
    ----------
    C. J. Clopper and E. S. Pearson, Biometrika 26, 404 (1934).

    Examples
    --------
    >>> low, high = binomial_interval(0, 10, 0.95)
    >>> low, round(high, 4)
    (0.0, 0.3085)
    """
    _check_trials(successes, trials)
    _check(successes, confidence)
    tail = (1.0 - confidence) / 2
    failures = trials - successes
    low = float(special.betaincinv(successes, failures + 1, tail)) if successes else 0.0
    high = float(special.betainccinv(successes + 1, failures, tail)) if failures else 1.0
    return Interval(low, high)


def poisson_standard_uncertainty(count: int) -> float:
    """Return the standard uncertainty of a Poisson mean that was estimated from one count.

    The standard deviation of the Jeffreys posterior, ``sqrt(count + 1/2)``: the usual square root for large counts, and
    never zero.

    Parameters
    ----------
    count
        Observed events, at least 0.

    Raises
    ------
    OutOfRange
        For a negative count.

    Examples
    --------
    >>> round(poisson_standard_uncertainty(10_000), 2), round(poisson_standard_uncertainty(0), 3)
    (100.0, 0.707)
    """
    _check(count, ONE_SIGMA)
    return math.sqrt(count + 0.5)


def binomial_standard_uncertainty(successes: int, trials: int) -> float:
    """Return the standard uncertainty of ``successes / trials``.

    The standard deviation of the Jeffreys posterior Beta(successes + 1/2, failures + 1/2): the usual
    ``sqrt(p (1 - p) / n)`` for large counts, and never zero.

    Parameters
    ----------
    successes, trials
        ``0 <= successes <= trials``, at least one trial.

    Raises
    ------
    OutOfRange
        For impossible counts.

    Examples
    --------
    >>> round(binomial_standard_uncertainty(300, 10_000), 5)
    0.00171
    """
    _check_trials(successes, trials)
    a, b = successes + 0.5, trials - successes + 0.5
    return math.sqrt(a * b / ((a + b) ** 2 * (a + b + 1)))


def _check(count: int, confidence: float) -> None:
    if count < 0:
        raise OutOfRange(f"a count of {count} is negative")
    if not 0 < confidence < 1:
        raise OutOfRange(f"a confidence of {confidence} is not between 0 and 1")


def _check_trials(successes: int, trials: int) -> None:
    if trials < 1 or not 0 <= successes <= trials:
        raise OutOfRange(
            f"{successes} successes of {trials} trials: need 0 <= successes <= trials, trials >= 1"
        )
