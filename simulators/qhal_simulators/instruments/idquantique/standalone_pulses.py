"""Random pulses for a tagger that stands alone, without a world."""

import numpy as np

from qhal_simulators.physics.ports import Port, TaggerSettings
from qhal_simulators.physics.readings import Tags
from qhal_simulators.simulated_time import SimulationClock

_PULSE_V = 2.0
_PIECE_S = 0.01


class RandomPulses:
    """Poisson pulses of 2 V on every input, drawn by pieces of 10 ms that depend on nothing but their number.

    Implements :class:`~qhal_simulators.physics.readings.TaggerReadings`; the clock is world time.
    """

    recording = counting = False
    counts_past_s = 0.0
    interpolator_bins = 1

    def __init__(self, clock: SimulationClock, rate_hz: float) -> None:
        self.port = Port(TaggerSettings())
        self._clock = clock
        self._mean = rate_hz * _PIECE_S
        self._piece = 0
        self._counts = [0, 0, 0, 0]
        self._stored: list[Tags] = []

    def counts(self) -> tuple[int, ...]:
        """Return the pulses so far on each input."""
        self._catch_up()
        return tuple(self._counts)

    def take_tags(self) -> Tags:
        """Return all tags since the last call."""
        self._catch_up()
        times = np.concatenate([np.empty(0, np.int64), *(times for times, _ in self._stored)])
        inputs = np.concatenate([np.empty(0, np.uint8), *(inputs for _, inputs in self._stored)])
        past = times < self._clock.now_s() * 1e12
        self._stored = [(times[~past], inputs[~past])]
        return times[past], inputs[past]

    def count_past(self, start_s: float, stop_s: float) -> tuple[int, ...]:
        """Raise RuntimeError: all pulses are drawn, none are left for a later count."""
        raise RuntimeError("random pulses are always drawn")

    def drawn_since_s(self) -> float:
        """Return the start."""
        return 0.0

    def overflows(self) -> int:
        """Return 0."""
        return 0

    def clock_ps(self, world_s: float) -> int:
        """Return a world time in picoseconds."""
        return round(world_s * 1e12)

    def _catch_up(self) -> None:
        settings = self.port.settings
        now_s = self._clock.now_s()  # read once: a clock faster than the draws would never be caught up with
        while self._piece * _PIECE_S <= now_s:
            draw = np.random.default_rng((1, self._piece))
            counts = draw.poisson(self._mean, 4)
            for n, count in enumerate(counts, 1):
                recording = self.recording
                times = np.sort(draw.integers(0, round(_PIECE_S * 1e12), count)) if recording else None
                if not settings.enabled[n - 1] or settings.threshold_v[n - 1] >= _PULSE_V:
                    continue
                self._counts[n - 1] += int(count)
                if times is not None:
                    times += round(self._piece * _PIECE_S * 1e12) + settings.delay_ps[n - 1]
                    resolution = settings.resolution_ps
                    self._stored.append((times // resolution * resolution, np.full(count, n, np.uint8)))
            self._piece += 1
