"""The session of a device: how its connections are opened, and recovered after a time-out or a loss."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from qhal.devices.declaration import Identity
from qhal.devices.hooks import Hooks
from qhal.devices.known_unit import KnownUnit
from qhal.devices.status import Health
from qhal.errors import ConfigurationError, Disconnected, ProtocolError, QhalError, WrongDevice
from qhal.transport.base import Transport
from qhal.transport.connection import Connection, ConnectionState
from qhal.transport.proof import prove, refuse_more, wait_out_late_reply

log = logging.getLogger("qhal")

OPEN_S = 5.0
"""How long opening waits for a connection."""
OPENING_S = 60.0
"""How long opening may take in all; with a silent unit it ends at the first time-out."""
_REOPENING_S = 5.0
"""What a call may take beyond its own time-out to open a lost device again."""
_CONNECT_S = 1.0
CLOSE_S = 10.0
"""How long closing waits for a thread that uses a connection."""


class Session:
    """All connections of one device and what is known of its unit; opens, verifies and recovers them together.

    ``device``: the driver, of which only the hooks are used. ``expected``: identity fields that must match at every
    opening.
    """

    def __init__(
        self, device: Hooks, transports: Mapping[str, Transport], expected: Mapping[str, str]
    ) -> None:
        for field in expected:
            if field not in Identity.model_fields:
                fields = ", ".join(Identity.model_fields)
                raise ConfigurationError(f"{device.name}: expected field {field!r}; allowed are {fields}")
        self.device = device
        self.expected = dict(expected)
        self.unit = KnownUnit()
        self.connections = self._make_connections(transports)
        self._reconnects = 0

    @property
    def main(self) -> Connection:
        """The main connection; its lock is that of the device."""
        return self.connections["main"]

    @property
    def is_open(self) -> bool:
        """Whether it was opened and not closed; it may be lost at the moment."""
        return self.main.state is not ConnectionState.CLOSED

    @property
    def health(self) -> Health:
        """States and counters of the connections, without asking the device."""
        counters = [connection.counters for connection in self.connections.values()]
        worst = max(self._standing, key=lambda connection: list(ConnectionState).index(connection.state))
        return Health(
            state=worst.state.value if self.is_open else ConnectionState.CLOSED.value,
            exchanges=sum(c.exchanges for c in counters),
            timeouts=sum(c.timeouts for c in counters),
            protocol_errors=sum(c.protocol_errors for c in counters),
            losses=sum(c.losses for c in counters),
            unsolicited=sum(c.unsolicited for c in counters),
            reconnects=self._reconnects,
            settings_changed=dict(self.unit.settings_changed),
        )

    # -- all connections

    def open(self, first: Callable[[], None] | None = None) -> None:
        """Open all connections but those on demand; see :meth:`qhal.devices.device.Device.open`."""
        with self.main.held(OPENING_S):
            self.refuse_inherited()
            if not self.is_open:
                now = time.monotonic()
                with self._held(OPEN_S):
                    self._connect(now + OPEN_S, now + OPENING_S, first)
                log.info("%s: opened %s", self.device.name, self.unit.identity)

    def close(self) -> None:
        """Close all connections, once no thread uses them."""
        if self.main.state is ConnectionState.INHERITED:
            return
        if self.is_open:
            self.device._before_close()
        with self.main.held(CLOSE_S):
            for name in self.connections:
                self.close_connection(name)

    def refuse_inherited(self) -> None:
        """Raise Disconnected in a process that was forked from the one that opened the device."""
        if self.main.state is ConnectionState.INHERITED:
            raise Disconnected(
                f"{self.device.name}: {self.main.address} was opened by the process that this one was forked"
                " from; make a device of your own here"
            )

    # -- one connection

    def connection(self, name: str) -> Connection:
        """Return a connection by its name. Raises ConfigurationError if its address was not given."""
        if name not in self.connections:
            raise ConfigurationError(f"{self.device.name}: no address for connection {name!r}")
        return self.connections[name]

    def open_connection(self, name: str) -> Connection:
        """Open an on-demand connection, after closing it, and return it. Raises Disconnected."""
        connection = self.connection(name)
        self.refuse_inherited()
        with connection.held(CLOSE_S):
            connection.close()
            connection.settle(ConnectionState.CLOSED)
            connection.open(time.monotonic() + OPEN_S)
            connection.state = ConnectionState.READY
        return connection

    def close_connection(self, name: str) -> None:
        """Close an on-demand connection, once no thread uses it."""
        connection = self.connection(name)
        if connection.state is ConnectionState.INHERITED:
            return
        with connection.held(CLOSE_S):
            connection.close()
            connection.settle(ConnectionState.CLOSED)

    # -- inside

    def _make_connections(self, transports: Mapping[str, Transport]) -> dict[str, Connection]:
        specs = self.device.declaration.connections
        unknown = set(transports) - set(specs)
        missing = {name for name, spec in specs.items() if spec.required} - set(transports)
        if unknown or missing:
            raise ConfigurationError(
                f"{self.device.name}: connections of a {self.device.declaration.model} are {', '.join(specs)}; "
                + ", ".join([f"{n} is missing" for n in missing] + [f"{n} is unknown" for n in unknown])
            )
        connections: dict[str, Connection] = {}
        device_lock = threading.RLock()
        for name, transport in transports.items():
            spec = specs[name]
            label = self.device.name if name == "main" else f"{self.device.name}.{name}"
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
    def _standing(self) -> list[Connection]:
        """The connections that are open whenever the device is."""
        return [
            connection
            for name, connection in self.connections.items()
            if not self.device.declaration.connections[name].on_demand
        ]

    @contextmanager
    def _held(self, limit_s: float) -> Iterator[None]:
        """Hold all connections that are open whenever the device is, as no thread may use one that is closed."""
        deadline = time.monotonic() + limit_s
        with ExitStack() as stack:
            for connection in self._standing:
                stack.enter_context(connection.held(deadline - time.monotonic()))
            yield

    def _connect(self, deadline: float, budget_until: float, first: Callable[[], None] | None = None) -> None:
        """Open all standing connections by ``deadline``, call ``first``, and read everything by ``budget_until``.

        What is known of the device stays as it was when that fails, so that settings and limits fit each other; a
        device that was closed is closed again, one that was lost is still lost.
        """
        before, state = replace(self.unit), self.main.state
        try:
            for connection in self._standing:
                connection.budget_until = budget_until
                connection.open(deadline)
                if connection.transport.reopen_discards:
                    connection.settle(ConnectionState.VERIFYING)
                else:
                    wait_out_late_reply(
                        connection, proves=bool(self.device._proofs()) and connection is self.main
                    )
                    connection.state = ConnectionState.VERIFYING
            if not self.main.transport.reopen_discards:
                self.device._align()
                if proofs := self.device._proofs():
                    prove(self.main, proofs)
            self.device._start()
            if first is not None:
                first()
            identity = self.device._identify()
            self._check_identity(identity)
            self.unit.identity, self.unit.capabilities = identity, {}
            for part in self.device.parts:
                capabilities = self.unit.capabilities[part] = part._read_capabilities()
                if wrong := capabilities.contradictions():
                    raise ProtocolError(f"{self.device.name}: impossible capabilities: {'; '.join(wrong)}")
            settings = self.device._read_settings()
        except BaseException as error:
            self.unit = before
            for connection in self._standing:
                connection.close()
                connection.state = state
            if isinstance(error, QhalError) and self.device.name not in str(error):
                error.args = (f"{self.device.name}: {error}",)
            raise
        self.unit.reread(self.device.name, settings, self.device.setting_tolerances)
        for connection in self._standing:
            connection.settle(ConnectionState.READY)

    def _check_identity(self, identity: Identity) -> None:
        for field, target in self.expected.items():
            value = getattr(identity, field)
            if value != target:
                raise WrongDevice(
                    f"{self.device.name} ({self.main.address}): {field} is {value!r}, {target!r} is expected"
                )

    def _recover(self, limit_s: float) -> None:
        """Make the connections ready for a call with a time-out: verify a tainted one, reopen all when one is lost.

        Takes as long as the call and the line's delay, twice; reopening takes up to ``_REOPENING_S`` while the unit
        answers. The next call completes what is not done by then; the error names what is waited for.
        """
        with self.main.held(limit_s + _REOPENING_S):
            self.refuse_inherited()
            states = {connection.state for connection in self._standing}
            if ConnectionState.CLOSED in states:
                raise Disconnected(f"{self.device.name}: not open")
            if states <= {ConnectionState.READY, ConnectionState.VERIFYING}:
                return
            with self._held(limit_s):
                tainted = [
                    connection for connection in self._standing if connection.state is ConnectionState.TAINTED
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
        deadline = time.monotonic() + limit_s + 2 * self.main.line_delay_s
        proofs = self.device._proofs() if self.main in tainted else ()
        try:
            for connection in tainted:
                connection.budget_until = deadline
                wait_out_late_reply(connection, proves=bool(proofs) and connection is self.main)
                connection.state = ConnectionState.VERIFYING
            if proofs:
                prove(self.main, proofs, listen_s=self.main.line_delay_s)
            self.device._resynchronise()
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
        for connection in self._standing:
            connection.close()
            connection.state = ConnectionState.LOST
        now = time.monotonic()
        self._connect(now + max(limit_s, _CONNECT_S), now + limit_s + _REOPENING_S)
        self._reconnects += 1
        log.warning("%s: reopened (%d times so far)", self.device.name, self._reconnects)
