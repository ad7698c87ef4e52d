"""Numbers with an uncertainty budget: every error has a name, a kind (statistical or systematic) and an origin.

Built on the ``uncertainties`` package, which propagates to first order and keeps correlations: a variable stays one
error however often it enters.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from uncertainties import UFloat, correlated_values, ufloat, umath

from qhal.records.origin import Origin

Uncertain: TypeAlias = UFloat | float

Kind: TypeAlias = Literal["statistical", "systematic"]
STATISTICAL: Kind = "statistical"
SYSTEMATIC: Kind = "systematic"


@dataclass(frozen=True, slots=True)
class ErrorSource:
    """What a variable of ``uncertainties`` stands for; its ``tag``."""

    kind: Kind
    name: str
    origin: Origin | None = None

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def statistical(name: str, value: float, sigma: float) -> UFloat:
    """Return a value whose error is new at every repetition. ``sigma``: standard uncertainty (k = 1)."""
    return _variable(ErrorSource(STATISTICAL, name), value, sigma)


def systematic(name: str, value: float, sigma: float, origin: Origin | None = None) -> UFloat:
    """Return a value whose error stays the same at every repetition.

    ``sigma``: standard uncertainty (k = 1). ``origin``: the instrument or record that the error belongs to; none if
    only this measurement has it.
    """
    return _variable(ErrorSource(SYSTEMATIC, name, origin), value, sigma)


def exact(value: float) -> UFloat:
    """Return a value without an error, for sums that start with it."""
    return systematic("exact", value, 0.0)


def _variable(source: ErrorSource, value: float, sigma: float) -> UFloat:
    if sigma == 0:  # the package warns of variables that are exact
        without: UFloat = value + 0.0 * ufloat(0.0, 1.0, tag=source)
        return without
    return ufloat(value, sigma, tag=source)


def uniform(name: str, value: float, half_width: float, origin: Origin | None = None) -> UFloat:
    """Return a value known only to lie within ``+- half_width``: a rectangular systematic contribution (GUM 4.3.7)."""
    return systematic(name, value, half_width / 3**0.5, origin)


def correlated(name: str, values: ArrayLike, covariance: ArrayLike) -> tuple[UFloat, ...]:
    """Return values with a joint statistical covariance, as a fit gives them."""
    nominal = np.asarray(values, np.float64)
    tags = [ErrorSource(STATISTICAL, name)] * len(nominal)
    return tuple(correlated_values(nominal, np.asarray(covariance), tags=tags))


def nominal(value: Uncertain) -> float:
    """Return the value without its uncertainty."""
    return float(value.nominal_value) if isinstance(value, UFloat) else float(value)


def standard_uncertainty(value: Uncertain) -> float:
    """Return the combined standard uncertainty; 0 of a plain number."""
    return float(value.std_dev) if isinstance(value, UFloat) else 0.0


def exp(value: Uncertain) -> Any:
    """Return the exponential of a number with or without an uncertainty."""
    return umath.exp(value) if isinstance(value, UFloat) else math.exp(value)


def log2(value: Uncertain) -> Any:
    """Return the binary logarithm of a positive number with or without an uncertainty."""
    return umath.log(value) / math.log(2) if isinstance(value, UFloat) else math.log2(value)


def from_db(value_db: Uncertain) -> Any:
    """Return the power ratio of decibels."""
    return 10 ** (value_db / 10)


def to_db(ratio: Uncertain) -> Any:
    """Return the decibels of a positive power ratio."""
    return 10 * umath.log10(ratio)


def shown(value: float, sigma: float) -> str:
    """Return ``value ± sigma`` with two digits of the standard uncertainty in both; the value alone when that is 0."""
    if not sigma > 0:
        return f"{value:.4g}"
    if not 1e-4 < max(abs(value), sigma) < 1e7:
        return f"{ufloat(value, sigma):.2ueP}".replace("±", " ± ")
    digits = 1 - math.floor(math.log10(sigma))
    return " ± ".join(f"{round(each, digits):.{max(0, digits)}f}" for each in (value, sigma))


def source_of(variable: Any) -> ErrorSource:
    """Return what a variable stands for. Raises ValueError for one not made by a function of this module."""
    if not isinstance(variable.tag, ErrorSource):
        raise ValueError(f"{variable!r} has no name in the budget")
    return variable.tag


def budget(value: Uncertain) -> dict[ErrorSource, float]:
    """Return the contribution of each source to the standard uncertainty.

    A contribution of one variable keeps its sign; those of several variables of one source are added in quadrature.
    Raises ValueError for a variable not made by a function of this module.
    """
    parts: dict[ErrorSource, list[float]] = {}
    if isinstance(value, UFloat):
        for variable, sigma in value.error_components().items():
            source = source_of(variable)
            if sigma:
                parts.setdefault(source, []).append(float(value.derivatives[variable] * variable.std_dev))
    return {
        source: each[0] if len(each) == 1 else float(np.hypot.reduce(np.array(each)))
        for source, each in parts.items()
    }


def values_of(numbers: Sequence[Uncertain]) -> NDArray[np.float64]:
    """Return the values without their uncertainties."""
    return np.array([nominal(number) for number in numbers], np.float64)
