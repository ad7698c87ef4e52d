"""Detector pulses and noise against thresholds: fraction that passes, and rate of noise, at counter and tagger."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qhal_simulators.physics.ports import DetectorSettings, Port, TaggerSettings
from qhal_simulators.physics.scenario_tables import DetectorsTable, four

MOST_NOISE_HZ = 2e7
"""More often no input triggers on noise: it takes time to return below its threshold."""
_LEAST_NOISE_HZ = 1e-30
"""More seldom noise never comes: waiting times stay numbers."""


def fraction_above(threshold: float, pulse: float, sigma: float) -> float:
    """Return the fraction of pulses of Gaussian height that exceed a threshold (all in one unit)."""
    if sigma == 0:
        return float(threshold < pulse)
    return math.erfc((threshold - pulse) / (sigma * math.sqrt(2))) / 2


def noise_rate_hz(threshold: float, noise: float, bandwidth_hz: float) -> float:
    """Return how often white noise below a bandwidth, of this rms, rises through a threshold.

    ``bandwidth / sqrt(3) * exp(-threshold^2 / (2 noise^2))`` (Rice, Bell Syst. Tech. J. 24 (1945) 46, eq. 3.3-14), at
    most MOST_NOISE_HZ.
    """
    if noise == 0:
        return 0.0
    rate_hz = bandwidth_hz / math.sqrt(3) * math.exp(-((threshold / noise) ** 2) / 2)
    return min(MOST_NOISE_HZ, rate_hz) if rate_hz > _LEAST_NOISE_HZ else 0.0


@dataclass(frozen=True, eq=False, slots=True)
class Thresholds:
    """Effect of the current thresholds on pulses and noise.

    ``passes``, ``counted`` (4): fraction of each detector's pulses that exceed the threshold of its input, and the
    trigger level of its counter. ``noise_hz`` (4): rate of noise at each input of the tagger that is enabled;
    ``counter_noise_hz`` (4): at the detectors' own counter.
    """

    passes: NDArray[np.float64]
    counted: NDArray[np.float64]
    noise_hz: NDArray[np.float64]
    counter_noise_hz: NDArray[np.float64]


class PulseThresholds:
    """Thresholds of the tagger's inputs and of the detectors' own counter."""

    def __init__(
        self, table: DetectorsTable, detectors: Port[DetectorSettings], tagger: Port[TaggerSettings]
    ) -> None:
        self._detectors, self._tagger = detectors, tagger
        self._pulse_v = four(table.pulse_v)
        self._sigma_v, self._noise_v = table.pulse_sigma_v, table.noise_v
        self._bandwidth_hz = table.noise_bandwidth_hz
        self._counter_mv = None if table.counter_pulse_mv is None else four(table.counter_pulse_mv)
        self._settings: tuple[object, ...] = ()
        self._current: Thresholds | None = None

    def current(self) -> Thresholds:
        """Return the effect of the current thresholds; the same object while they stay."""
        tagger, detectors = self._tagger.settings, self._detectors.settings
        settings = (tagger.threshold_v, tagger.enabled, detectors.trigger_mv)
        if self._current is None or settings != self._settings:
            self._settings, self._current = settings, self._evaluate()
        return self._current

    def _evaluate(self) -> Thresholds:
        tagger, detectors = self._tagger.settings, self._detectors.settings
        thresholds_v, bandwidth_hz = tagger.threshold_v, self._bandwidth_hz
        pulses = zip(thresholds_v, self._pulse_v, strict=True)
        passes = np.array([fraction_above(level, pulse, self._sigma_v) for level, pulse in pulses])
        noise = [noise_rate_hz(level, self._noise_v, bandwidth_hz) for level in thresholds_v]
        counted, counter_noise_hz = np.ones(4), np.zeros(4)
        if self._counter_mv is not None:
            for n, (level, pulse) in enumerate(zip(detectors.trigger_mv, self._counter_mv, strict=True)):
                gain_mv_per_v = pulse / self._pulse_v[n]
                counted[n] = fraction_above(level, pulse, self._sigma_v * gain_mv_per_v)
                counter_noise_hz[n] = noise_rate_hz(level, self._noise_v * gain_mv_per_v, bandwidth_hz)
        return Thresholds(
            passes=passes,
            counted=counted,
            noise_hz=np.where(tagger.enabled, noise, 0.0),
            counter_noise_hz=counter_noise_hz,
        )
