"""Errors that stored numbers share: one variable of ``uncertainties`` for each name and origin.

A difference of a value to itself is exact, and an error that enters along two ways is counted once, with its sign.
"""

from collections.abc import Sequence
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray
from uncertainties import UFloat

from qhal.records.origin import Origin, RecordOrigin
from qhal.records.uncertain import STATISTICAL, Uncertain, exact, source_of, systematic

Triangle = tuple[tuple[float, ...], ...]
"""A correlation matrix below its diagonal, row by row: the first row is empty."""

_NEGLIGIBLE = 1e-7
"""Part of a variance that is not an error of its own: stored correlations have nine digits."""


def correlation(numbers: Sequence[Uncertain]) -> Triangle:
    """Return the correlation of the statistical errors of numbers.

    Parameters
    ----------
    numbers
        Results of one measurement.

    Returns
    -------
    Triangle
        Correlation coefficients below the diagonal, to nine digits.

    Examples
    --------
    >>> from qhal.records.uncertain import statistical
    >>> noise = statistical("noise", 0.0, 0.1)
    >>> correlation([1.0 + noise, 2.0 - noise, statistical("counts", 3.0, 0.2)])
    ((), (-1.0,), (0.0, 0.0))
    """
    parts = [_statistical_parts(number) for number in numbers]
    columns = {variable: n for n, variable in enumerate(dict.fromkeys(v for part in parts for v in part))}
    rows = np.zeros((len(parts), len(columns)))
    for row, part in zip(rows, parts, strict=True):
        for variable, sigma in part.items():
            row[columns[variable]] = sigma
    sizes = np.linalg.norm(rows, axis=1)
    rows /= np.where(sizes > 0, sizes, 1.0)[:, None]
    coefficients = np.round(rows @ rows.T, 9)
    return tuple(tuple(row[:n].tolist()) for n, row in enumerate(coefficients))


def _statistical_parts(number: Uncertain) -> dict[object, float]:
    if not isinstance(number, UFloat):
        return {}
    return {
        variable: number.derivatives[variable] * variable.std_dev
        for variable in number.error_components()
        if source_of(variable).kind == STATISTICAL
    }


@cache  # without a limit: a variable that is made a second time would be another error
def shared_error(name: str, origin: Origin) -> UFloat:
    """Return 0 +- 1, the same variable for the same name and origin."""
    return systematic(name, 0.0, 1.0, origin)


@lru_cache(maxsize=64)
def statistical_errors(
    record: str, labels: tuple[str, ...], sigmas: tuple[float, ...], triangle: Triangle
) -> tuple[UFloat, ...]:
    """Return the statistical errors of a record's quantities, with its correlation (independent if that is empty).

    The error of each quantity is a sum of its own and of earlier quantities' errors (Cholesky's decomposition, which is
    unique, so that the errors are the same on every machine).
    """
    matrix = np.eye(len(sigmas))
    for n, row in enumerate(triangle):
        matrix[n, :n] = matrix[:n, n] = row
    origin, zero = RecordOrigin(record), exact(0.0)
    errors = []
    for sigma, row in zip(sigmas, _semidefinite_cholesky(matrix), strict=True):
        parts = [
            sigma * weight * shared_error(f"statistical error of {label}", origin)
            for weight, label in zip(row, labels, strict=True)
            if weight and sigma
        ]
        errors.append(sum(parts, zero))
    return tuple(errors)


def _semidefinite_cholesky(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the lower triangle L with ``L @ L.T`` a correlation matrix, also of fewer dimensions than rows."""
    lower = np.zeros_like(matrix)
    for n in range(len(matrix)):
        rest = matrix[n:, n] - lower[n:, :n] @ lower[n, :n]
        if rest[0] > _NEGLIGIBLE:
            lower[n:, n] = rest / np.sqrt(rest[0])
    # Rows of length 1 keep each variance as it is stored.
    normalised: NDArray[np.float64] = lower / np.linalg.norm(lower, axis=1)[:, None]
    return normalised
