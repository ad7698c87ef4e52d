"""Detectors of a unit that no world has wired: dark counts and voltages of a real sweep of four nanowires."""

import random

from qhal_simulators.physics.ports import DetectorPort
from qhal_simulators.physics.receiver.snspd import Nanowire
from qhal_simulators.simulated_time import SimulationClock

_BELOW_SWITCH_UA = 0.1
_SWEEP = (
    # switch current (uA), dark counts one step (0.1 uA) below it (1/s), growth of the dark rate (1/uA)
    (28.1, 19_880.0, 7.6),
    (30.1, 11_860.0, 7.5),
    (32.4, 40_805.0, 5.6),
    (31.8, 29_275.0, 6.1),
)


class AloneDetectors:
    """Poisson counts of the dark rates, drawn for the time between two looks. ``background_hz``: at any bias."""

    def __init__(self, port: DetectorPort, clock: SimulationClock, background_hz: float) -> None:
        self._port = port
        self._clock = clock
        self._draw = random.Random(1)
        self._wires = [
            Nanowire(
                0.8, dark_hz + background_hz, switch_ua, switch_ua - _BELOW_SWITCH_UA, slope, background_hz
            )
            for switch_ua, dark_hz, slope in _SWEEP
        ]
        self._counts = [0] * len(self._wires)
        self._latched = [False] * len(self._wires)
        self._looked_s = clock.now_s()
        port.read_clicks = self.read_clicks
        port.read_voltages_v = self.read_voltages_v
        port.read_latched = lambda: tuple(self._latched)

    def read_clicks(self) -> tuple[int, ...]:
        """Return the counts so far; call it before the bias changes."""
        now_s = self._clock.now_s()
        elapsed_s, self._looked_s = now_s - self._looked_s, now_s
        for n, wire in enumerate(self._wires):
            if self._port.enabled and not self._latched[n]:
                mean = wire.dark_count_rate_at_hz(self._port.bias_ua[n]) * elapsed_s
                self._counts[n] += max(0, round(self._draw.gauss(mean, mean**0.5)))
        return tuple(self._counts)

    def bias_changed(self) -> None:
        """Latch what is biased beyond its switch current; what is without bias recovers."""
        for n, wire in enumerate(self._wires):
            bias_ua = self._port.bias_ua[n] if self._port.enabled else 0.0
            self._latched[n] = bias_ua > 0 and (self._latched[n] or bias_ua >= wire.switch_ua)

    def read_voltages_v(self) -> tuple[float, ...]:
        """Return the voltages over the bias lines."""
        if not self._port.enabled:
            return (0.0,) * len(self._wires)
        return tuple(
            wire.voltage_v(max(bias_ua, wire.switch_ua) if latched else bias_ua)
            for wire, bias_ua, latched in zip(self._wires, self._port.bias_ua, self._latched, strict=True)
        )
