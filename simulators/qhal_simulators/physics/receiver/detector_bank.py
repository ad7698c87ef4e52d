"""The four detectors under their bias: which are latched, how efficient and how dark the others are."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from qhal_simulators.physics.ports import DetectorSettings, Port
from qhal_simulators.physics.receiver.snspd import Nanowire
from qhal_simulators.physics.scenario_tables import DetectorsTable


class DetectorBank:
    """Nanowires on the lines of a port. ``quantum_frequency_thz``: where they have the efficiency of the table."""

    def __init__(
        self, table: DetectorsTable, port: Port[DetectorSettings], quantum_frequency_thz: float
    ) -> None:
        self._table = table
        self._port = port
        self._quantum_frequency_thz = quantum_frequency_thz
        self._wires = tuple(
            Nanowire(
                efficiency=table.efficiency[n],
                dark_count_rate_hz=table.dark_count_rate_hz[n],
                switch_ua=table.switch_ua[n],
                operating_ua=table.operating_ua[n],
                slope_per_ua=table.slope_per_ua[n],
                background_hz=table.background_hz[n],
                width_ua=table.width_ua[n],
            )
            for n in range(4)
        )
        self.latched = [False] * 4
        self._known: dict[str, tuple[object, NDArray[np.float64]]] = {}

    def bias_changed(self) -> None:
        """Latch what is now biased beyond its switch current; what is without bias recovers."""
        settings = self._port.settings
        for n, wire in enumerate(self._wires):
            if not settings.enabled or settings.bias_ua[n] <= 0:
                self.latched[n] = False
            elif settings.bias_ua[n] >= wire.switch_ua:
                self.latched[n] = True

    def latch(self) -> None:
        """Latch all that are biased."""
        settings = self._port.settings
        self.latched = [
            latched or (settings.enabled and bias_ua > 0)
            for latched, bias_ua in zip(self.latched, settings.bias_ua, strict=True)
        ]

    def efficiency(self, frequency_thz: float) -> NDArray[np.float64]:
        """Return the efficiencies with the quantum laser at a frequency; the same array while they stay."""
        table = self._table
        tuned = 1 + table.efficiency_per_thz * (frequency_thz - self._quantum_frequency_thz)

        def values() -> NDArray[np.float64]:
            return np.clip(tuned * self._each(Nanowire.efficiency_at), 0.0, 1.0)

        return self._kept("efficiency", tuned, values)

    def dark_count_rate_hz(self, at_s: float) -> NDArray[np.float64]:
        """Return the dark count rates at a world time; the same array while they stay."""
        grown: float = (1 + self._table.dark_drift_per_hour) ** (at_s / 3600)

        def values() -> NDArray[np.float64]:
            return grown * self._each(Nanowire.dark_count_rate_at_hz)

        return self._kept("dark", grown, values)

    def voltages_v(self) -> tuple[float, ...]:
        """Return the voltages over the bias lines."""
        settings = self._port.settings
        return tuple(
            (wire.voltage_v(max(bias, wire.switch_ua) if latched else bias) if settings.enabled else 0.0)
            for wire, bias, latched in zip(self._wires, settings.bias_ua, self.latched, strict=True)
        )

    def _each(self, at_bias: Callable[[Nanowire, float], float]) -> NDArray[np.float64]:
        """Return a property of each wire at its bias; 0 for a latched or unbiased wire."""
        settings = self._port.settings
        wires = zip(self._wires, settings.bias_ua, self.latched, strict=True)
        alive = [(wire, bias_ua, settings.enabled and not latched) for wire, bias_ua, latched in wires]
        return np.array([at_bias(wire, bias_ua) if lives else 0.0 for wire, bias_ua, lives in alive])

    def _kept(
        self, name: str, scale: float, values: Callable[[], NDArray[np.float64]]
    ) -> NDArray[np.float64]:
        settings = self._port.settings
        key = (scale, settings.enabled, tuple(settings.bias_ua), tuple(self.latched))
        if name not in self._known or self._known[name][0] != key:
            self._known[name] = key, values()
        return self._known[name][1]
