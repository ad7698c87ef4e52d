"""Light sources: lasers with power, frequency and an output that is off until it is asked for."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from qhal.devices.declaration import Capabilities
from qhal.devices.interface import Hazard, Interface, SafeState, check_range, check_read
from qhal.devices.status import Quality, Snapshot, Status
from qhal.errors import Busy, DeviceError

_OVERSHOOT_DB = 3.0
"""How far the power measured may stand above the highest that can be set, while the source settles."""
_DARK_DBM = -100.0
"""The least that a source's own monitor shows of light that comes out."""


class SourceCapabilities(Capabilities):
    """Limits of a source. ``tunes_while_emitting``: the frequency may be changed with the output on."""

    min_power_dbm: float
    max_power_dbm: float
    power_resolution_db: float
    min_frequency_thz: float
    max_frequency_thz: float
    frequency_resolution_thz: float
    tunes_while_emitting: bool


class SourceStatus(Status):
    """Set points, and whether light comes out; ``power_dbm`` is measured by the source, None when dark.

    ``emitting`` None: it is not known whether light comes out.
    """

    emitting: bool | None
    set_power_dbm: float | None
    frequency_thz: float | None
    power_dbm: float | None


class Source(Interface[SourceCapabilities, SourceStatus]):
    """A light source."""

    hazard = Hazard.LIGHT

    def set_power_dbm(self, power_dbm: float) -> float:
        """Set the output power and return the set point read back, dBm. Raises OutOfRange."""
        limits = self.capabilities
        target = check_range(
            self.device, "power", power_dbm, limits.min_power_dbm, limits.max_power_dbm, "dBm"
        )
        with self.device.exclusive("set_power_dbm", target):
            self._write_power_dbm(target)
            readback = self._set_power_dbm()
            self.device.note_settings(power_dbm=readback)
        return readback

    def set_frequency_thz(self, frequency_thz: float) -> float:
        """Set the optical frequency and return what the unit then reports, THz.

        Raises OutOfRange, Busy while emitting when the unit cannot tune then, DeviceError when it ends elsewhere.
        """
        limits = self.capabilities
        target = check_range(
            self.device,
            "frequency",
            frequency_thz,
            limits.min_frequency_thz,
            limits.max_frequency_thz,
            "THz",
        )
        with self.device.exclusive("set_frequency_thz", target):
            if not limits.tunes_while_emitting and self._read_emitting():
                raise Busy(f"{self.device.name}: cannot change its frequency while it emits")
            self._write_frequency_thz(target)
            readback = self._frequency_thz()
            if abs(readback - target) > limits.frequency_resolution_thz:
                raise DeviceError(f"{self.device.name}: frequency is {readback} THz after setting {target}")
            self.device.note_settings(frequency_thz=readback)
        return readback

    def enable(self) -> None:
        """Turn the output on and return when it is stable. Raises DeviceError when it is not."""
        with self.device.exclusive("enable"):
            self._write_emitting(True)
            if not self._read_emitting():
                raise DeviceError(f"{self.device.name}: no light after enabling")
            self.device.note_settings(emitting=True)

    def disable(self) -> None:
        """Turn the output off. Raises DeviceError when light still comes out."""
        with self.device.exclusive("disable"):
            self._write_emitting(False)
            if self._read_emitting():
                raise DeviceError(f"{self.device.name}: still emits after disabling")
            self.device.note_settings(emitting=False)

    def read_emitting(self) -> bool:
        """Return whether light comes out."""
        return self._read_emitting()

    def _make_safe(self) -> SafeState:
        """Turn the output off."""
        self.disable()
        return SafeState.VERIFIED

    def _command_safe(self) -> None:
        """Turn the output off."""
        self._write_emitting(False)

    def status(self) -> SourceStatus:
        """Return one snapshot."""
        with self.device.locked():
            snapshot = Snapshot()
            for problem in snapshot.read(self._read_problems) or ():
                snapshot.note(problem, Quality.FAULTED)
            emitting = snapshot.read(self._read_emitting)
            return snapshot.taken(
                SourceStatus,
                emitting=emitting,
                set_power_dbm=snapshot.read(self._set_power_dbm),
                frequency_thz=snapshot.read(self._frequency_thz),
                power_dbm=None if emitting is False else snapshot.read(self._output_dbm),
            )

    @property
    def setting_tolerances(self) -> Mapping[str, float]:
        """The resolution of the unit, by name of the setting."""
        return {
            "power_dbm": self.capabilities.power_resolution_db,
            "frequency_thz": self.capabilities.frequency_resolution_thz,
        }

    def _set_power_dbm(self) -> float:
        limits, value = self.capabilities, self._read_set_power_dbm()
        return check_read(self.device, "set power", value, limits.min_power_dbm, limits.max_power_dbm, "dBm")

    def _frequency_thz(self) -> float:
        limits, value = self.capabilities, self._read_frequency_thz()
        return check_read(
            self.device, "frequency", value, limits.min_frequency_thz, limits.max_frequency_thz, "THz"
        )

    def _output_dbm(self) -> float:
        highest = self.capabilities.max_power_dbm + _OVERSHOOT_DB
        return check_read(self.device, "output power", self._read_output_dbm(), _DARK_DBM, highest, "dBm")

    def _read_settings(self) -> dict[str, Any]:
        return {
            "power_dbm": self.device.known(self._set_power_dbm),
            "frequency_thz": self.device.known(self._frequency_thz),
            "emitting": self.device.known(self._read_emitting),
        }

    @abstractmethod
    def _write_power_dbm(self, power_dbm: float) -> None:
        """Send the power set point."""

    @abstractmethod
    def _read_set_power_dbm(self) -> float:
        """Read the power set point."""

    @abstractmethod
    def _read_output_dbm(self) -> float:
        """Read the power measured at the output."""

    @abstractmethod
    def _write_frequency_thz(self, frequency_thz: float) -> None:
        """Send the frequency and wait until it is tuned."""

    @abstractmethod
    def _read_frequency_thz(self) -> float:
        """Read the frequency."""

    @abstractmethod
    def _write_emitting(self, emitting: bool) -> None:
        """Turn the output on or off and wait until it is so."""

    @abstractmethod
    def _read_emitting(self) -> bool:
        """Read whether light comes out."""

    @abstractmethod
    def _read_problems(self) -> tuple[str, ...]:
        """Read the faults and warnings, in words."""
