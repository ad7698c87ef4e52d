"""Base of the interfaces, and the checks of their public methods."""

import math
from abc import abstractmethod
from collections.abc import Container, Iterable, Mapping
from datetime import UTC, datetime
from enum import Enum, IntEnum, StrEnum
from numbers import Real
from typing import TYPE_CHECKING, ClassVar, Generic, Self, TypeVar, cast

from qhal.devices.declaration import Capabilities
from qhal.devices.described import Described
from qhal.devices.device import Device
from qhal.devices.status import Status
from qhal.errors import OutOfRange, ProtocolError, Unsupported

if TYPE_CHECKING:  # Python itself knows the default from 3.13
    from typing_extensions import TypeVar as TypeVarWithDefault

    CapabilitiesT = TypeVarWithDefault(
        "CapabilitiesT", bound=Capabilities, covariant=True, default=Capabilities
    )
    StatusT = TypeVarWithDefault("StatusT", bound=Status, covariant=True, default=Status)
else:
    CapabilitiesT, StatusT = TypeVar("CapabilitiesT"), TypeVar("StatusT")

Choice = TypeVar("Choice", bound=Enum)
Number = TypeVar("Number")

_SLACK = 0.01
_HELD_BY_ANOTHER_S = 60.0
"""Twice as long as a homing takes, which is the longest that a thread holds a device."""
_FASTEST_HZ = 1e9
"""The counters of these instruments do not resolve pulses that are 1 ns from each other."""


class Hazard(IntEnum):
    """What a device can harm, in the order in which devices are made safe."""

    BIAS = 1
    """A biased detector, which bright light blinds, latches or destroys."""
    LIGHT = 2
    """Light of a source."""
    PATH = 3
    """An open path: an attenuator."""
    OTHER = 4
    """A path or a drive that harms nothing while bias and light are off."""


class SafeState(StrEnum):
    """How safe a device is after :meth:`Interface.make_safe`."""

    VERIFIED = "verified"
    """The unit confirms the safe state."""
    COMMANDED = "commanded"
    """The unit took the command but cannot confirm it: the position of an attenuator before its first homing."""
    UNTOUCHED = "untouched"
    """Left as it is: it carries a customer's traffic, or has no unsafe state."""


class Interface(Described, Generic[CapabilitiesT, StatusT]):
    """Abstract interface of a device type, with the types of its capabilities and its status.

    Public methods check arguments, hold the device's lock and verify; the private ones below them are the driver's.
    """

    hazard: ClassVar[Hazard] = Hazard.OTHER

    @property
    @abstractmethod
    def device(self) -> Device:
        """The device that offers this interface."""

    @property
    def capabilities(self) -> CapabilitiesT:
        """What the unit can do, read when it was opened. Raises Disconnected before the first opening."""
        return cast(
            CapabilitiesT, self.device.capabilities_of(self)
        )  # what _read_capabilities below returned

    def __enter__(self) -> Self:
        self.device.open()
        return self

    def __exit__(self, *exception: object) -> None:
        self.device.close()

    @abstractmethod
    def status(self) -> StatusT:
        """Return one coherent snapshot."""

    @abstractmethod
    def _read_capabilities(self) -> CapabilitiesT:
        """Read what the unit can do. Called once per opening, after the unit is identified."""

    def make_safe(self) -> SafeState:
        """Bring the device into the state that cannot harm anything behind it, and read it back.

        A device that carries a customer's traffic is left as it is. Raises DeviceError when the unit ends elsewhere,
        ReplyTimeout when another thread holds the device for a minute, and what the exchange raises.
        """
        if self.device.carries_traffic:
            return SafeState.UNTOUCHED
        with self.device.connection.held(_HELD_BY_ANOTHER_S):
            return self._make_safe()

    def command_safe(self) -> None:
        """Send the quickest safe command that needs no capabilities, where the interface has one.

        For a device that is being opened; :meth:`make_safe` completes and verifies it.
        """
        if not self.device.carries_traffic:
            self._command_safe()

    @abstractmethod
    def _make_safe(self) -> SafeState:
        """Make safe and verify."""

    def _command_safe(self) -> None:
        """Send the safe command before the unit is identified. By default none is quick enough."""


