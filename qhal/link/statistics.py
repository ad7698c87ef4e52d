"""Exact confidence intervals and standard uncertainties of counts."""

import math
from typing import NamedTuple

from scipy import special

from qhal.errors import OutOfRange

ONE_SIGMA = 0.6826894921370859


class Interval(NamedTuple):
    """A two-sided confidence interval ``[low, high]``."""

    low: float
    high: float


def poisson_interval(count: int, confidence: float = ONE_SIGMA) -> Interval:
    """Return the exact central interval of a Poisson mean (Garwood 1936).

    ``count`` >= 0, ``confidence`` in (0, 1). Raises OutOfRange otherwise.
    """
    _check(count, confidence)
    tail = (1.0 - confidence) / 2
    low = float(special.gammaincinv(count, tail)) if count else 0.0
    return Interval(low, float(special.gammainccinv(count + 1, tail)))


def binomial_interval(successes: int, trials: int, confidence: float = ONE_SIGMA) -> Interval:
    """Return the exact central interval of a probability (Clopper and Pearson 1934).

    ``0 <= successes <= trials``, ``trials`` >= 1, ``confidence`` in (0, 1). Raises OutOfRange otherwise.
    """
    _check(successes, confidence)
    if trials < 1 or successes > trials:
        raise OutOfRange(
            f"{successes} successes of {trials} trials: need 0 <= successes <= trials, trials >= 1"
        )
    tail = (1.0 - confidence) / 2
    failures = trials - successes
    low = float(special.betaincinv(successes, failures + 1, tail)) if successes else 0.0
    high = float(special.betainccinv(successes + 1, failures, tail)) if failures else 1.0
    return Interval(low, high)


def poisson_standard_uncertainty(count: int) -> float:
    """Return the standard uncertainty of a Poisson mean, estimated from one count.

    It is the standard deviation of the Jeffreys posterior, ``sqrt(count + 1/2)``: the usual square
    root for large counts, and never zero.
    """
    _check(count, ONE_SIGMA)
    return math.sqrt(count + 0.5)


def binomial_standard_uncertainty(successes: int, trials: int) -> float:
    """Return the standard uncertainty of ``successes / trials``.

    It is the standard deviation of the Jeffreys posterior Beta(successes + 1/2, failures + 1/2): the
    usual ``sqrt(p (1 - p) / n)`` for large counts, and never zero. Raises OutOfRange for impossible counts.
    """
    _check(successes, ONE_SIGMA)
    if trials < 1 or successes > trials:
        raise OutOfRange(
            f"{successes} successes of {trials} trials: need 0 <= successes <= trials, trials >= 1"
        )
    a, b = successes + 0.5, trials - successes + 0.5
    return math.sqrt(a * b / ((a + b) ** 2 * (a + b + 1)))


def _check(count: int, confidence: float) -> None:
    if count < 0:
        raise OutOfRange(f"a count of {count} is negative")
    if not 0 < confidence < 1:
        raise OutOfRange(f"a confidence of {confidence} is not between 0 and 1")
