"""Fit counts of several detectors in the same light, weakened by factors that are known to some accuracy."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special
from uncertainties import UFloat, covariance_matrix

from qhal.calibration.fitting.fit import Array, Fitted, fit_values, numbered
from qhal.records.record import Fit
from qhal.records.uncertain import correlated, values_of

FORMULA = "counts of a detector with dead time and recovery, light by the attenuation of each level"
_DB = np.log(10) / 10
_ROUNDING_DB2 = 1e-12


@dataclass(frozen=True, eq=False, slots=True)
class Levels:
    """Counts (visits, channels) in ``period_s``, the ``level`` (from 0) of each visit, and the dark counts.

    ``attenuation_db`` of each level; each move is off by ``repeatability_db``, each fraction of the light by
    ``fraction_stability`` (relative).
    """

    counts: NDArray[np.float64]
    period_s: Array
    level: NDArray[np.int64]
    dark_counts: Array
    dark_s: float
    attenuation_db: Sequence[UFloat]
    repeatability_db: float
    fraction_stability: float


@dataclass(frozen=True, eq=False, slots=True)
class LinearityFit:
    """Effective dead time and recovery time by channel."""

    effective_ns: tuple[UFloat, ...]
    recovery_ns: tuple[UFloat, ...]
    fit: Fit


@dataclass(frozen=True, eq=False, slots=True)
class LinearityModel:
    """The model as a function of its parameters.

    Parameters: effective dead times (ns), logarithms of light and dark rates by channel, offsets of levels and visits
    (dB). ``attenuation_db``: nominal ones of the levels. ``level``, ``period_s``: by visit.
    """

    channels: int
    attenuation_db: Array
    level: NDArray[np.int64]
    period_s: Array
    recovery_ns: float
    fraction_stability: float

    def light_hz(self, p: Array) -> Array:
        """Return clicks per second without dead time in the light of the first level, by channel."""
        return np.exp(p[self.channels : 2 * self.channels])

    def dark_hz(self, p: Array) -> Array:
        """Return the dark rates by channel."""
        return np.exp(p[2 * self.channels : 3 * self.channels])

    def offsets_db(self, p: Array) -> tuple[Array, Array]:
        """Return the offsets of levels and of visits."""
        levels, visits = np.split(p[3 * self.channels :], [len(self.attenuation_db)])
        return levels, visits

    def strength(self, p: Array) -> Array:
        """Return the light of each visit over that of the first level."""
        levels_db, visits_db = self.offsets_db(p)
        weaker_db = self.attenuation_db[self.level] - self.attenuation_db[0] + levels_db[self.level]
        strength: Array = np.exp(-_DB * (weaker_db + visits_db))
        return strength

    def counts(self, p: Array) -> NDArray[np.float64]:
        """Return the counts (visits, channels)."""
        return self._rates_hz(p)[1] * self.period_s[:, None]

    def sigma(self, p: Array) -> NDArray[np.float64]:
        """Return the counts' standard deviations (visits, channels)."""
        unhindered, counted = self._rates_hz(p)
        counts = counted * self.period_s[:, None]
        # Dead time makes counts more regular than chance, and light that is off by a fraction counts less.
        spread: Array = np.hypot(np.sqrt(counts), self.fraction_stability * counts) * counted / unhindered
        return spread

    def _rates_hz(self, p: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return clicks per second without dead time, and with it."""
        unhindered = self.strength(p)[:, None] * self.light_hz(p) + self.dark_hz(p)
        return unhindered, rate_counted(unhindered, p[: self.channels], self.recovery_ns)


def rate_counted(rate_hz: ArrayLike, effective_ns: ArrayLike, recovery_ns: float) -> Array:
    """Return the counts per second of a detector that would count ``rate_hz`` without dead time and recovery."""
    rate, effective_s, recovery_s = np.asarray(rate_hz), np.asarray(effective_ns) * 1e-9, recovery_ns * 1e-9
    if recovery_s == 0:
        return np.asarray(rate / (1 + rate * effective_s), np.float64)
    x = rate * recovery_s
    survived_s = recovery_s * np.exp(x - x * np.log(x) + special.gammaln(x)) * special.gammainc(x, x)
    return np.asarray(1 / (effective_s - recovery_s + survived_s), np.float64)


def fit_levels(levels: Levels, recovery_time_ns: UFloat) -> LinearityFit:
    """Fit all channels; once more with another recovery time, for what its uncertainty does. Raises NotEnoughCounts."""
    recovery_ns, recovery_sigma_ns = recovery_time_ns.nominal_value, recovery_time_ns.std_dev
    found = _fit(levels, recovery_ns, None)
    channels = levels.counts.shape[1]
    values = _with_budget(found, levels)
    other = _fit(levels, recovery_ns + recovery_sigma_ns, found).values if recovery_sigma_ns else found.values
    off = (recovery_time_ns - recovery_ns) / (recovery_sigma_ns or 1.0)
    shifts = values_of(other[:channels]) - values_of(found.values[:channels])
    effective = tuple(
        value + float(shift) * off for value, shift in zip(values[:channels], shifts, strict=True)
    )
    constants = numbered("attenuation_db", values_of(levels.attenuation_db))
    fit = found.fit_at({"recovery_time_ns": recovery_ns, **constants})
    return LinearityFit(effective, (recovery_time_ns,) * channels, fit)


def _fit(levels: Levels, recovery_ns: float, near: Fitted | None) -> Fitted:
    """Fit the parameters of :class:`LinearityModel`.

    The known attenuation is measured, too: each level's offset is 0, within its covariance.
    """
    visits, channels = levels.counts.shape
    count = len(levels.attenuation_db)
    nominal_db = values_of(levels.attenuation_db)
    whiten = np.linalg.inv(np.linalg.cholesky(_covariance(levels)))
    expected = LinearityModel(
        channels=channels,
        attenuation_db=nominal_db,
        level=levels.level,
        period_s=levels.period_s,
        recovery_ns=recovery_ns,
        fraction_stability=levels.fraction_stability,
    )

    def model(p: Array) -> Array:
        levels_db, visits_db = expected.offsets_db(p)
        dark = expected.dark_hz(p) * levels.dark_s
        return np.concatenate((expected.counts(p).ravel(), dark, whiten @ levels_db, visits_db))

    def sigma(p: Array) -> Array:
        dark = np.sqrt(expected.dark_hz(p) * levels.dark_s)
        moves = np.full(visits, levels.repeatability_db)
        return np.concatenate((expected.sigma(p).ravel(), dark, np.ones(count), moves))

    measured = np.concatenate((levels.counts.ravel(), levels.dark_counts, np.zeros(count + visits)))
    p = _start(levels, nominal_db) if near is None else values_of(near.values)
    low = np.array([0.0 if n < channels else -np.inf for n in range(len(p))])
    bounds = (low.tolist(), [np.inf] * len(p))
    kinds = ("effective_ns", "log_light", "log_dark")
    names = [f"{kind} {n}" for kind in kinds for n in range(1, channels + 1)]
    names += [*numbered("level_db", np.zeros(count)), *numbered("visit_db", np.zeros(visits))]
    for _ in range(2):
        start = dict(zip(names, p.tolist(), strict=True))
        fitted = fit_values("counts", FORMULA, model, measured, sigma(p), start, bounds)
        p = values_of(fitted.values)
    return fitted


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
