"""The device: identity, settings, opening and closing; its connections are in :mod:`qhal.devices.session`.

A driver is ``class Model(Device, Interface)``: it declares its connections, says who it is (``_identify``), what it
can do (``_read_capabilities``) and how it is set (``_read_settings``), and fills in the private hooks of
its kind. Everything else - locks, deadlines, taint, reopening, reporting what changed meanwhile - is here
and in its base class.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Generic, Self, TypeVar

from qhal.clock import Clock, WallClock
from qhal.devices.declaration import Capabilities, Identity, Options
from qhal.devices.described import Described
from qhal.devices.guarded import Guarded
from qhal.devices.session import CLOSE_S, OPEN_S, OPENING_S, Connected
from qhal.devices.shown import line, table
from qhal.devices.status import Health
from qhal.errors import (
    DeviceError,
    Disconnected,
    ProtocolError,
    QhalError,
    Unsupported,
)
from qhal.transport.base import Transport
from qhal.transport.connection import ConnectionState

log = logging.getLogger("qhal")

DeviceT = TypeVar("DeviceT", bound="Device", covariant=True)
InterfaceT = TypeVar("InterfaceT")
Value = TypeVar("Value")


class Device(Guarded, Connected):
    """An instrument behind one or more connections.

    ``expected`` are identity fields that must match at every opening (``serial_number``, ``model``, ...).
    Use it as a context manager; it is thread-safe.
    """

    options_model: ClassVar[type[Options]] = Options
    sub_device_types: "ClassVar[tuple[type[SubDevice[Any]], ...]]" = ()
    """Classes of the sub-devices that units of this model may have."""

    clock: Clock
    options: Options
    carries_traffic: bool

    def __init__(
        self,
        transports: Mapping[str, Transport],
        *,
        name: str = "",
        clock: Clock | None = None,
        options: Options | None = None,
        expected: Mapping[str, str] | None = None,
    ) -> None:
        self.clock = clock or WallClock()
        self.options = options or self.options_model()
        super().__init__(transports, name, expected or {})
        self.carries_traffic = False
        """Whether it carries a customer's traffic (``carries`` of the node file): ``make_safe`` leaves it alone."""
        self._sub_devices = tuple(each(self) for each in self.sub_device_types)

    def __repr__(self) -> str:
        return line(self)

    def _repr_html_(self) -> str:
        return table(self)

    # -- what is known already

    @property
    def device(self) -> "Device":
        """The device itself; of a sub-device, the device it belongs to."""
        return self

    @property
    def identity(self) -> Identity:
        """Who answered at the last opening."""
        if self._identity is None:
            raise Disconnected(f"{self.name}: not opened yet")
        return self._identity

    def capabilities_of(self, part: Described) -> Capabilities:
        """Return what this device, or one of its sub-devices, can do, as read when it was last opened.

        Raises Disconnected before the first opening.
        """
        if part not in self._capabilities:
            raise Disconnected(f"{self.name}: not opened yet")
        return self._capabilities[part]

    @property
    def settings(self) -> dict[str, Any]:
        """How it is set, as last read or set by this object; without asking."""
        return dict(self._settings)

    @property
    def is_open(self) -> bool:
        """Whether the device was opened and not closed; it may be lost at the moment."""
        return self.connection.state is not ConnectionState.CLOSED

    @property
    def health(self) -> Health:
        """States and counters of the connections, without asking the device."""
        counters = [connection.counters for connection in self._connections.values()]
        worst = max(
            self._standing_connections, key=lambda connection: list(ConnectionState).index(connection.state)
        )
        return Health(
            state=worst.state.value if self.is_open else ConnectionState.CLOSED.value,
            exchanges=sum(c.exchanges for c in counters),
            timeouts=sum(c.timeouts for c in counters),
            protocol_errors=sum(c.protocol_errors for c in counters),
            losses=sum(c.losses for c in counters),
            unsolicited=sum(c.unsolicited for c in counters),
            reconnects=self._reconnects,
            settings_changed=dict(self._settings_changed),
        )

    def get(self, interface: type[InterfaceT]) -> InterfaceT:
        """Return the device, or the first of its sub-devices, that has an interface. Raises Unsupported if none has."""
        for part in self.parts:
            if isinstance(part, interface):
                return part
        raise Unsupported(f"{self.name}: a {self.declaration.model} has no {interface.__name__} interface")

    def offers(self, interface: type) -> bool:
        """Return whether this unit has an interface; before the first opening, whether its model may."""
        return any(isinstance(part, interface) for part in self.parts)

    @property
    def parts(self) -> tuple[Described, ...]:
        """The device itself, then its sub-devices: those of this unit; before the first opening, of its model."""
        fitted = [each for each in self._sub_devices if self._identity is None or each.is_fitted()]
        return (self, *fitted)

    # -- opening and closing

    def open(self, *, first: Callable[[], None] | None = None) -> Self:
        """Open all connections, check who answers, read capabilities and settings. Idempotent.

        ``first`` is called as soon as commands can be sent, before the unit is asked who it is: to make safe without
        delay a unit that was identified at this address before.

        Raises Disconnected, ReplyTimeout, WrongDevice, ProtocolError; whatever was opened is closed again.
        """
        with self.connection.held(OPENING_S):
            self._refuse_inherited()
            if not self.is_open:
                now = time.monotonic()
                with self._held(OPEN_S):
                    self._connect(now + OPEN_S, now + OPENING_S, first)
                log.info("%s: opened %s", self.name, self._identity)
        return self

    def close(self) -> None:
        """Close all connections; the hardware stays as it was set. Idempotent.

        A thread that is waiting for a reply gets it first; the next use raises Disconnected. In a process that was
        forked off it does nothing. Raises ReplyTimeout when a thread does not let go of a connection within 10 s.
        """
        if self.connection.state is ConnectionState.INHERITED:
            return
        if self.is_open:
            self._before_close()
        with self.connection.held(CLOSE_S):
            for name in self._connections:
                self.close_connection(name)

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *exception: object) -> None:
        self.close()

    # -- for interfaces and drivers

    @contextmanager
    def changing(self, action: str, value: object = None) -> Iterator[None]:
        """Hold the device's lock for a change, and log what became of it."""
        with self._lock:
            self._changes += 1
            try:
                yield
            except QhalError as error:
                self._suspect(error)
                log.info("%s: %s(%s) failed: %s", self.name, action, value, error)
                raise
            log.info("%s: %s(%s)", self.name, action, value)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Hold the device for several exchanges that belong together."""
        with self._lock:
            try:
                yield
            except ProtocolError as error:
                self._suspect(error)
                raise

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Keep other threads from counting, but not from anything else: what makes safe must not wait for a count.

        Raises DeviceError when another thread changed a setting meanwhile: what was counted belongs to neither.
        """
        self._refuse_inherited()
        with self._counting:
            before = self._changes
            yield
            if self._changes != before:
                raise DeviceError(
                    f"{self.name}: another thread changed a setting during the count, which is therefore discarded"
                )

    # -- hooks of drivers; more of them are in the base class

    def _before_close(self) -> None:
        """End what runs in the background, without the lock. Must not raise for a lost connection."""

    def _known(self, reader: Callable[[], Value]) -> Value | None:
        """Return a setting; None when the device has no value for it, or one that cannot be.

        For ``_read_settings``: such a device opens, and its status says what is wrong. A reply that is none fails.
        """
        try:
            return reader()
        except (DeviceError, ProtocolError):
            if self.connection.state is ConnectionState.TAINTED:
                raise
            return None

    def _suspect(self, error: QhalError) -> None:
        """Taint the connection after an impossible value in a whole reply: it may answer another request."""
        if isinstance(error, ProtocolError) and self.connection.state is ConnectionState.READY:
            self.connection.taint()

    def acknowledge_changes(self) -> None:
        """Forget the changes that ``health.settings_changed`` reports."""
        self._settings_changed.clear()

    def note_settings(self, **settings: Any) -> None:
        """Note what was set on purpose, so that it is not reported as a change after a loss."""
        self._settings.update(settings)


class SubDevice(Guarded, Described, Generic[DeviceT]):
    """A part of a multi-function instrument with an interface of its own; it uses the connections of its device."""

    def __init__(self, device: DeviceT) -> None:
        super().__init__()
        self._device = device

    def __repr__(self) -> str:
        return f"<{type(self).__name__.lstrip('_')} of {self._device!r}>"

    @property
    def device(self) -> DeviceT:
        """The device that this is a part of."""
        return self._device

    def is_fitted(self) -> bool:
        """Return whether this unit has the part; asked once the unit is identified."""
        return True
