"""Errors that results have in common: the same variable of ``uncertainties`` wherever and however often one is read.

A difference of a value to itself is exact, and an error that came in by two ways is counted once, with its sign.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from uncertainties import UFloat, ufloat

from qhal.records.uncertain import STATISTICAL, SYSTEMATIC, Uncertain

Triangle = tuple[tuple[float, ...], ...]
"""A correlation matrix below its diagonal, row by row: the first row is empty."""

_NEGLIGIBLE = 1e-9


def correlation(numbers: Sequence[Uncertain]) -> Triangle:
    """Return how the statistical errors of numbers go together."""
    parts = [_statistical_parts(number) for number in numbers]
    columns = {variable: n for n, variable in enumerate(dict.fromkeys(v for part in parts for v in part))}
    rows = np.zeros((len(parts), len(columns)))
    for row, part in zip(rows, parts, strict=True):
        for variable, sigma in part.items():
            row[columns[variable]] = sigma
    sizes = np.linalg.norm(rows, axis=1)
    rows /= np.where(sizes > 0, sizes, 1.0)[:, None]
    together = np.round(rows @ rows.T, 9)
    return tuple(tuple(row[:n].tolist()) for n, row in enumerate(together))


def _statistical_parts(number: Uncertain) -> dict[object, float]:
    if not isinstance(number, UFloat):
        return {}
    return {
        variable: number.derivatives[variable] * variable.std_dev
        for variable in number.error_components()
        if (variable.tag or "").startswith(f"{STATISTICAL}:")
    }


@lru_cache(maxsize=4096)
def systematic_error(name: str) -> UFloat:
    """Return 0 +- 1, the same variable for the same name."""
    return ufloat(0.0, 1.0, tag=f"{SYSTEMATIC}:{name}")


@lru_cache(maxsize=64)
def statistical_errors(name: str, sigmas: tuple[float, ...], triangle: Triangle) -> tuple[UFloat, ...]:
    """Return errors of these sizes that go together so; the same variables for the same arguments.

    Without a ``triangle`` they are independent.
    """
    matrix = np.eye(len(sigmas))
    for n, row in enumerate(triangle):
        matrix[n, :n] = matrix[:n, n] = row
    strengths, directions = np.linalg.eigh(matrix)
    kept = strengths > _NEGLIGIBLE
    shares = directions[:, kept] * np.sqrt(strengths[kept])
    errors = [ufloat(0.0, 1.0, tag=f"{STATISTICAL}:{name}") for _ in range(int(kept.sum()))]
    found = []
    for sigma, row in zip(sigmas, shares * np.array(sigmas)[:, None], strict=True):
        nothing = 0.0 * errors[0] if errors else ufloat(0.0, 0.0)
        found.append(sum((share * error for share, error in zip(row, errors, strict=True) if share), nothing))
        assert abs(found[-1].std_dev - sigma) <= 1e-6 * sigma
    return tuple(found)
