"""Fit a model to measurements or counts: values with their covariance, and how well the model describes the data.

scipy does the minimising. When the misfit is beyond chance the covariance is enlarged by chi2 over its degrees of
freedom, so that a wrong model never comes with a small error bar, and the record is marked a poor fit.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import least_squares
from uncertainties import UFloat

from qhal.link.link_errors import NotEnoughCounts
from qhal.records.fit_record import Fit, triangle
from qhal.records.uncertain import correlated

Array = NDArray[np.float64]
Model = Callable[[Array], Array]
"""Expected values of all measurements for the parameters."""

_LEAST_EXPECTED = 5.0
"""Counts to which neighbours are merged, because chi2 of fewer does not follow the chi2 distribution."""


@dataclass(frozen=True, eq=False, slots=True)
class Fitted:
    """Parameters with their joint statistical uncertainty, expected values at the best ones, and the fit's quality.

    ``covariance``: of the values; computed from them by ``uncertainties`` it differs in the last digit each time.
    """

    values: tuple[UFloat, ...]
    expected: Array
    fit: Fit
    covariance: Array

    def described(self, names: Sequence[str]) -> "Fitted":
        """Return it with these values and their covariance stored in its fit, by name."""
        values = [value.nominal_value for value in self.values]
        parameters = dict(zip(names, values, strict=True))
        stored = {"parameters": parameters, "covariance": triangle(self.covariance)}
        return replace(self, fit=self.fit.model_copy(update=stored))

    def fit_at(self, constants: Mapping[str, float] | None = None, /, **at: float) -> Fit:
        """Return the fit for a record: what was fitted, and values of the model that were not fitted."""
        return self.fit.model_copy(update={"at": at, "constants": dict(constants or {})})


def fit_values(
    name: str,
    formula: str,
    model: Model,
    measured: ArrayLike,
    sigma: ArrayLike,
    start: Mapping[str, float],
    bounds: tuple[Sequence[float], Sequence[float]] | None = None,
) -> Fitted:
    """Fit measurements with known standard uncertainties by least squares.

    ``name``: of the statistical contribution in the budget. ``formula``: of the model, as the record stores it.
    ``start``: values to start from, by the parameters' names, in the order in which ``model`` takes them. Raises
    NotEnoughCounts with fewer measurements than parameters, or if the measurements do not determine them.
    """
    y, s = np.asarray(measured, np.float64), np.asarray(sigma, np.float64)
    _check_number(y, start, formula)
    found = _minimise(lambda p: (model(p) - y) / s, list(start.values()), bounds)
    slopes = _jacobian(model, found) / s[:, None]
    expected = model(found)
    chi2 = float(np.sum(((expected - y) / s) ** 2))
    return _fitted(name, formula, list(start), found, slopes, expected, chi2, len(y) - len(start))


def fit_counts(
    name: str,
    formula: str,
    model: Model,
    counts: ArrayLike,
    start: Mapping[str, float],
    bounds: tuple[Sequence[float], Sequence[float]] | None = None,
) -> Fitted:
    """Fit Poisson counts by maximum likelihood (least deviance); the model must expect more than 0 everywhere.

    Goodness is Pearson's chi2 of neighbours merged until 5 counts are expected. Raises NotEnoughCounts.
    """
    n = np.asarray(counts, np.float64)
    _check_number(n, start, formula)

    def residuals(p: Array) -> Array:
        m = np.maximum(model(p), 1e-12)
        gain = np.where(n > 0, n * np.log(np.maximum(n, 1e-300) / m), 0.0)
        signed: Array = np.sign(m - n) * np.sqrt(np.maximum(2 * (m - n + gain), 0.0))
        return signed

    found = _minimise(residuals, list(start.values()), bounds)
    expected = np.maximum(model(found), 1e-12)
    slopes = _jacobian(model, found) / np.sqrt(expected)[:, None]
    merged_n, merged_m = _merged(n, expected)
    chi2 = float(np.sum((merged_n - merged_m) ** 2 / merged_m))
    freedom = max(len(merged_n) - len(start), 0)
    return _fitted(name, formula, list(start), found, slopes, expected, chi2, freedom)


def numbered(name: str, values: ArrayLike) -> dict[str, float]:
    """Return parameters of one kind by name: ``dark_hz 1``, ``dark_hz 2``, ... ."""
    flat = np.asarray(values, np.float64).ravel()
    return {f"{name} {n}": float(value) for n, value in enumerate(flat, 1)}


def _check_number(y: Array, start: Mapping[str, float], formula: str) -> None:
    if len(y) < len(start):
        raise NotEnoughCounts(f"{len(y)} measurements do not determine {len(start)} parameters of {formula}")


def _minimise(
    residuals: Callable[[Array], Array],
    start: Sequence[float],
    bounds: tuple[Sequence[float], Sequence[float]] | None,
) -> Array:
    low, high = bounds or (-np.inf, np.inf)
    found = least_squares(
        residuals,
        np.asarray(start, np.float64),
        bounds=(low, high),
        x_scale="jac",
        xtol=1e-12,
        ftol=1e-12,
        gtol=1e-12,
    )
    best: Array = found.x
    return best


def _jacobian(model: Model, at: Array) -> Array:
    columns = []
    for n, value in enumerate(at):
        step = np.zeros_like(at)
        step[n] = 1e-5 * max(abs(value), 1e-3)
        columns.append((model(at + step) - model(at - step)) / (2 * step[n]))
    return np.stack(columns, axis=1)


def _fitted(
    name: str,
    formula: str,
    names: Sequence[str],
    found: Array,
    slopes: Array,
    expected: Array,
    chi2: float,
    freedom: int,
) -> Fitted:
    # Scaling the columns keeps parameters of very different size apart from degenerate ones.
    scale = np.linalg.norm(slopes, axis=0)
    if not scale.all() or np.linalg.cond(slopes / scale) > 1e10:
        raise NotEnoughCounts(f"the data do not determine all parameters of {formula}")
    covariance = np.linalg.inv((slopes / scale).T @ (slopes / scale)) / np.outer(scale, scale)
    fit = Fit(model=formula, chi2=chi2, degrees_of_freedom=freedom)
    if fit.poor:
        covariance = covariance * (chi2 / freedom)
        fit = fit.model_copy(update={"scaled": True})
    fitted = Fitted(correlated(name, found, covariance), expected, fit, covariance)
    return fitted.described(names)


def _merged(counts: Array, expected: Array) -> tuple[Array, Array]:
    """Merge neighbours until at least ``_LEAST_EXPECTED`` are expected in each group."""
    group = np.floor(np.cumsum(expected) / _LEAST_EXPECTED).astype(np.int64)
    _, group = np.unique(np.concatenate(([group[0]], group[:-1])), return_inverse=True)
    if len(counts) > 1 and group[-1] > 0 and expected[group == group[-1]].sum() < _LEAST_EXPECTED:
        group[group == group[-1]] -= 1
    return np.bincount(group, counts).astype(np.float64), np.bincount(group, expected).astype(np.float64)
