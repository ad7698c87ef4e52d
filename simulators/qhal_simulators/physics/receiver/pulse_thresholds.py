"""Pulses and noise against thresholds: what the detectors' own counter and the tagger's inputs make of them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qhal_simulators.physics.ports import DetectorPort, TaggerPort
from qhal_simulators.physics.readout.background_chain import BackgroundChain, pieces
from qhal_simulators.physics.readout.click_kernels import Clock, Events, Inputs, tag_at_once
from qhal_simulators.physics.readout.click_sampler import Tags, key_of
from qhal_simulators.physics.scenario_tables import DetectorsTable, four

MOST_NOISE_HZ = 2e7
"""More often no input triggers on noise: it takes time to return below its threshold."""
_LEAST_NOISE_HZ = 1e-30
"""More seldom noise never comes: waiting times stay numbers."""
_BUFFER_EVENTS = 1 << 15
_TAGGER_NOISE, _COUNTER_NOISE = 5, 6


def share_above(threshold: float, pulse: float, sigma: float) -> float:
    """Return the share of pulses of Gaussian height that exceed a threshold (all in one unit)."""
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
    """What pulses and noise do at the thresholds as they are.

    ``passes``, ``counted`` (4): share of each detector's pulses that exceed the threshold of its input, and the trigger
    level of its counter. ``noise_hz`` (4): rate of noise at each input of the tagger that is enabled;
    ``counter_noise_hz`` (4): at the detectors' own counter.
    """

    passes: NDArray[np.float64]
    counted: NDArray[np.float64]
    noise_hz: NDArray[np.float64]
    counter_noise_hz: NDArray[np.float64]


class Electronics:
    """Decides which pulses pass, and how often noise does."""

    def __init__(self, table: DetectorsTable, detectors: DetectorPort, tagger: TaggerPort) -> None:
        self._detectors, self._tagger = detectors, tagger
        self._pulse_v = four(table.pulse_v)
        self._sigma_v, self._noise_v = table.pulse_sigma_v, table.noise_v
        self._bandwidth_hz = table.noise_bandwidth_hz
        self._counter_mv = None if table.counter_pulse_mv is None else four(table.counter_pulse_mv)
        self._settings: tuple[object, ...] = ()
        self._judged: Thresholds | None = None

    def judged(self) -> Thresholds:
        """Return what the thresholds of now do; the same object while they stay."""
        settings = (self._tagger.threshold_v, self._tagger.enabled, self._detectors.trigger_mv)
        if self._judged is None or settings != self._settings:
            self._settings, self._judged = settings, self._judge()
        return self._judged

    def _judge(self) -> Thresholds:
        thresholds_v, bandwidth_hz = self._tagger.threshold_v, self._bandwidth_hz
        pulses = zip(thresholds_v, self._pulse_v, strict=True)
        passes = np.array([share_above(level, pulse, self._sigma_v) for level, pulse in pulses])
        noise = [noise_rate_hz(level, self._noise_v, bandwidth_hz) for level in thresholds_v]
        counted, counter_noise_hz = np.ones(4), np.zeros(4)
        if self._counter_mv is not None:
            for n, (level, pulse) in enumerate(
                zip(self._detectors.trigger_mv, self._counter_mv, strict=True)
            ):
                gain_mv_per_v = pulse / self._pulse_v[n]
                counted[n] = share_above(level, pulse, self._sigma_v * gain_mv_per_v)
                counter_noise_hz[n] = noise_rate_hz(level, self._noise_v * gain_mv_per_v, bandwidth_hz)
        return Thresholds(passes, counted, np.where(self._tagger.enabled, noise, 0.0), counter_noise_hz)


class ElectronicNoise:
    """Draws what noise adds to tags and counts: Poisson chains of their own."""

    def __init__(self, seed: int) -> None:
        self.tagged, self.counted = np.zeros(4, np.int64), np.zeros(4, np.int64)
        self._inputs = BackgroundChain(key_of(seed, _TAGGER_NOISE))
        self._counter = BackgroundChain(key_of(seed, _COUNTER_NOISE))

    def begin(self, thresholds: Thresholds, start_s: float, *, afresh: bool) -> None:
        """Begin a stretch of equal rates."""
        self._inputs.begin(thresholds.noise_hz, start_s, afresh=afresh)
        self._counter.begin(thresholds.counter_noise_hz, start_s, afresh=afresh)

    def advance(self, until_s: float, clock: Clock, inputs: Inputs) -> Iterator[Tags]:
        """Yield the tags of noise before ``until_s``."""
        for _, marks, filled in pieces(self._counter, until_s, _BUFFER_EVENTS):
            self.counted += np.bincount(marks[:filled] & 3, minlength=4)
        for times_s, marks, filled in pieces(self._inputs, until_s, _BUFFER_EVENTS):
            self.tagged += np.bincount(marks[:filled] & 3, minlength=4)
            times, channels = np.empty(filled, np.int64), np.empty(filled, np.uint8)
            tag_at_once(Events(times_s, marks, filled), clock, inputs, times, channels)
            yield times, channels

    def end(self, stop_s: float) -> None:
        """Leave what holds now; what is left of each chain's way is carried over."""
        self._inputs.end(stop_s)
        self._counter.end(stop_s)
