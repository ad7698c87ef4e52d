"""Fit counts against threshold: a plateau, pulses of a Gaussian height, and noise where there is any."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special
from uncertainties import UFloat, umath

from qhal.calibration.fitting.fit import Array, fit_counts
from qhal.link.errors import NotEnoughCounts
from qhal.records.record import Fit
from qhal.records.uncertain import uniform, values_of

FORMULA = (
    "rate = plateau erfc((threshold - height) / (sqrt(2) spread)) / 2 + B exp(-threshold^2 / (2 noise^2))"
)
_CLEARLY = 6.0
"""Standard deviations above the plateau that are taken for noise."""
_NOISY = 2
"""Levels with noise that its two parameters need."""
_ENOUGH = 100
"""Counts without which a rate is too rough to tell whether it is flat."""
_EDGE = 0.02
"""Share of the plateau by which a level on the slope differs from top and bottom."""


@dataclass(frozen=True, eq=False, slots=True)
class Steps:
    """Counts of one channel at thresholds, ascending, and the repetition (from 0) of each."""

    threshold_v: Array
    counts: Array
    period_s: Array
    repetition: np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False, slots=True)
class StepsFit:
    """``spread_v`` None: heights differ by less than a step. ``noise``: logarithm of B (1/s) and rms (V), if any."""

    height_v: UFloat
    spread_v: UFloat | None
    noise: tuple[UFloat, UFloat] | None
    lowest_v: float
    expected: Array
    fit: Fit
    remarks: tuple[str, ...]

    def height_lost_v(self, share: float) -> UFloat:
        """Return the threshold at which a share of the pulses is lost."""
        if self.spread_v is None:
            return self.height_v
        lost: UFloat = self.height_v + float(special.ndtri(share)) * self.spread_v
        return lost

    def noise_threshold_v(self, rate_hz: float) -> UFloat:
        """Return the threshold at which noise counts at a rate. Raises NotEnoughCounts when it never does."""
        assert self.noise is not None
        logarithm, rms_v = self.noise
        depth = logarithm - np.log(rate_hz)
        if depth.nominal_value <= 0:
            raise NotEnoughCounts(f"noise counts less than {rate_hz:g} /s at any threshold")
        at: UFloat = rms_v * umath.sqrt(2 * depth)
        return at


def fit_steps(steps: Steps, channel: int) -> StepsFit:
    """Fit one channel. Raises NotEnoughCounts when plateau and bottom are not both there."""
    levels = np.unique(steps.threshold_v)
    rate_hz = np.array([_rate(steps, level) for level in levels])
    live_s = np.array([steps.period_s[steps.threshold_v == level].sum() for level in levels])
    plateau_hz = _plateau_hz(rate_hz, rate_hz * live_s)
    below = np.flatnonzero(rate_hz < plateau_hz / 2)
    if len(below) == 0 or below[0] < 2 or rate_hz[-1] > _EDGE * plateau_hz:
        raise NotEnoughCounts(
            f"channel {channel}: {levels[0]:g} to {levels[-1]:g} V do not reach from below the pulses' heights to above"
        )
    half = int(below[0])
    noise_hz = rate_hz - plateau_hz
    noisy = (noise_hz > _CLEARLY * np.sqrt(plateau_hz / live_s)) & (np.arange(len(levels)) < half)
    runs = int(np.argmin(noisy)) if noisy[0] else 0
    remarks = []
    if runs < _NOISY:
        where = "no noise seen" if runs == 0 else "noise seen, too little to be fitted,"
        remarks.append(f"channel {channel}: {where} down to {levels[0]:g} V")
    slope = (rate_hz > _EDGE * plateau_hz) & (
        rate_hz < (1 - _EDGE) * plateau_hz - 4 * np.sqrt(plateau_hz / live_s)
    )
    sharp = not slope.any()
    kept = np.ones(len(steps.counts), np.bool_) if runs >= _NOISY else steps.threshold_v >= levels[runs]
    return _fit(steps, kept, channel, levels, rate_hz, plateau_hz, half, runs, sharp, remarks)


def _rate(steps: Steps, level: float) -> float:
    at = steps.threshold_v == level
    return float(steps.counts[at].sum() / steps.period_s[at].sum())


def _plateau_hz(rate_hz: Array, counts: Array) -> float:
    """Return the rate where it changes least from level to level: noise and the pulses' edge are steep."""
    width = max(2, len(rate_hz) // 12)
    enough = np.minimum(counts[width:], counts[:-width]) > _ENOUGH
    change = np.abs(np.diff(np.log(np.maximum(rate_hz, 1e-9)), n=1))
    steep = np.convolve(change, np.ones(width), "valid")
    flattest = np.argsort(np.where(enough, steep, np.inf))[: 2 * width]
    return float(np.median(rate_hz[flattest]))


def _fit(
    steps: Steps,
    kept: np.ndarray[Any, Any],
    channel: int,
    levels: Array,
    rate_hz: Array,
    plateau_hz: float,
    half: int,
    runs: int,
    sharp: bool,
    remarks: list[str],
) -> StepsFit:
    """Fit plateau by repetition, height and spread unless sharp, and noise if it was seen at levels enough."""
    noisy, counted = runs >= _NOISY, int(steps.repetition.max()) + 1
    middle_v, half_step_v = (levels[half] + levels[half - 1]) / 2, (levels[half] - levels[half - 1]) / 2
    threshold_v, period_s, repetition = steps.threshold_v, steps.period_s, steps.repetition
    scale_v = float(levels[runs])

    def model(p: Array) -> Array:
        plateau = np.exp(p[:counted])[repetition]
        rest = list(p[counted:])
        height_v, spread_v = (middle_v, half_step_v / 10) if sharp else (rest.pop(0), abs(rest.pop(0)) + 1e-9)
        expected = plateau * special.ndtr((height_v - threshold_v) / spread_v)
        if noisy:
            at_scale, steepness = rest
            # Rate at the first quiet level and steepness there: B and rms themselves are hardly independent.
            exponent = at_scale - steepness * ((threshold_v / scale_v) ** 2 - 1)
            expected = expected + np.exp(np.clip(exponent, -100, 50))
        return np.asarray(np.maximum(expected * period_s, 1e-9), np.float64)

    start = [np.log(plateau_hz)] * counted
    if not sharp:
        quarter = np.interp([0.16, 0.84], rate_hz[half - 1 :][::-1] / plateau_hz, levels[half - 1 :][::-1])
        spread = max(abs(float(quarter[0] - quarter[1])) / 2, half_step_v)
        start += [float(np.interp(-plateau_hz / 2, -rate_hz[half - 1 :], levels[half - 1 :])), spread]
    if noisy:
        excess = np.log(np.maximum(rate_hz[:runs] - plateau_hz, 1.0))
        slope, offset = np.polyfit((levels[:runs] / scale_v) ** 2 - 1, excess, 1)
        start += [float(offset), float(max(-slope, 0.1))]
    fitted = fit_counts("counts", FORMULA, lambda p: model(p)[kept], steps.counts[kept], start)
    values = list(fitted.values[counted:])
    height_v: UFloat = uniform("step of the threshold", middle_v, half_step_v)
    spread_v = None
    if sharp:
        remarks.append(f"channel {channel}: heights differ by less than a step of the threshold")
    else:
        height_v, spread_v = values.pop(0), values.pop(0)
    noise = None
    if noisy:
        at_scale, steepness = values
        noise = (at_scale + steepness, scale_v / umath.sqrt(2 * steepness))
    fit = fitted.fit.model_copy(update={"model": f"{FORMULA}, channel {channel}"})
    expected = model(values_of(fitted.values))
    return StepsFit(
        height_v, spread_v, noise, float(levels[runs if not noisy else 0]), expected, fit, tuple(remarks)
    )
