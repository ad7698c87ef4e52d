"""A simulated unit and a driver in one process, with a mangler of replies between them; seeded."""

import random
import time
from typing import Any

from qhal.devices.declaration import Capabilities
from qhal.devices.device import Device
from qhal.errors import Disconnected, ReplyTimeout
from qhal.node.driver_registry import load_driver
from qhal.transport.address import Address
from qhal.transport.base import Transport
from qhal.transport.connection import ConnectionState
from qhal_simulators.instrument import Instrument
from qhal_simulators.instrument_registry import load
from qhal_simulators.simulated_time import SimulationClock
from tests.attacks.damage import damage, mangle, with_checksum

ITLA = "purephotonics.ppcl550"
BINARY = ("thorlabs.mpc320",)
"""Replies without digits and without a checksum: another value in them cannot be told from a right one."""
MOST_SEEN = 200
STREAM_PORTS = 4241
MOST_REQUESTS = 20_000
"""No call of a driver needs that many, so one that makes them does not end."""


class Unit:
    """A simulated instrument whose replies are mangled at a ``rate``, and the driver that asks it."""

    def __init__(
        self, model: str, draw: random.Random, instrument: Instrument | None = None, **options: Any
    ) -> None:
        self.model, self.draw, self.rate = model, draw, 0.0
        self.kind = load_driver(model)
        if instrument is None:
            simulator = load(model)
            clock = SimulationClock(stepped=True)
            instrument = simulator(clock, None, simulator.options_model(**options))
        self.instrument, self.clock = instrument, instrument.clock
        self.instrument.bind_pair = lambda port: _Pair(self, port)
        self.mangled, self.requests, self.replies, self.seen = 0, 0, 0, []
        self.damaged, self.spoilt = -1, b""
        self.limits: list[Capabilities] = []
        self.request, self.instead = b"", {}
        self.pushed: dict[int, _Wire] = {}
        self.device = self.driver()

    def driver(self) -> Device:
        """Return a driver of its own, closed."""
        transports = {
            name: _Wire(self, name, spec.schemes == ("zmq+tcp",))
            for name, spec in self.kind.declaration.connections.items()
        }
        device = self.kind(transports, clock=_Clock(self.clock))
        for connection in device.session.connections.values():
            connection.line_delay_s = 0.0
        read = device._read_capabilities

        def note() -> Capabilities:
            self.limits.append(found := read())
            return found

        device._read_capabilities = note  # type: ignore[method-assign]
        return device

    def reopen(self) -> None:
        """Open another driver while nothing is mangled."""
        rate, self.rate = self.rate, 0.0
        self.device.close()
        self.instrument.power_on()
        self.instead.clear()
        self.device = self.driver()
        self.device.open()
        self.rate = rate

    def heal(self) -> None:
        """Make every connection ready that is open, as recovery does, without asking."""
        for connection in self.device.session.connections.values():
            if connection.transport.conn is not None:
                connection.reader.discard(time.monotonic() + 1.0)
                connection.settle(ConnectionState.READY)

    def asked(self) -> None:
        self.requests += 1
        assert self.requests < MOST_REQUESTS, "a call that does not end"

    def between(self, reply: bytes) -> list[bytes]:
        """Return what arrives of a reply; ``instead`` has other replies by a part of the request.

        The reply of number ``damaged`` has a number in it that is none.
        """
        self.replies += 1
        for part, other in self.instead.items():
            if part in self.request:
                return [other]
        if self.replies - 1 == self.damaged:
            self.mangled += 1
            self.spoilt = self._damage(reply)
            return [self.spoilt]
        if len(self.seen) < MOST_SEEN:
            self.seen.append(reply)
        elif self.draw.random() < 0.01:
            self.seen[self.draw.randrange(MOST_SEEN)] = reply
        if self.draw.random() >= self.rate:
            return [reply]
        self.mangled += 1
        match self.draw.randrange(20):
            case 0:
                return [reply, reply]
            case 1:
                return [reply, self.draw.choice(self.seen)]
            case 2:
                return [self.draw.choice(self.seen), reply]
        if self.model == ITLA and len(reply) == 4 and self.draw.random() < 0.7:
            return [with_checksum(reply, self.draw)]
        return [mangle(reply, self.seen, self.draw)]

    def _damage(self, reply: bytes) -> bytes:
        if self.model == ITLA:
            return reply[:3] + bytes([reply[3] ^ 1 << self.draw.randrange(8)])
        return reply if self.model in BINARY else damage(reply, self.draw)


class _Wire(Transport):
    """A transport to the instrument itself, without a socket."""

    reopen_discards = True
    conn: Any = None

    def __init__(self, unit: Unit, connection: str, keeps_messages: bool) -> None:
        number = STREAM_PORTS + int(connection[6:]) if connection.startswith("stream") else 1
        super().__init__(f"zmq+tcp://127.0.0.1:{number}" if keeps_messages else "tcp://memory:1")
        self.keeps_messages = keeps_messages
        self.unit, self.connection = unit, connection
        self.waiting: list[bytes] = []

    def open(self, deadline: float) -> None:
        if self.conn is not None:
            return
        if self.connection.startswith("stream"):
            self.conn = _Pushed()
            self.unit.pushed[Address(self.address).endpoint()[1]] = self
        else:
            self.conn = self.unit.instrument.connect(self.connection, self.arrived)

    def close(self) -> None:
        if self.conn is not None:
            self.conn.closed()
        self.conn = None
        self.waiting.clear()

    def write(self, data: bytes, deadline: float) -> None:
        if self.conn is None:
            raise Disconnected("closed")
        self.unit.asked()
        self.unit.request = bytes(data)
        self.conn.receive(bytes(data))

    def arrived(self, data: bytes) -> None:
        self.waiting += self.unit.between(bytes(data))

    def read_chunk(self, deadline: float, until: bytes | int) -> bytes:
        self.unit.asked()
        if not self.waiting:
            self.unit.clock.advance_to(self.unit.clock.now_s() + 1.0)
        while self.waiting:
            if data := self.waiting.pop(0):
                return data
        raise ReplyTimeout("no reply")

    def readable(self) -> bool:
        return any(self.waiting)


class _Pushed:
    """The far end of a connection that only listens."""

    def closed(self) -> None:
        pass


class _Pair:
    """Where a unit pushes; what comes before the driver listens waits."""

    def __init__(self, unit: Unit, port: int) -> None:
        self._unit, self._port = unit, port

    def send(self, data: bytes) -> bool:
        if (connection := self._unit.pushed.get(self._port)) is not None and connection.conn is not None:
            connection.arrived(data)
        return True

    def close(self) -> None:
        pass


class _Clock:
    def __init__(self, clock: SimulationClock) -> None:
        self._clock = clock

    def now_s(self) -> float:
        return self._clock.now_s()

    def sleep_s(self, duration_s: float) -> None:
        self._clock.advance_to(self._clock.now_s() + min(max(duration_s, 0.0), 100.0))

    advance_s = sleep_s

    def close(self) -> None:
        pass
