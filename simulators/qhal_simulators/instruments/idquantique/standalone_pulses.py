"""Random pulses for a tagger that stands alone, without a world."""

import numpy as np
from numpy.typing import NDArray

from qhal_simulators.physics.ports import TaggerPort
from qhal_simulators.simulated_time import SimulationClock

_PULSE_V = 2.0
_PIECE_S = 0.01


class _Pulses:
    """Poisson pulses of 2 V on every input, drawn by pieces of 10 ms that depend on nothing but their number."""

    def __init__(self, port: TaggerPort, clock: SimulationClock, rate_hz: float) -> None:
        self._port = port
        self._clock = clock
        self._mean = rate_hz * _PIECE_S
        self._piece = 0
        self._clicks = [0, 0, 0, 0]
        self._kept: list[tuple[NDArray[np.int64], NDArray[np.uint8]]] = []

    def read_clicks(self) -> tuple[int, ...]:
        """Return the pulses so far on each input."""
        self._catch_up()
        return tuple(self._clicks)

    def take_tags(self) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Return all tags since the last call."""
        self._catch_up()
        times = np.concatenate([np.empty(0, np.int64), *(times for times, _ in self._kept)])
        inputs = np.concatenate([np.empty(0, np.uint8), *(inputs for _, inputs in self._kept)])
        past = times < self._clock.now_s() * 1e12
        self._kept = [(times[~past], inputs[~past])]
        return times[past], inputs[past]

    def _catch_up(self) -> None:
        now_s = self._clock.now_s()  # asked once: a clock faster than the draws would never be caught up with
        while self._piece * _PIECE_S <= now_s:
            draw = np.random.default_rng((1, self._piece))
            counts = draw.poisson(self._mean, 4)
            for n, count in enumerate(counts, 1):
                recorded = self._port.recording
                times = np.sort(draw.integers(0, round(_PIECE_S * 1e12), count)) if recorded else None
                if not self._port.enabled[n - 1] or self._port.threshold_v[n - 1] >= _PULSE_V:
                    continue
                self._clicks[n - 1] += int(count)
                if times is not None:
                    times += round(self._piece * _PIECE_S * 1e12) + self._port.delay_ps[n - 1]
                    resolution = self._port.resolution_ps
                    self._kept.append((times // resolution * resolution, np.full(count, n, np.uint8)))
            self._piece += 1


def give_pulses(port: TaggerPort, clock: SimulationClock, rate_hz: float) -> None:
    """Let a port that no world has wired see random pulses."""
    if port.alone:
        pulses = _Pulses(port, clock, rate_hz)
        port.read_clicks, port.take_tags = pulses.read_clicks, pulses.take_tags
