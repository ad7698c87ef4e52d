"""Variable optical attenuators."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from qhal.devices.declaration import Capabilities
from qhal.devices.interface import Hazard, Interface, SafeState, check_range, check_read
from qhal.devices.status import Snapshot, Status
from qhal.errors import DeviceError, PositionUnknown


class AttenuatorCapabilities(Capabilities):
    """Limits of an attenuator. ``min_attenuation_db`` is its insertion loss.

    ``transparent_while_homing``: homing may open the path; ``dark_without_power``: None when unknown;
    ``measured``: read-back is a measurement, not the set point.
    """

    min_attenuation_db: float
    max_attenuation_db: float
    resolution_db: float
    transparent_while_homing: bool
    dark_without_power: bool | None
    measured: bool


class AttenuatorStatus(Status):
    """``attenuation_db`` is None while the position is unknown (before homing)."""

    attenuation_db: float | None


class Attenuator(Interface[AttenuatorCapabilities, AttenuatorStatus]):
    """A variable attenuator; its attenuation is the total loss, insertion loss included."""

    hazard = Hazard.PATH

    def set_attenuation_db(self, attenuation_db: float) -> float:
        """Set the total loss and return what the unit then reports, dB.

        Raises OutOfRange beyond its limits (nothing is sent), DeviceError when the unit ends elsewhere.
        """
        limits = self.capabilities
        target = check_range(
            self.device,
            "attenuation",
            attenuation_db,
            limits.min_attenuation_db,
            limits.max_attenuation_db,
            "dB",
        )
        with self.device.exclusive("set_attenuation_db", target):
            self._write_attenuation_db(target)
            readback = self._attenuation_db()
            if abs(readback - target) > limits.resolution_db:
                raise DeviceError(
                    f"{self.device.name}: attenuation is {readback} dB after setting {target} dB"
                )
            self.device.note_settings(attenuation_db=readback)
        return readback

    def read_attenuation_db(self) -> float:
        """Return the total loss, dB. Raises PositionUnknown before the first homing."""
        with self.device.locked():
            return self._attenuation_db()

    def home(self) -> None:
        """Find the reference position again.

        The path may become transparent during the search: see ``capabilities.transparent_while_homing``.
        """
        with self.device.exclusive("home"):
            self._home()
            self.device.note_settings(attenuation_db=self._attenuation_db())

    def _make_safe(self) -> SafeState:
        """Set the highest attenuation; COMMANDED when the unit does not know its position."""
        limits = self.capabilities
        with self.device.exclusive("make_safe"):
            self._write_attenuation_db(limits.max_attenuation_db)
            try:
                readback = self._attenuation_db()
            except PositionUnknown:
                self.device.note_settings(attenuation_db=None)
                return SafeState.COMMANDED
            self.device.note_settings(attenuation_db=readback)
            if abs(readback - limits.max_attenuation_db) > limits.resolution_db:
                raise DeviceError(
                    f"{self.device.name}: attenuation is {readback} dB, not the maximum of"
                    f" {limits.max_attenuation_db} dB"
                )
        return SafeState.VERIFIED

    def status(self) -> AttenuatorStatus:
        """Return one snapshot."""
        with self.device.locked():
            snapshot = Snapshot()
            return snapshot.taken(AttenuatorStatus, attenuation_db=snapshot.read(self._attenuation_db))

    @property
    def setting_tolerances(self) -> Mapping[str, float]:
        """The resolution of the unit, by name of the setting."""
        return {"attenuation_db": self.capabilities.resolution_db}

    def _attenuation_db(self) -> float:
        limits = self.capabilities
        return check_read(
            self.device,
            "attenuation",
            self._read_attenuation_db(),
            limits.min_attenuation_db,
            limits.max_attenuation_db,
            "dB",
        )

    def _read_settings(self) -> dict[str, Any]:
        return {"attenuation_db": self.device.known(self._attenuation_db)}

    @abstractmethod
    def _write_attenuation_db(self, attenuation_db: float) -> None:
        """Send the set point and wait until the unit reports that it is reached."""

    @abstractmethod
    def _read_attenuation_db(self) -> float:
        """Read the attenuation. Raises PositionUnknown while the unit does not know it."""

    @abstractmethod
    def _home(self) -> None:
        """Home and wait for the end of it."""
