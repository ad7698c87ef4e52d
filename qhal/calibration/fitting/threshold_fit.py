"""Fit counts against threshold: a plateau, pulses of a Gaussian height, and noise if any."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special
from uncertainties import UFloat, umath

from qhal.calibration.fitting.fit import Array, fit_counts, numbered
from qhal.link.link_errors import NotEnoughCounts
from qhal.records.record import Fit
from qhal.records.uncertain import uniform

FORMULA = (
    "rate = plateau erfc((threshold - height) / (sqrt(2) spread)) / 2 + B exp(-threshold^2 / (2 noise^2))"
)
_CLEARLY = 6.0
"""Standard deviations above the plateau that are taken for noise."""
_NOISY = 2
"""Levels with noise that its two parameters need."""
_ENOUGH = 100
"""Minimum counts for a rate to be tested for flatness."""
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
    fit: Fit
    remarks: tuple[str, ...]

    def height_lost_v(self, fraction: float) -> UFloat:
        """Return the threshold at which a fraction of the pulses is lost."""
        if self.spread_v is None:
            return self.height_v
        lost: UFloat = self.height_v + float(special.ndtri(fraction)) * self.spread_v
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
    scale_v = float(levels[runs])

    constants = {"scale_v": scale_v}
    if sharp:
        constants |= {"height_v": float(middle_v), "spread_v": float(half_step_v / 10)}
    start = numbered("log_plateau", [np.log(plateau_hz)] * counted)
    if not sharp:
        quarter = np.interp([0.16, 0.84], rate_hz[half - 1 :][::-1] / plateau_hz, levels[half - 1 :][::-1])
        spread = max(abs(float(quarter[0] - quarter[1])) / 2, half_step_v)
        height_v = float(np.interp(-plateau_hz / 2, -rate_hz[half - 1 :], levels[half - 1 :]))
        start |= {"height_v": height_v, "spread_v": float(spread)}
    if noisy:
        excess = np.log(np.maximum(rate_hz[:runs] - plateau_hz, 1.0))
        slope, offset = np.polyfit((levels[:runs] / scale_v) ** 2 - 1, excess, 1)
        start |= {"noise_at_scale": float(offset), "noise_steepness": float(max(-slope, 0.1))}
    names = list(start)

    def model(p: Array) -> Array:
        expected: Array = expected_counts(steps, dict(zip(names, p, strict=True)) | constants)[kept]
        return expected

    fitted = fit_counts("counts", FORMULA, model, steps.counts[kept], start)
    values = dict(zip(names, fitted.values, strict=True))
    if sharp:
        remarks.append(f"channel {channel}: heights differ by less than a step of the threshold")
    noise = None
    if noisy:
        steepness = values["noise_steepness"]
        noise = (values["noise_at_scale"] + steepness, scale_v / umath.sqrt(2 * steepness))
    return StepsFit(
        height_v=uniform("step of the threshold", middle_v, half_step_v) if sharp else values["height_v"],
        spread_v=values.get("spread_v"),
        noise=noise,
        lowest_v=float(levels[runs if not noisy else 0]),
        fit=fitted.fit_at(constants, channel=channel),
        remarks=tuple(remarks),
    )


def expected_counts(steps: Steps, values: Mapping[str, float]) -> Array:
    """Return the counts expected for parameters and constants of :func:`fit_steps`, by name.

    Noise is given by its rate at ``scale_v`` and its steepness there: B and rms are hardly independent.
    """
    repetitions = int(steps.repetition.max()) + 1
    plateau = np.exp([values[f"log_plateau {n}"] for n in range(1, repetitions + 1)])[steps.repetition]
    spread_v = abs(values["spread_v"]) + 1e-9
    rate_hz = plateau * special.ndtr((values["height_v"] - steps.threshold_v) / spread_v)
    if "noise_steepness" in values:
        beyond = (steps.threshold_v / values["scale_v"]) ** 2 - 1
        exponent = values["noise_at_scale"] - values["noise_steepness"] * beyond
        rate_hz = rate_hz + np.exp(np.clip(exponent, -100, 50))
    expected: Array = np.maximum(rate_hz * steps.period_s, 1e-9)
    return expected
