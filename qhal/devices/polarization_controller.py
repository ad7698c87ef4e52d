"""Polarization controllers made of paddles that turn fibre retarders."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from qhal.devices.declaration import Capabilities
from qhal.devices.interface import Interface, SafeState, check_channel, check_range, check_read, check_row
from qhal.devices.status import Snapshot, Status
from qhal.errors import DeviceError


class PolarizationControllerCapabilities(Capabilities):
    """Paddles 1..N in the order the light passes them, their range and resolution in degrees."""

    paddles: int
    min_angle_deg: float
    max_angle_deg: float
    resolution_deg: float


class PolarizationControllerStatus(Status):
    """Angle of each paddle, degrees; None is unknown."""

    angles_deg: tuple[float | None, ...]


class PolarizationController(Interface[PolarizationControllerCapabilities, PolarizationControllerStatus]):
    """A controller whose paddles rotate fibre retarders; the polarization that results is not known to it."""

    def set_angle_deg(self, paddle: int, angle_deg: float) -> float:
        """Turn one paddle and return the angle reached. Raises Unsupported, OutOfRange, DeviceError."""
        check_channel(self.device, paddle, self.capabilities.paddles, "paddle")
        return self._move({paddle: self._checked(paddle, angle_deg)})[paddle - 1]

    def set_angles_deg(self, angles_deg: Sequence[float]) -> tuple[float, ...]:
        """Turn all paddles at once and return the angles reached.

        Raises OutOfRange (then no paddle moves), DeviceError when one does not arrive.
        """
        row = check_row(self.device, "angle", angles_deg, self.capabilities.paddles)
        return self._move({n: self._checked(n, angle) for n, angle in enumerate(row, 1)})

    def read_angles_deg(self) -> tuple[float, ...]:
        """Return the angle of every paddle."""
        with self.device.locked():
            return self._angles_deg()

    def home(self) -> None:
        """Send all paddles to their reference position."""
        with self.device.exclusive("home"):
            self._home()
            self.device.note_settings(angles_deg=self._angles_deg())

    def _make_safe(self) -> SafeState:
        """Do nothing: no position of a paddle harms anything."""
        return SafeState.UNTOUCHED

    def status(self) -> PolarizationControllerStatus:
        """Return one snapshot."""
        with self.device.locked():
            snapshot = Snapshot()
            paddles = range(1, self.capabilities.paddles + 1)
            return snapshot.taken(
                PolarizationControllerStatus,
                angles_deg=tuple(snapshot.read(self._angle_deg, paddle) for paddle in paddles),
            )

    @property
    def setting_tolerances(self) -> Mapping[str, float]:
        """The resolution of the unit, by name of the setting."""
        return {"angles_deg": self.capabilities.resolution_deg}

    def _angles_deg(self) -> tuple[float, ...]:
        return tuple(map(self._angle_deg, range(1, self.capabilities.paddles + 1)))

    def _angle_deg(self, paddle: int) -> float:
        limits, angle_deg = self.capabilities, self._read_angle_deg(paddle)
        what = f"angle of paddle {paddle}"
        return check_read(self.device, what, angle_deg, limits.min_angle_deg, limits.max_angle_deg, "deg")

    def _checked(self, paddle: int, angle_deg: float) -> float:
        limits = self.capabilities
        return check_range(
            self.device,
            f"angle of paddle {paddle}",
            angle_deg,
            limits.min_angle_deg,
            limits.max_angle_deg,
            "deg",
        )

    def _move(self, targets_deg: dict[int, float]) -> tuple[float, ...]:
        with self.device.exclusive("set_angles_deg", targets_deg):
            self._move_to_deg(targets_deg)
            reached = self._angles_deg()
            self.device.note_settings(angles_deg=reached)
            for paddle, target in targets_deg.items():
                if abs(reached[paddle - 1] - target) > self.capabilities.resolution_deg:
                    raise DeviceError(
                        f"{self.device.name}: paddle {paddle} is at {reached[paddle - 1]:.2f} deg,"
                        f" not at {target:.2f} deg"
                    )
            return reached

    def _read_settings(self) -> dict[str, Any]:
        return {"angles_deg": self.device.known(self._angles_deg)}

    @abstractmethod
    def _move_to_deg(self, targets_deg: dict[int, float]) -> None:
        """Start all moves, then wait until all have ended."""

    @abstractmethod
    def _read_angle_deg(self, paddle: int) -> float:
        """Read the angle of one paddle."""

    @abstractmethod
    def _home(self) -> None:
        """Home all paddles and wait."""
