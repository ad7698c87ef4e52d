"""Detectors of a unit that no world is connected to: dark counts and voltages of a real sweep of four nanowires."""

import random

from qhal_simulators.physics.ports import DetectorSettings, Port
from qhal_simulators.physics.receiver.snspd import Nanowire
from qhal_simulators.simulated_time import SimulationClock

_EFFICIENCY = 0.8
_BELOW_SWITCHING_UA = 0.1
_COLD_STAGE_K, _SHIELD_K = 2.5, 40.0
_SWEEP = (
    # switching current (uA), dark counts one step (0.1 uA) below it (1/s), growth of the dark rate (1/uA)
    (28.1, 19_880.0, 7.6),
    (30.1, 11_860.0, 7.5),
    (32.4, 40_805.0, 5.6),
    (31.8, 29_275.0, 6.1),
)


class StandaloneDetectors:
    """Poisson counts of the dark rates, drawn at each reading. ``background_hz``: at any bias.

    Implements :class:`~qhal_simulators.physics.readings.DetectorReadings`; it always counts.
    """

    def __init__(self, clock: SimulationClock, background_hz: float) -> None:
        self.port = Port(DetectorSettings(), self._settings_changed)
        self.counting = False
        self._clock = clock
        self._draw = random.Random(1)
        self._wires = [
            Nanowire(
                efficiency=_EFFICIENCY,
                dark_count_rate_hz=dark_hz + background_hz,
                switch_ua=switching_ua,
                operating_ua=switching_ua - _BELOW_SWITCHING_UA,
                slope_per_ua=slope,
                background_hz=background_hz,
            )
            for switching_ua, dark_hz, slope in _SWEEP
        ]
        self._settings = self.port.settings
        self._counts = [0] * len(self._wires)
        self._latched = [False] * len(self._wires)
        self._counted_s = clock.now_s()

    def counts(self) -> tuple[int, ...]:
        """Return the counts of each detector so far."""
        now_s = self._clock.now_s()
        elapsed_s, self._counted_s = now_s - self._counted_s, now_s
        for n, wire in enumerate(self._wires):
            if self._settings.enabled and not self._latched[n]:
                mean = wire.dark_count_rate_at_hz(self._settings.bias_ua[n]) * elapsed_s
                self._counts[n] += max(0, round(self._draw.gauss(mean, mean**0.5)))
        return tuple(self._counts)

    def voltages_v(self) -> tuple[float, ...]:
        """Return the voltage over each bias line."""
        if not self._settings.enabled:
            return (0.0,) * len(self._wires)
        return tuple(
            wire.voltage_v(max(bias_ua, wire.switch_ua) if latched else bias_ua)
            for wire, bias_ua, latched in zip(self._wires, self._settings.bias_ua, self._latched, strict=True)
        )

    def latched(self) -> tuple[bool, ...]:
        """Return whether each detector is latched."""
        return tuple(self._latched)

    def temperatures_k(self) -> tuple[float, float]:
        """Return the temperatures of the cold stage and of the 40 K stage."""
        return _COLD_STAGE_K, _SHIELD_K

    def _settings_changed(self) -> None:
        """Count up to now by the old bias; latch wires at or above their switching current, reset unbiased ones."""
        self.counts()
        self._settings = self.port.settings
        for n, wire in enumerate(self._wires):
            bias_ua = self._settings.bias_ua[n] if self._settings.enabled else 0.0
            self._latched[n] = bias_ua > 0 and (self._latched[n] or bias_ua >= wire.switch_ua)
