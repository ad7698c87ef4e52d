"""How a device opens its connections, and how it comes back after a time-out or a loss."""

import logging
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, ClassVar

from qhal.devices.declaration import Capabilities, Declaration, Identity
from qhal.devices.described import Described
from qhal.devices.settings import changed_settings
from qhal.errors import ConfigurationError, Disconnected, ProtocolError, QhalError, WrongDevice
from qhal.transport.base import Transport
from qhal.transport.connection import Connection, ConnectionState
from qhal.transport.proof import Proof, prove, refuse_more, wait_out_late_reply

log = logging.getLogger("qhal")

OPEN_S = 5.0
"""How long opening waits for a connection."""
OPENING_S = 60.0
"""How long opening may take in all; a unit that says nothing ends it at its first time-out."""
_REOPENING_S = 5.0
"""What a call may take beyond its own time-out to open a lost device again."""
_CONNECT_S = 1.0
CLOSE_S = 10.0
"""How long closing waits for a thread that uses a connection."""


class Connected(Described):
    """The connections of a device, and the hooks by which a driver identifies and describes itself."""

    declaration: ClassVar[Declaration]

    name: str

    def __init__(self, transports: Mapping[str, Transport], name: str, expected: Mapping[str, str]) -> None:
        self.name = name or self.declaration.model
        self._expected = dict(expected)
        for field in self._expected:
            if field not in Identity.model_fields:
                fields = ", ".join(Identity.model_fields)
                raise ConfigurationError(f"{self.name}: expected field {field!r}; allowed are {fields}")
        self._connections = self._make_connections(transports)
        self._identity: Identity | None = None
        self._capabilities: dict[Described, Capabilities] = {}
        self._settings: dict[str, Any] = {}
        self._settings_changed: dict[str, tuple[str, str]] = {}
        self._reconnects = 0
        self._changes = 0
        self._counting = threading.RLock()
        super().__init__()  # the interface of a driver has a state of its own

    @property
    def connection(self) -> Connection:
        """The main connection."""
        return self._connections["main"]

    @property
    def _lock(self) -> threading.RLock:
        """The lock of the device is that of its main connection."""
        return self.connection.lock

    # -- connections

    def connection_named(self, name: str) -> Connection:
        """Return a connection by its name. Raises ConfigurationError when it was not given."""
        if name not in self._connections:
            raise ConfigurationError(f"{self.name}: no address for connection {name!r}")
        return self._connections[name]

    def open_connection(self, name: str) -> Connection:
        """Open an on-demand connection, after closing it, and return it. Raises Disconnected."""
        connection = self.connection_named(name)
        self._refuse_inherited()
        with connection.held(CLOSE_S):
            connection.close()
            connection.settle(ConnectionState.CLOSED)
            connection.open(time.monotonic() + OPEN_S)
            connection.state = ConnectionState.READY
        return connection

    def close_connection(self, name: str) -> None:
        """Close an on-demand connection, once no thread uses it."""
        connection = self.connection_named(name)
        if connection.state is ConnectionState.INHERITED:
            return
        with connection.held(CLOSE_S):
            connection.close()
            connection.settle(ConnectionState.CLOSED)

    # -- hooks of drivers

    @abstractmethod
    def _identify(self) -> Identity:
        """Ask the instrument who it is. Raises WrongDevice when it is another model."""

    @abstractmethod
    def _read_settings(self) -> dict[str, Any]:
        """Read every setting that another client or a power cycle could have changed."""

    def _align(self) -> None:
        """End what another program may have left half said, on a connection that outlives its clients."""

    def _start(self) -> None:
        """Bring a freshly opened connection into a known state, before the first question."""

    def _proofs(self) -> tuple[Proof, ...]:
        """Return at least two questions on the main connection whose answers fit no other request.

        Needed on a serial line, where a late reply cannot be called back: without them only the declared delay of
        the line keeps it from the next question.
        """
        return ()

    def _resynchronise(self) -> None:
        """Check on the main connection that it is still this unit and that it can be used. By default: who it is."""
        identity = self._identify()
        if self._identity is not None and identity != self._identity:
            raise WrongDevice(f"{self.name}: {identity} answers where {self._identity} did")

    @property
    @abstractmethod
    def parts(self) -> tuple[Described, ...]:
        """The device itself and its sub-devices."""

    # -- inside

    def _make_connections(self, transports: Mapping[str, Transport]) -> dict[str, Connection]:
        specs = self.declaration.connections
        unknown = set(transports) - set(specs)
        missing = {name for name, spec in specs.items() if spec.required} - set(transports)
        if unknown or missing:
            raise ConfigurationError(
                f"{self.name}: connections of a {self.declaration.model} are {', '.join(specs)}; "
                + ", ".join([f"{n} is missing" for n in missing] + [f"{n} is unknown" for n in unknown])
            )
        connections: dict[str, Connection] = {}
        device_lock = threading.RLock()
        for name, transport in transports.items():
            spec = specs[name]
            label = self.name if name == "main" else f"{self.name}.{name}"
            # Connections that only listen have no replies to mix up and must not wait for the others.
            lock = device_lock if name in ("main", "control") else None
            connection = Connection(
                transport, label, timeout_s=spec.timeout_s, line_delay_s=spec.line_delay_s, lock=lock
            )
            transport.max_frame_bytes = spec.max_frame_bytes
            connection.recover = self._recover
            connections[name] = connection
        return connections

    @property
    def _standing_connections(self) -> list[Connection]:
        """The connections that are open whenever the device is."""
        return [
            connection
            for name, connection in self._connections.items()
            if not self.declaration.connections[name].on_demand
        ]

    @contextmanager
    def _held(self, limit_s: float) -> Iterator[None]:
        """Hold all connections that are open whenever the device is, as no thread may use one that is closed."""
        deadline = time.monotonic() + limit_s
        with ExitStack() as stack:
            for connection in self._standing_connections:
                stack.enter_context(connection.held(deadline - time.monotonic()))
            yield

    def _connect(self, deadline: float, budget_until: float, first: Callable[[], None] | None = None) -> None:
        """Open all standing connections by ``deadline``, call ``first``, and read everything by ``budget_until``.

        What is known of the device stays as it was when that fails, so that settings and limits fit each other; a
        device that was closed is closed again, one that was lost is still lost.
        """
        known, state = (self._identity, self._capabilities), self.connection.state
        try:
            for connection in self._standing_connections:
                connection.budget_until = budget_until
                connection.open(deadline)
                if connection.transport.reopen_discards:
                    connection.settle(ConnectionState.VERIFYING)
                else:
                    wait_out_late_reply(
                        connection, proves=bool(self._proofs()) and connection is self.connection
                    )
                    connection.state = ConnectionState.VERIFYING
            if not self.connection.transport.reopen_discards:
                self._align()
                if proofs := self._proofs():
                    prove(self.connection, proofs)
            self._start()
            if first is not None:
                first()
            identity = self._identify()
            self._check_identity(identity)
            self._identity = identity
            self._capabilities = {}
            for part in self.parts:
                capabilities = self._capabilities[part] = part._read_capabilities()
                if wrong := capabilities.contradictions():
                    raise ProtocolError(f"{self.name}: what it says it can do cannot be: {'; '.join(wrong)}")
            settings = self._read_settings()
        except BaseException as error:
            self._identity, self._capabilities = known
            for connection in self._standing_connections:
                connection.close()
                connection.state = state
            if isinstance(error, QhalError) and self.name not in str(error):
                error.args = (f"{self.name}: {error}",)
            raise
        self._note_changes(settings)
        for connection in self._standing_connections:
            connection.settle(ConnectionState.READY)

    def _check_identity(self, identity: Identity) -> None:
        for field, wanted in self._expected.items():
            found = getattr(identity, field)
            if found != wanted:
                raise WrongDevice(
                    f"{self.name} ({self.connection.address}): {field} is {found!r}, {wanted!r} is expected"
                )

    def _note_changes(self, settings: dict[str, Any]) -> None:
        before, self._settings = self._settings, {**settings}
        changes = changed_settings(before, settings, self.setting_tolerances)
        for key, old in before.items():
            if key not in changes:
                self._settings[key] = old  # a slow drift adds up
        for key, (old, new) in changes.items():
            first_old, _ = self._settings_changed.get(key, (str(old), ""))
            self._settings_changed[key] = (first_old, str(new))
            log.warning("%s: after reopening %s is %s, was %s", self.name, key, new, old)

    def _refuse_inherited(self) -> None:
        if self.connection.state is ConnectionState.INHERITED:
            raise Disconnected(
                f"{self.name}: {self.connection.address} was opened by the process that this one was forked"
                " from; make a device of your own here"
            )

    def _recover(self, limit_s: float) -> None:
        """Make the connections ready for a call with a time-out: verify a tainted one, reopen all when one is lost.

        Takes as long as the call and the line's delay, twice; reopening takes up to ``_REOPENING_S`` while the unit
        answers. What is not done by then is left to the next call, and the error says what is being waited for.
        """
        with self.connection.held(limit_s + _REOPENING_S):
            self._refuse_inherited()
            states = {connection.state for connection in self._standing_connections}
            if ConnectionState.CLOSED in states:
                raise Disconnected(f"{self.name}: not open")
            if states <= {ConnectionState.READY, ConnectionState.VERIFYING}:
                return
            with self._held(limit_s):
                tainted = [
                    connection
                    for connection in self._standing_connections
                    if connection.state is ConnectionState.TAINTED
                ]
                if ConnectionState.LOST not in states and not any(
                    connection.transport.reopen_discards for connection in tainted
                ):
                    try:
                        self._clean(tainted, limit_s)
                        return
                    except (Disconnected, WrongDevice):
                        pass  # the line is gone or another unit is on it: open everything again
                self._reopen(limit_s)

    def _clean(self, tainted: list[Connection], limit_s: float) -> None:
        """Wait for a late reply and prove that none is under way."""
        deadline = time.monotonic() + limit_s + 2 * self.connection.line_delay_s
        proofs = self._proofs() if self.connection in tainted else ()
        try:
            for connection in tainted:
                connection.budget_until = deadline
                wait_out_late_reply(connection, proves=bool(proofs) and connection is self.connection)
                connection.state = ConnectionState.VERIFYING
            if proofs:
                prove(self.connection, proofs, listen_s=self.connection.line_delay_s)
            self._resynchronise()
            for connection in tainted:
                refuse_more(connection, 0.0 if proofs else connection.line_delay_s)
        except BaseException:
            for connection in tainted:
                if connection.state is ConnectionState.VERIFYING:
                    connection.state = ConnectionState.TAINTED
            raise
        for connection in tainted:
            connection.settle(ConnectionState.READY)

    def _reopen(self, limit_s: float) -> None:
        for connection in self._standing_connections:
            connection.close()
            connection.state = ConnectionState.LOST
        now = time.monotonic()
        self._connect(now + max(limit_s, _CONNECT_S), now + limit_s + _REOPENING_S)
        self._reconnects += 1
        log.warning("%s: reopened (%d times so far)", self.name, self._reconnects)
