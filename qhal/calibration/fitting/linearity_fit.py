"""Fit counts of several detectors in the same light, weakened by factors that are known to some accuracy."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special
from uncertainties import UFloat, covariance_matrix

from qhal.calibration.fitting.fit import Array, Fitted, fit_values
from qhal.records.record import Fit
from qhal.records.uncertain import correlated, systematic, values_of

FORMULA = "counts of a detector with dead time and recovery, light by the attenuation of each level"
_DB = np.log(10) / 10
_ROUNDING_DB2 = 1e-12


@dataclass(frozen=True, eq=False, slots=True)
class Levels:
    """Counts (visits, channels) in ``period_s``, the ``level`` (from 0) of each visit, and the dark counts.

    ``attenuation_db`` of each level; each move is off by ``repeatability_db``, each share of the light by
    ``share_stability`` (relative).
    """

    counts: NDArray[np.float64]
    period_s: Array
    level: NDArray[np.int64]
    dark_counts: Array
    dark_s: float
    attenuation_db: Sequence[UFloat]
    repeatability_db: float
    share_stability: float


@dataclass(frozen=True, eq=False, slots=True)
class LinearityFit:
    """By channel: effective dead time, recovery time, light in the first level (clicks per second without dead time).

    ``strength``: light of each visit over that of the first level, ``expected`` and ``sigma`` of the counts.
    """

    effective_ns: tuple[UFloat, ...]
    recovery_ns: tuple[UFloat, ...]
    light_hz: Array
    dark_hz: Array
    strength: Array
    expected: NDArray[np.float64]
    sigma: NDArray[np.float64]
    fit: Fit


def rate_counted(rate_hz: ArrayLike, effective_ns: ArrayLike, recovery_ns: float) -> Array:
    """Return the counts per second of a detector that would count ``rate_hz`` without dead time and recovery."""
    rate, effective_s, recovery_s = np.asarray(rate_hz), np.asarray(effective_ns) * 1e-9, recovery_ns * 1e-9
    if recovery_s == 0:
        return np.asarray(rate / (1 + rate * effective_s), np.float64)
    x = rate * recovery_s
    survived_s = recovery_s * np.exp(x - x * np.log(x) + special.gammaln(x)) * special.gammainc(x, x)
    return np.asarray(1 / (effective_s - recovery_s + survived_s), np.float64)


def fit_levels(levels: Levels, recovery_ns: float, recovery_sigma_ns: float) -> LinearityFit:
    """Fit all channels; once more with another recovery time, for what its uncertainty does. Raises NotEnoughCounts."""
    found, strength, sigma = _fit(levels, recovery_ns, None)
    channels = levels.counts.shape[1]
    values = _with_budget(found, levels)
    other = (
        _fit(levels, recovery_ns + recovery_sigma_ns, found)[0].values if recovery_sigma_ns else found.values
    )
    off = systematic("recovery time", 0.0, 1.0)
    shifts = values_of(other[:channels]) - values_of(found.values[:channels])
    effective = tuple(
        value + float(shift) * off for value, shift in zip(values[:channels], shifts, strict=True)
    )
    light, dark = (
        values_of(found.values[channels : 2 * channels]),
        values_of(found.values[2 * channels : 3 * channels]),
    )
    return LinearityFit(
        effective,
        (recovery_ns + recovery_sigma_ns * off,) * channels,
        np.exp(light),
        np.exp(dark),
        strength,
        found.expected[: levels.counts.size].reshape(levels.counts.shape),
        sigma[: levels.counts.size].reshape(levels.counts.shape),
        found.fit,
    )


def _fit(levels: Levels, recovery_ns: float, near: Fitted | None) -> tuple[Fitted, Array, Array]:
    """Return the fit, the strengths of the visits, and the standard uncertainties of all that was measured.

    Parameters: effective dead times (ns), logarithms of light and dark rates, what each level and each visit is off
    (dB). What is known of the attenuation is measured, too: each level is off by nothing, within its covariance.
    """
    visits, channels = levels.counts.shape
    count = len(levels.attenuation_db)
    nominal_db = values_of(levels.attenuation_db)
    whiten = np.linalg.inv(np.linalg.cholesky(_covariance(levels)))
    period_s = levels.period_s[:, None]

    def strength(p: Array) -> Array:
        off_db = p[3 * channels : 3 * channels + count][levels.level] + p[3 * channels + count :]
        found: Array = np.exp(-_DB * (nominal_db[levels.level] - nominal_db[0] + off_db))
        return found

    def rates(p: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        unhindered = strength(p)[:, None] * np.exp(p[channels : 2 * channels]) + np.exp(
            p[2 * channels : 3 * channels]
        )
        return unhindered, rate_counted(unhindered, p[:channels], recovery_ns)

    def model(p: Array) -> Array:
        dark = np.exp(p[2 * channels : 3 * channels])
        offs = whiten @ p[3 * channels : 3 * channels + count]
        return np.concatenate(
            ((rates(p)[1] * period_s).ravel(), dark * levels.dark_s, offs, p[3 * channels + count :])
        )

    def sigma(p: Array) -> Array:
        unhindered, counted = rates(p)
        share_lost = counted / unhindered
        # Dead time makes counts more regular than chance, and light that is off by a share counts less.
        scatter = (
            np.hypot(np.sqrt(counted * period_s), levels.share_stability * counted * period_s) * share_lost
        )
        dark = np.sqrt(np.exp(p[2 * channels : 3 * channels]) * levels.dark_s)
        return np.concatenate(
            (scatter.ravel(), dark, np.ones(count), np.full(visits, levels.repeatability_db))
        )

    measured = np.concatenate((levels.counts.ravel(), levels.dark_counts, np.zeros(count + visits)))
    p = _start(levels, nominal_db) if near is None else values_of(near.values)
    low = np.array([0.0 if n < channels else -np.inf for n in range(len(p))])
    for _ in range(2):
        spread = sigma(p)
        fitted = fit_values(
            "counts", FORMULA, model, measured, spread, p.tolist(), (low.tolist(), [np.inf] * len(p))
        )
        p = values_of(fitted.values)
    return fitted, strength(p), spread


def _start(levels: Levels, nominal_db: Array) -> Array:
    """Return parameters that are about right: 1/counted against 1/light is a line with the dead time as its offset."""
    dark_hz = (levels.dark_counts + 0.5) / levels.dark_s
    weak = np.exp(_DB * (nominal_db[levels.level] - nominal_db[0]))
    between_s = 1 / np.maximum(levels.counts / levels.period_s[:, None] - dark_hz, 1.0)
    lines = [np.polyfit(weak, column, 1, w=1 / column) for column in between_s.T]
    effective_ns = [min(max(offset * 1e9, 1.0), 1e4) for _, offset in lines]
    light = [-np.log(max(slope, 1e-12)) for slope, _ in lines]
    return np.array([*effective_ns, *light, *np.log(dark_hz), *np.zeros(len(nominal_db) + len(levels.level))])


def _covariance(levels: Levels) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.array(covariance_matrix(levels.attenuation_db), np.float64)
    return found + _ROUNDING_DB2 * np.eye(len(found))


def _with_budget(fitted: Fitted, levels: Levels) -> list[Any]:
    """Return the parameters with counts and attenuation as contributions apart.

    What is known of the attenuation was fitted like a measurement; to first order parameters follow it by their
    covariance with the levels' offsets over its own, and what is left of their covariance is of the counts.
    """
    channels, count = levels.counts.shape[1], len(levels.attenuation_db)
    total = fitted.covariance
    scale = fitted.fit.chi2 / fitted.fit.degrees_of_freedom if fitted.fit.scaled else 1.0
    known = _covariance(levels)
    place = slice(3 * channels, 3 * channels + count)
    follows = np.linalg.solve(known, total[place, :] / scale).T
    rest = total - follows @ known @ follows.T
    values = correlated("counts", values_of(fitted.values)[:channels], rest[:channels, :channels])
    offs = [value - value.nominal_value for value in levels.attenuation_db]
    return [
        value + sum(float(slope) * off for slope, off in zip(slopes, offs, strict=True))
        for value, slopes in zip(values, follows[:channels], strict=True)
    ]
