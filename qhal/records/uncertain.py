"""Numbers with an uncertainty budget: every contribution has a name and is statistical or systematic.

Built on the ``uncertainties`` package, which propagates to first order and keeps correlations. Contributions of the
same name and variable stay one error however often they enter.
"""

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from uncertainties import UFloat, correlated_values, ufloat, umath

Uncertain: TypeAlias = UFloat | float

STATISTICAL, SYSTEMATIC = "statistical", "systematic"


def statistical(name: str, value: float, sigma: float) -> UFloat:
    """Return a value whose error is new at every repetition. ``sigma``: standard uncertainty (k = 1)."""
    return _named(f"{STATISTICAL}:{name}", value, sigma)


def systematic(name: str, value: float, sigma: float) -> UFloat:
    """Return a value whose error stays the same at every repetition. ``sigma``: standard uncertainty (k = 1)."""
    return _named(f"{SYSTEMATIC}:{name}", value, sigma)


def _named(tag: str, value: float, sigma: float) -> UFloat:
    if sigma == 0:  # the package warns of variables that are exact
        exact: UFloat = value + 0.0 * ufloat(0.0, 1.0, tag=tag)
        return exact
    return ufloat(value, sigma, tag=tag)


def uniform(name: str, value: float, half_width: float) -> UFloat:
    """Return a value known only to lie within ``+- half_width``: a rectangular systematic contribution (GUM 4.3.7)."""
    return systematic(name, value, half_width / 3**0.5)


def correlated(name: str, values: ArrayLike, covariance: ArrayLike) -> tuple[UFloat, ...]:
    """Return values with a joint statistical covariance, as a fit gives them."""
    nominal = np.asarray(values, np.float64)
    return tuple(
        correlated_values(nominal, np.asarray(covariance), tags=[f"{STATISTICAL}:{name}"] * len(nominal))
    )


def nominal(value: Uncertain) -> float:
    """Return the value without its uncertainty."""
    return float(value.nominal_value) if isinstance(value, UFloat) else float(value)


def standard_uncertainty(value: Uncertain) -> float:
    """Return the combined standard uncertainty; 0 of a plain number."""
    return float(value.std_dev) if isinstance(value, UFloat) else 0.0


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


def budget(value: Uncertain) -> dict[tuple[str, str], float]:
    """Return ``(kind, name) -> contribution`` to the standard uncertainty.

    A contribution that is one variable keeps its sign; several of one name are added in quadrature. Raises ValueError
    for a variable that nobody named with :func:`statistical` or :func:`systematic`.
    """
    found: dict[tuple[str, str], list[float]] = {}
    if isinstance(value, UFloat):
        for variable, sigma in value.error_components().items():
            kind, _, name = (variable.tag or "").partition(":")
            if kind not in (STATISTICAL, SYSTEMATIC) or not name:
                raise ValueError(f"{variable!r} has no name in the budget")
            signed = value.derivatives[variable] * variable.std_dev
            if sigma:
                found.setdefault((kind, name), []).append(float(signed))
    return {
        key: parts[0] if len(parts) == 1 else float(np.hypot.reduce(np.array(parts)))
        for key, parts in found.items()
    }


def values_of(numbers: Sequence[Uncertain]) -> NDArray[np.float64]:
    """Return the values without their uncertainties."""
    return np.array([nominal(number) for number in numbers], np.float64)
