"""The device: named links, identity, opening, and coming back after a loss.

A driver is ``class Model(Device, Kind)``: it declares its links, says who it is (``_identify``), what it
can do (``_read_capabilities``) and how it is set (``_read_settings``), and fills in the private hooks of
its kind. Everything else - locks, deadlines, taint, reopening, reporting what changed meanwhile - is here.
"""

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Self, TypeVar

from qhal.clock import Clock, WallClock
from qhal.devices.declaration import Capabilities, Declaration, Identity, Options
from qhal.devices.status import Health
from qhal.errors import (
    ConfigurationError,
    DeviceError,
    Disconnected,
    ProtocolError,
    QhalError,
    Unsupported,
    WrongDevice,
)
from qhal.transport.link import Link
from qhal.transport.port import Port, PortState

log = logging.getLogger("qhal")

_OPEN_S = 5.0
_PROOFS = 3

FacetType = TypeVar("FacetType")
Value = TypeVar("Value")


class Device(ABC):
    """An instrument behind one or more links.

    ``expected`` are identity fields that must match at every opening (``serial_number``, ``model``, ...).
    Use it as a context manager; it is thread-safe.
    """

    declaration: ClassVar[Declaration]
    options_model: ClassVar[type[Options]] = Options
    facet_types: ClassVar[tuple[type, ...]] = ()
    """Classes of the further roles that ``_facets`` may return."""

    def __init__(
        self,
        links: Mapping[str, Link],
        *,
        name: str = "",
        clock: Clock | None = None,
        options: Options | None = None,
        expected: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name or self.declaration.model
        self.clock: Clock = clock or WallClock()
        self.options = options or self.options_model()
        self.interlock: Callable[[str, object], None] = _no_interlock
        self._expected = dict(expected or {})
        self._lock = threading.RLock()
        self._ports = self._make_ports(links)
        self._identity: Identity | None = None
        self._capabilities: Capabilities | None = None
        self._settings: dict[str, Any] = {}
        self._settings_changed: dict[str, tuple[str, str]] = {}
        self._reconnects = 0

    # -- what is known already

    @property
    def device(self) -> "Device":
        """The device itself (a facet answers with the device it belongs to)."""
        return self

    @property
    def port(self) -> Port:
        """The main port."""
        return self._ports["main"]

    @property
    def identity(self) -> Identity:
        """Who answered at the last opening."""
        if self._identity is None:
            raise Disconnected(f"{self.name}: not opened yet")
        return self._identity

    @property
    def opened_capabilities(self) -> Capabilities:
        """What the unit said it can do at the last opening."""
        if self._capabilities is None:
            raise Disconnected(f"{self.name}: not opened yet")
        return self._capabilities

    @property
    def settings(self) -> dict[str, Any]:
        """How it is set, as last read or set by this object; without asking."""
        return dict(self._settings)

    @property
    def is_open(self) -> bool:
        """Whether the device was opened and not closed; it may be lost at the moment."""
        return self.port.state is not PortState.CLOSED

    @property
    def health(self) -> Health:
        """States and counters of the links, without asking the device."""
        counters = [port.counters for port in self._ports.values()]
        worst = max(self._standing_ports, key=lambda port: list(PortState).index(port.state))
        return Health(
            state=worst.state.value if self.is_open else PortState.CLOSED.value,
            exchanges=sum(c.exchanges for c in counters),
            timeouts=sum(c.timeouts for c in counters),
            protocol_errors=sum(c.protocol_errors for c in counters),
            losses=sum(c.losses for c in counters),
            unsolicited=sum(c.unsolicited for c in counters),
            reconnects=self._reconnects,
            settings_changed=dict(self._settings_changed),
        )

    def link_port(self, name: str) -> Port:
        """Return the port of a named link. Raises ConfigurationError when it was not given."""
        if name not in self._ports:
            raise ConfigurationError(f"{self.name}: no address for link {name!r}")
        return self._ports[name]

    def facet(self, kind: type[FacetType]) -> FacetType:
        """Return this device in the role of a kind. Raises Unsupported when it does not offer it."""
        for candidate in (self, *self._facets()):
            if isinstance(candidate, kind):
                return candidate
        raise Unsupported(f"{self.name}: a {self.declaration.model} is no {kind.__name__}")

    # -- opening and closing

    def open(self) -> Self:
        """Open all links, check who answers, read capabilities and settings. Idempotent.

        Raises Disconnected, ReplyTimeout, WrongDevice, ProtocolError; whatever was opened is closed again.
        """
        with self._lock:
            if not self.is_open:
                self._connect()
                log.info("%s: opened %s", self.name, self._identity)
        return self

    def close(self) -> None:
        """Close all links; the hardware stays as it was set. Idempotent."""
        if self.is_open:
            self._before_close()
        with self._lock:
            for port in self._ports.values():
                port.link.close()
                port.state = PortState.CLOSED

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *exception: object) -> None:
        self.close()

    # -- for kinds and drivers

    def open_link(self, name: str) -> Port:
        """Open a link that is not open all the time, anew, and return its port. Raises Disconnected."""
        port = self.link_port(name)
        port.link.close()
        port.link.open(time.monotonic() + _OPEN_S)
        port.state = PortState.READY
        return port

    def close_link(self, name: str) -> None:
        """Close a link that is not open all the time."""
        port = self.link_port(name)
        port.link.close()
        port.state = PortState.CLOSED

    @contextmanager
    def changing(self, action: str, value: object = None) -> Iterator[None]:
        """Hold the device for a change: the interlocks are asked, the lock is kept, the change is logged."""
        with self._lock:
            self.interlock(action, value)
            try:
                yield
            except QhalError as error:
                self._suspect(error)
                log.warning("%s: %s(%s) failed: %s", self.name, action, value, error)
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

    # -- hooks of drivers

    @abstractmethod
    def _identify(self) -> Identity:
        """Ask the instrument who it is. Raises WrongDevice when it is no device of this model."""

    @abstractmethod
    def _read_capabilities(self) -> Capabilities:
        """Read what the unit can do."""

    @abstractmethod
    def _read_settings(self) -> dict[str, Any]:
        """Read every setting that somebody else, or a power cycle, could have changed."""

    def _start(self) -> None:
        """Bring a freshly opened link into a known state, before the first question."""

    def _before_close(self) -> None:
        """End what runs in the background, without the lock. Must not raise for a lost link."""

    def _prove(self) -> None:
        """Ask something whose answer no other question has, on the main port. By default: who it is."""
        identity = self._identify()
        if self._identity is not None and identity != self._identity:
            raise WrongDevice(f"{self.name}: {identity} answers where {self._identity} did")

    def _facets(self) -> tuple[object, ...]:
        """Return further roles of the device."""
        return ()

    def _known(self, reader: Callable[[], Value]) -> Value | None:
        """Return a setting; None when the device has no value for it, or one that cannot be.

        For ``_read_settings``: such a device opens, and its status says what is wrong. A reply that is none fails.
        """
        try:
            return reader()
        except (DeviceError, ProtocolError):
            if self.port.state is PortState.TAINTED:
                raise
            return None

    # -- inside

    def _make_ports(self, links: Mapping[str, Link]) -> dict[str, Port]:
        specs = self.declaration.links
        unknown = set(links) - set(specs)
        missing = {name for name, spec in specs.items() if spec.required} - set(links)
        if unknown or missing:
            raise ConfigurationError(
                f"{self.name}: links of a {self.declaration.model} are {', '.join(specs)}; "
                + ", ".join([f"{n} is missing" for n in missing] + [f"{n} is unknown" for n in unknown])
            )
        ports = {}
        for name, link in links.items():
            spec = specs[name]
            label = self.name if name == "main" else f"{self.name}.{name}"
            # Links that only listen have no replies to mix up and must not wait for the others.
            lock = self._lock if name in ("main", "control") else None
            port = Port(link, label, timeout_s=spec.timeout_s, late_s=spec.late_s, lock=lock)
            port.recover = self._recover
            ports[name] = port
        return ports

    @property
    def _standing_ports(self) -> list[Port]:
        """The ports that are open whenever the device is."""
        return [port for name, port in self._ports.items() if not self.declaration.links[name].on_demand]

    def _suspect(self, error: QhalError) -> None:
        """Taint the port when a whole reply held what cannot be: it may have been the answer to something else."""
        if isinstance(error, ProtocolError) and self.port.state is PortState.READY:
            self.port.taint()

    def _connect(self) -> None:
        deadline = time.monotonic() + _OPEN_S
        try:
            for port in self._standing_ports:
                port.link.open(deadline)
                if not port.link.reopen_discards:
                    port.wait_out_late_reply()  # a serial line may still bring what was asked before
                port.state = PortState.PROVING
            self._start()
            identity = self._identify()
            self._check_identity(identity)
            self._identity = identity
            self._capabilities = self._read_capabilities()
            if wrong := self._capabilities.contradictions():
                raise ProtocolError(f"{self.name}: what it says it can do cannot be: {'; '.join(wrong)}")
            settings = self._read_settings()
        except BaseException:
            for port in self._standing_ports:
                port.taint()
                port.link.close()
                port.state = PortState.LOST if self._settings else PortState.CLOSED
            raise
        self._note_changes(settings)
        for port in self._standing_ports:
            port.state = PortState.READY

    def _check_identity(self, identity: Identity) -> None:
        for field, wanted in self._expected.items():
            found = getattr(identity, field)
            if found != wanted:
                raise WrongDevice(
                    f"{self.name} ({self.port.link.address}): {field} is {found!r}, {wanted!r} is expected"
                )

    def _note_changes(self, settings: dict[str, Any]) -> None:
        before, self._settings = self._settings, settings
        for key, old in before.items():
            new = settings.get(key)
            if old != new:
                first_old, _ = self._settings_changed.get(key, (str(old), ""))
                self._settings_changed[key] = (first_old, str(new))
                log.warning("%s: after reopening %s is %s, was %s", self.name, key, new, old)

    def _recover(self) -> None:
        """Make the ports ready again: prove a tainted one, reopen everything when one is lost."""
        with self._lock:
            states = {port.state for port in self._standing_ports}
            if PortState.CLOSED in states:
                raise Disconnected(f"{self.name}: not open")
            if states <= {PortState.READY, PortState.PROVING}:
                return
            tainted = [port for port in self._standing_ports if port.state is PortState.TAINTED]
            if PortState.LOST not in states and not any(port.link.reopen_discards for port in tainted):
                try:
                    self._clean(tainted)
                    return
                except (Disconnected, WrongDevice):
                    pass  # the line is gone or somebody else is on it: open everything anew
            self._reopen()

    def _clean(self, tainted: list[Port]) -> None:
        for attempt in range(_PROOFS):
            try:
                for port in tainted:
                    port.wait_out_late_reply()
                    port.state = PortState.PROVING
                self._prove()
                break
            except QhalError as error:
                for port in tainted:
                    port.taint()
                if attempt == _PROOFS - 1 or isinstance(error, (Disconnected, WrongDevice)):
                    raise
        for port in tainted:
            port.state = PortState.READY

    def _reopen(self) -> None:
        for port in self._standing_ports:
            port.link.close()
            port.state = PortState.LOST
        self._connect()
        self._reconnects += 1
        log.warning("%s: reopened (%d times so far)", self.name, self._reconnects)

    def acknowledge_changes(self) -> None:
        """Forget the changes that ``health.settings_changed`` reports."""
        self._settings_changed.clear()

    def note_settings(self, **settings: Any) -> None:
        """Note what was set on purpose, so that it is not reported as a change after a loss."""
        self._settings.update(settings)


def _no_interlock(action: str, value: object) -> None:
    del action, value
