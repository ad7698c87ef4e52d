"""The four detectors under their bias: which are latched, how efficient and how dark the others are."""

import numpy as np
from numpy.typing import NDArray

from qhal_simulators.physics.ports import DetectorPort
from qhal_simulators.physics.scenario import DetectorsTable
from qhal_simulators.physics.snspd import Nanowire


class DetectorBank:
    """Nanowires on the lines of a port. ``quantum_frequency_thz``: where they have the efficiency of the table."""

    def __init__(self, table: DetectorsTable, port: DetectorPort, quantum_frequency_thz: float) -> None:
        self._table = table
        self._port = port
        self._quantum_frequency_thz = quantum_frequency_thz
        self._wires = tuple(
            Nanowire(*figures)
            for figures in zip(
                table.efficiency,
                table.dark_count_rate_hz,
                table.switch_ua,
                table.operating_ua,
                table.slope_per_ua,
                table.background_hz,
                table.width_ua,
                strict=True,
            )
        )
        self.latched = [False] * 4

    def bias_changed(self) -> None:
        """Latch what is now biased beyond its switch current; what is without bias recovers."""
        port = self._port
        for n, wire in enumerate(self._wires):
            if not port.enabled or port.bias_ua[n] <= 0:
                self.latched[n] = False
            elif port.bias_ua[n] >= wire.switch_ua:
                self.latched[n] = True

    def latch(self) -> None:
        """Latch all that are biased."""
        port = self._port
        self.latched = [
            latched or (port.enabled and bias_ua > 0)
            for latched, bias_ua in zip(self.latched, port.bias_ua, strict=True)
        ]

    def efficiency(self, frequency_thz: float) -> NDArray[np.float64]:
        """Return the efficiencies with the quantum laser at a frequency."""
        table = self._table
        tuned = 1 + table.efficiency_per_thz * (frequency_thz - self._quantum_frequency_thz)
        values = [
            wire.efficiency_at(bias_ua) if alive else 0.0
            for wire, bias_ua, alive in zip(self._wires, self._port.bias_ua, self._alive(), strict=True)
        ]
        return np.clip(tuned * np.array(values), 0.0, 1.0)

    def dark_count_rate_hz(self, at_s: float) -> NDArray[np.float64]:
        """Return the dark count rates at a world time."""
        grown: float = (1 + self._table.dark_drift_per_hour) ** (at_s / 3600)
        values = [
            wire.dark_count_rate_at_hz(bias_ua) if alive else 0.0
            for wire, bias_ua, alive in zip(self._wires, self._port.bias_ua, self._alive(), strict=True)
        ]
        return grown * np.array(values)

    def voltages_v(self) -> tuple[float, ...]:
        """Return the voltages over the bias lines."""
        port = self._port
        return tuple(
            (wire.voltage_v(max(bias, wire.switch_ua) if latched else bias) if port.enabled else 0.0)
            for wire, bias, latched in zip(self._wires, port.bias_ua, self.latched, strict=True)
        )

    def _alive(self) -> list[bool]:
        return [self._port.enabled and not latched for latched in self.latched]
