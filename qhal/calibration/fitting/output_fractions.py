"""Fit the counts of detectors behind analysers: for any polarization, both outputs of one share its light.

With light rates ``x`` of the two outputs of an analyser, ``x1 / y1 + x2 / y2`` is the strength of the light: 1 by
definition in the first visit. So some polarizations determine ``y``, the rate that a detector would have with all light
of its analyser, without any of them being known. A visit is a time in which the attenuators stand still.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from uncertainties import UFloat, umath

from qhal.calibration.fitting.fit import Array, fit_counts, numbered
from qhal.records.record import Fit, Table
from qhal.records.uncertain import nominal

FORMULA = "x1 / y1 + x2 / y2 = strength of the visit, counts with dark counts and dead time"
EVEN_FORMULA = "x = y times the strength of the visit, counts with dark counts and dead time"
_EDGE = 1e-6


@dataclass(frozen=True, eq=False, slots=True)
class Counted:
    """Counts (rows, channels) in ``period_s`` (rows) of a ``visit`` (rows, from 0), and the dark ones."""

    counts: NDArray[np.float64]
    period_s: Array
    visit: NDArray[np.int64]
    dark_counts: NDArray[np.float64]
    dark_s: Array


def counted_of(table: Table, dark: Table) -> Counted:
    """Return what the tables hold."""
    _, visit = np.unique(table["visit"], return_inverse=True)
    return Counted(
        counts=table["counts"].astype(np.float64),
        period_s=table["period_s"],
        visit=visit,
        dark_counts=dark["counts"].astype(np.float64),
        dark_s=dark["period_s"],
    )


@dataclass(frozen=True, eq=False, slots=True)
class OutputRates:
    """``rates_hz`` y by channel, ``dark_hz`` by channel, and ``strengths`` of the visits."""

    rates_hz: tuple[UFloat, ...]
    dark_hz: tuple[UFloat, ...]
    strengths: tuple[UFloat | float, ...]
    fit: Fit


def fit_outputs(counted: Counted, dead_time_s: UFloat, *, analysers: bool) -> OutputRates:
    """Fit by maximum likelihood, and again with another dead time for what its uncertainty does.

    ``analysers`` false: every channel has a fixed fraction, y is its rate with that. Dead time is non-paralysable and
    the same for all channels. Raises NotEnoughCounts, also when the polarizations are too similar.
    """
    nominal_s, sigma_s = dead_time_s.nominal_value, dead_time_s.std_dev
    found = _fit(counted, nominal_s, analysers=analysers)
    if sigma_s == 0:
        return found
    other = _fit(counted, nominal_s + sigma_s, analysers=analysers)
    common = (dead_time_s - nominal_s) / sigma_s

    def shifted(value: UFloat | float, elsewhere: UFloat | float) -> UFloat:
        shift = nominal(elsewhere) - nominal(value)
        moved: UFloat = value + shift * common
        return moved

    return replace(
        found,
        rates_hz=tuple(map(shifted, found.rates_hz, other.rates_hz)),
        strengths=(1.0, *map(shifted, found.strengths[1:], other.strengths[1:])),
    )


@dataclass(frozen=True, eq=False, slots=True)
class OutputModel:
    """The model as a function of its parameters.

    Parameters: logarithms of y and of the dark rates by channel, of the strengths of all visits but the first, and
    (``analysers``) the fraction of each analyser's light at its first output, by row.
    """

    counted: Counted
    dead_time_s: float
    analysers: bool

    @property
    def pairs(self) -> int:
        """Number of analysers."""
        return self.counted.counts.shape[1] // 2 if self.analysers else 0

    def parts(self, p: Array) -> tuple[Array, Array, Array, Array]:
        """Return y, dark rates, strengths, and the fraction of each analyser's first output (rows, pairs)."""
        rows, channels = self.counted.counts.shape
        visits = int(self.counted.visit.max()) + 1
        logarithms, first = np.split(p, [2 * channels + visits - 1])
        y, dark, strengths = np.split(np.exp(logarithms), [channels, 2 * channels])
        return y, dark, np.append(1.0, strengths), first.reshape(rows, self.pairs)

    def expected(self, p: Array) -> Array:
        """Return the counts of all rows, then those in the dark."""
        y, dark, strengths, first = self.parts(p)
        shape = self.counted.counts.shape
        fractions = np.stack((first, 1 - first), axis=2).reshape(shape) if self.pairs else np.ones(shape)
        bright = fractions * strengths[self.counted.visit][:, None] * y + dark
        counts = bright / (1 + bright * self.dead_time_s) * self.counted.period_s[:, None]
        in_dark = np.outer(self.counted.dark_s, dark / (1 + dark * self.dead_time_s))
        return np.concatenate((counts.ravel(), in_dark.ravel()))


def _fit(counted: Counted, dead_time_s: float, *, analysers: bool) -> OutputRates:
    channels = counted.counts.shape[1]
    visits = int(counted.visit.max()) + 1
    rate_hz = counted.counts / counted.period_s[:, None]
    dark_hz = (counted.dark_counts.sum(axis=0) + 0.5) / counted.dark_s.sum()
    light_hz = np.maximum(rate_hz / (1 - rate_hz * dead_time_s) - dark_hz, 1e-3 * rate_hz + 1e-3)
    y, first = _start(light_hz[counted.visit == 0], light_hz, analysers=analysers)
    strength = np.bincount(counted.visit, (light_hz / y).sum(axis=1)) / np.bincount(counted.visit)
    start = {
        **numbered("log_rate", np.log(y)),
        **numbered("log_dark", np.log(dark_hz)),
        **numbered("log_strength of visit", np.log(strength[1:] / strength[0])),
        **numbered("fraction", first),
    }
    free = len(start) - first.size
    low, high = [-np.inf] * free + [_EDGE] * first.size, [np.inf] * free + [1 - _EDGE] * first.size
    measured = np.concatenate((counted.counts.ravel(), counted.dark_counts.ravel()))
    formula = FORMULA if analysers else EVEN_FORMULA
    model = OutputModel(counted, dead_time_s, analysers)
    fitted = fit_counts("counts", formula, model.expected, measured, start, (low, high))
    values = fitted.values
    return OutputRates(
        tuple(umath.exp(value) for value in values[:channels]),
        tuple(umath.exp(value) for value in values[channels : 2 * channels]),
        (1.0, *(umath.exp(value) for value in values[2 * channels : 2 * channels + visits - 1])),
        fitted.fit,
    )


def _start(
    first_visit_hz: NDArray[np.float64], light_hz: NDArray[np.float64], *, analysers: bool
) -> tuple[Array, NDArray[np.float64]]:
    """Return y and first outputs' fractions that are about right, by linear least squares in the first visit."""
    if not analysers:
        return first_visit_hz.mean(axis=0), np.empty((len(light_hz), 0))
    y, firsts = [], []
    for at in range(0, light_hz.shape[1], 2):
        pair_hz = first_visit_hz[:, at : at + 2]
        inverse = np.linalg.lstsq(pair_hz, np.ones(len(pair_hz)), rcond=None)[0]
        # With polarizations nearly alike the solution can be negative; then both outputs are taken to be equal.
        even = 1 / np.full(2, pair_hz.sum(axis=1).mean())
        inverse = inverse if (inverse > 0).all() else even
        y += list(1 / inverse)
        scaled = light_hz[:, at : at + 2] * inverse
        firsts.append(np.clip(scaled[:, 0] / scaled.sum(axis=1), 1e-4, 1 - 1e-4))
    return np.array(y), np.stack(firsts, axis=1)
