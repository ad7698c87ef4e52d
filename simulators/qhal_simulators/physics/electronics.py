"""Pulses and noise against thresholds: what the detectors' own counter and the tagger's inputs make of them."""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from qhal_simulators.physics.detection import Clock, Events, Inputs, tag_at_once
from qhal_simulators.physics.draws import exponential
from qhal_simulators.physics.photo_events import background_events
from qhal_simulators.physics.ports import DetectorPort, TaggerPort
from qhal_simulators.physics.sampler import Tags, key_of
from qhal_simulators.physics.scenario import DetectorsTable, four

MOST_NOISE_HZ = 2e7
"""More often no input triggers on noise: it takes time to return below its threshold."""
_LEAST_NOISE_HZ = 1e-30
"""More seldom noise never comes: waiting times stay numbers."""
_BUFFER_EVENTS = 1 << 15
_NEVER_S = 1e300
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


class Electronics:
    """Decides which pulses pass, and draws what noise adds: Poisson chains of their own.

    ``passes``, ``counted`` (4): share of each detector's pulses that exceed the threshold of its input, and the trigger
    level of its counter. ``noise_hz`` (4): rate of noise at each input of the tagger that is enabled.
    """

    def __init__(self, table: DetectorsTable, seed: int, detectors: DetectorPort, tagger: TaggerPort) -> None:
        self._detectors, self._tagger = detectors, tagger
        self._pulse_v = four(table.pulse_v)
        self._sigma_v, self._noise_v = table.pulse_sigma_v, table.noise_v
        self._bandwidth_hz = table.noise_bandwidth_hz
        self._counter_mv = None if table.counter_pulse_mv is None else four(table.counter_pulse_mv)
        self._inputs_noise = _Noise(seed, _TAGGER_NOISE)
        self._counter_noise = _Noise(seed, _COUNTER_NOISE)
        self._settings: tuple[object, ...] = ()
        self._judge()

    @property
    def counted_noise(self) -> NDArray[np.int64]:
        """Counts of noise by the detectors' own counter since the start."""
        return self._counter_noise.counts

    @property
    def tagged_noise(self) -> NDArray[np.int64]:
        """Tags of noise by input since the start."""
        return self._inputs_noise.counts

    def begin(self, start_s: float) -> None:
        """Let pulses and noise meet the thresholds of now."""
        settings = (self._tagger.threshold_v, self._tagger.enabled, self._detectors.trigger_mv)
        if settings != self._settings:
            self._settings = settings
            self._judge()
        self._inputs_noise.begin(self.noise_hz, start_s)
        self._counter_noise.begin(self._counter_noise_hz, start_s)

    def advance(self, until_s: float, clock: Clock, inputs: Inputs) -> Iterator[Tags]:
        """Yield the tags of noise before ``until_s``."""
        for _ in self._counter_noise.advance(until_s):
            pass
        for events in self._inputs_noise.advance(until_s):
            times, channels = np.empty(events.filled, np.int64), np.empty(events.filled, np.uint8)
            tag_at_once(events, clock, inputs, times, channels)
            yield times, channels

    def end(self, stop_s: float) -> None:
        """Leave what holds now; what is left of each chain's way is carried over."""
        self._inputs_noise.end(stop_s)
        self._counter_noise.end(stop_s)

    def _judge(self) -> None:
        thresholds_v, bandwidth_hz = self._tagger.threshold_v, self._bandwidth_hz
        pulses = zip(thresholds_v, self._pulse_v, strict=True)
        self.passes = np.array([share_above(level, pulse, self._sigma_v) for level, pulse in pulses])
        noise = [noise_rate_hz(level, self._noise_v, bandwidth_hz) for level in thresholds_v]
        self.noise_hz = np.where(self._tagger.enabled, noise, 0.0)
        self.counted, self._counter_noise_hz = np.ones(4), np.zeros(4)
        if self._counter_mv is None:
            return
        for n, (level, pulse) in enumerate(zip(self._detectors.trigger_mv, self._counter_mv, strict=True)):
            gain_mv_per_v = pulse / self._pulse_v[n]
            self.counted[n] = share_above(level, pulse, self._sigma_v * gain_mv_per_v)
            self._counter_noise_hz[n] = noise_rate_hz(level, self._noise_v * gain_mv_per_v, bandwidth_hz)


class _Noise:
    """A chain of unit exponentials laid onto time, as that of the background."""

    def __init__(self, seed: int, part: int) -> None:
        self.counts = np.zeros(4, np.int64)
        self._key = key_of(seed, part)
        self._left = exponential(self._key, 0)
        self._number = np.zeros(1, np.int64)
        self._time_s = np.full(1, _NEVER_S)
        self._edges_hz = np.zeros(5)

    def begin(self, rates_hz: NDArray[np.float64], start_s: float) -> None:
        self._edges_hz = np.concatenate(([0.0], np.cumsum(rates_hz)))
        total_hz = self._edges_hz[-1]
        self._time_s[0] = start_s + self._left / total_hz if total_hz > 0 else _NEVER_S

    def advance(self, until_s: float) -> Iterator[Events]:
        while self._time_s[0] < until_s:
            times_s, marks = np.empty(_BUFFER_EVENTS), np.empty(_BUFFER_EVENTS, np.int32)
            filled = background_events(
                self._key, self._number, self._time_s, until_s, self._edges_hz, times_s, marks
            )
            self.counts += np.bincount(marks[:filled] & 3, minlength=4)
            yield Events(times_s, marks, filled)

    def end(self, stop_s: float) -> None:
        if self._edges_hz[-1] > 0:
            self._left = max(0.0, (self._time_s[0] - stop_s) * self._edges_hz[-1])