def now() -> datetime:
    """Return the time of a reading, UTC."""
    return datetime.now(UTC)


def check_range(device: Device, name: str, value: float, low: float, high: float, unit: str) -> float:
    """Return the value as a float. Raises OutOfRange, naming device, quantity and limits."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise OutOfRange(
            f"{device.name}: {name} {value!r} is not a number; {low:g} to {high:g} {unit} are allowed"
        )
    number = float(value)
    if math.isnan(number) or not low <= number <= high:
        raise OutOfRange(f"{device.name}: {name} {value} is not between {low:g} and {high:g} {unit}")
    return number


def check_read(device: Device, what: str, value: float, low: float, high: float, unit: str) -> float:
    """Return a value that was read, if the unit can have it.

    It may lie beyond the unit's own limits by 1 % of the range between them. Raises ProtocolError beyond that, and
    for what is not finite.
    """
    slack = _SLACK * (high - low)
    if not (math.isfinite(value) and low - slack <= value <= high + slack):
        raise ProtocolError(
            f"{device.name}: {what} reads {value:g} {unit}, which cannot be: its range is {low:g} to {high:g} {unit}"
        )
    return value


def check_counts(device: Device, counts: tuple[int, ...], channels: int, period_s: float) -> tuple[int, ...]:
    """Return counts that were read in a period. Raises ProtocolError for a number of them, or one, that cannot be."""
    if len(counts) != channels:
        raise ProtocolError(f"{device.name}: {len(counts)} counts for {channels} channels")
    most = period_s * _FASTEST_HZ
    for channel, count in enumerate(counts, 1):
        check_read(device, f"count of channel {channel} in {period_s:g} s", count, 0, most, "pulses")
        if count < 0:
            raise ProtocolError(f"{device.name}: channel {channel} counts {count} pulses")
    return counts


def check_channel(device: Device, channel: int, channels: int, what: str = "channel") -> int:
    """Return the channel. Raises Unsupported unless it is one of 1..channels."""
    if isinstance(channel, bool) or not isinstance(channel, int) or not 1 <= channel <= channels:
        raise Unsupported(f"{device.name}: {what} {channel!r}; there are 1 to {channels}")
    return channel


def check_flag(device: Device, name: str, value: bool) -> bool:
    """Return whether something is to be on. Raises OutOfRange for anything but True and False."""
    if not isinstance(value, bool):
        raise OutOfRange(f"{device.name}: {name} {value!r}; True and False are allowed")
    return value


def check_choice(device: Device, name: str, value: object, choices: type[Choice]) -> Choice:
    """Return a member of an enumeration, given as such or by its value. Raises OutOfRange, naming the allowed."""
    try:
        return choices(value)
    except ValueError:
        allowed = ", ".join(repr(each.value) for each in choices)
        raise OutOfRange(f"{device.name}: {name} {value!r}; allowed are {allowed}") from None


def check_row(device: Device, name: str, values: Iterable[Number], count: int) -> list[Number]:
    """Return one value for each of ``count`` channels. Raises OutOfRange for another number of them, and no row."""
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise OutOfRange(f"{device.name}: {name} {values!r}; a sequence of {count} numbers is needed")
    row = list(values)
    if len(row) != count:
        raise OutOfRange(f"{device.name}: {len(row)} values of {name}, {count} are needed")
    return row


def is_port(value: object, ports: Container[int]) -> bool:
    """Return whether a value is one of these numbers, and a whole number at all (1.0 and True equal 1)."""
    return isinstance(value, int) and not isinstance(value, bool) and value in ports
