"""Base class of all drivers: one instrument, its session, its lock and its sub-devices.

A driver is ``class Model(Device, Interface)``: it declares its connections, fills in the hooks of
:mod:`qhal.devices.hooks` (identity, capabilities, settings) and the private methods of its interface. Locks, deadlines,
verification after a time-out, reopening and the report of changed settings come with the base classes.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Generic, Self, TypeVar

from qhal.clock import Clock, WallClock
from qhal.devices.declaration import Capabilities, Identity, Options
from qhal.devices.described import Described
from qhal.devices.guarded import Guarded
from qhal.devices.hooks import Hooks
from qhal.devices.session import Session
from qhal.devices.shown import line, table
from qhal.devices.status import Health
from qhal.errors import DeviceError, Disconnected, ProtocolError, QhalError, Unsupported, WrongDevice
from qhal.transport.base import Transport
from qhal.transport.connection import Connection, ConnectionState

log = logging.getLogger("qhal")

DeviceT = TypeVar("DeviceT", bound="Device", covariant=True)
InterfaceT = TypeVar("InterfaceT")
Value = TypeVar("Value")


class Device(Guarded, Hooks):
    """An instrument behind one or more connections.

    ``expected`` are identity fields that must match at every opening (``serial_number``, ``model``, ...).
    Use it as a context manager; it is thread-safe.
    """

    options_model: ClassVar[type[Options]] = Options
    sub_device_types: "ClassVar[tuple[type[SubDevice[Any]], ...]]" = ()
    """Classes of the sub-devices that units of this model may have."""

    session: Session
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
        self.name = name or self.declaration.model
        self.clock = clock or WallClock()
        self.options = options or self.options_model()
        self.carries_traffic = False
        """Whether it carries a customer's traffic (``carries`` of the node file): ``make_safe`` leaves it alone."""
        self.session = Session(self, transports, expected or {})
        self._changes = 0
        self._counting = threading.RLock()
        super().__init__()  # the interface of a driver has a state of its own
        self._sub_devices = tuple(each(self) for each in self.sub_device_types)

    def __repr__(self) -> str:
        return line(f"{type(self).__name__} {self.name!r}", *self._shown())

    def _repr_html_(self) -> str:
        return table(f"{type(self).__name__} {self.name!r}", *self._shown())

    def _shown(self) -> tuple[str, str, dict[str, Any]]:
        return self.connection.address, self.health.state, self.settings

    # -- what is known already

    @property
    def device(self) -> "Device":
        """The device itself; of a sub-device, the device it belongs to."""
        return self

    @property
    def connection(self) -> Connection:
        """The main connection."""
        return self.session.main

    @property
    def identity(self) -> Identity:
        """The identity that the unit reported when it was last opened. Raises Disconnected before the first opening."""
        if self.session.unit.identity is None:
            raise Disconnected(f"{self.name}: not opened yet")
        return self.session.unit.identity

    def capabilities_of(self, part: Described) -> Capabilities:
        """Return what this device, or one of its sub-devices, can do, as read when it was last opened.

        Raises Disconnected before the first opening.
        """
        if part not in self.session.unit.capabilities:
            raise Disconnected(f"{self.name}: not opened yet")
        return self.session.unit.capabilities[part]

    @property
    def settings(self) -> dict[str, Any]:
        """How it is set, as last read or set by this object; without asking."""
        return dict(self.session.unit.settings)

    @property
    def is_open(self) -> bool:
        """Whether the device was opened and not closed; it may be lost at the moment."""
        return self.session.is_open

    @property
    def health(self) -> Health:
        """States and counters of the connections, without asking the device."""
        return self.session.health

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
        fitted = [
            each for each in self._sub_devices if self.session.unit.identity is None or each.is_fitted()
        ]
        return (self, *fitted)

    # -- opening and closing

    def open(self, *, first: Callable[[], None] | None = None) -> Self:
        """Open all connections, check who answers, read capabilities and settings. Idempotent.

        ``first`` is called as soon as commands can be sent, before the unit is asked who it is: to make safe without
        delay a unit that was identified at this address before.

        Raises Disconnected, ReplyTimeout, WrongDevice, ProtocolError; all connections are closed again then.
        """
        self.session.open(first)
        return self

    def close(self) -> None:
        """Close all connections; the hardware stays as it was set. Idempotent.

        A thread that is waiting for a reply gets it first; the next use raises Disconnected. In a process that was
        forked off it does nothing. Raises ReplyTimeout when a thread does not let go of a connection within 10 s.
        """
        self.session.close()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *exception: object) -> None:
        self.close()

    # -- for interfaces and drivers

    @contextmanager
    def exclusive(self, action: str, value: object = None) -> Iterator[None]:
        """Hold the lock of the device for a change of its state, and log the outcome."""
        with self.connection.lock:
            self._changes += 1
            try:
                yield
            except QhalError as error:
                self._suspect(error)
                log.info("%s: %s(%s) failed: %s", self.name, action, value, error)
                raise
            log.info("%s: %s(%s)", self.name, action, value)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of the device for several exchanges that belong together."""
        with self.connection.lock:
            try:
                yield
            except ProtocolError as error:
                self._suspect(error)
                raise

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Keep other threads from counting, but not from anything else: what makes safe must not wait for a count.

        Raises DeviceError when another thread changed a setting during the count, which belongs to neither setting.
        """
        self.session.refuse_inherited()
        with self._counting:
            before = self._changes
            yield
            if self._changes != before:
                raise DeviceError(
                    f"{self.name}: another thread changed a setting during the count, which is therefore discarded"
                )

    def note_settings(self, **settings: Any) -> None:
        """Note what was set on purpose, so that it is not reported as a change after a loss."""
        self.session.unit.note(settings)

    # -- for drivers; their hooks are in the base class

    def _resynchronise(self) -> None:
        """Check that the main connection still leads to this unit: by default, by its identity."""
        identity = self._identify()
        if identity != self.identity:
            raise WrongDevice(f"{self.name}: {identity} answers where {self.identity} did")

    def known(self, reader: Callable[[], Value]) -> Value | None:
        """Return what a reader of a setting returns; None if the unit has no value for it, or an impossible one.

        For ``_read_settings``: such a device opens, and its status names the problem. Raises ProtocolError for a reply
        that does not belong to the query.
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
