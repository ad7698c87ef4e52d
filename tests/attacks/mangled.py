"""A simulated unit and a driver in one process, with a mangler of replies between them; seeded."""

import json
import random
import re
from typing import Any

from qhal.devices.device import Device
from qhal.errors import Disconnected, ReplyTimeout
from qhal.node.registry import load_driver
from qhal.transport.link import ByteLink, MessageLink
from qhal.transport.port import PortState
from qhal_simulators.clock import SimulationClock
from qhal_simulators.instruments.purephotonics.itla import bip4
from qhal_simulators.registry import load

MOST_REQUESTS = 20_000
"""No call of a driver needs that many, so one that makes them does not end."""
NUMBERS = (
    *(
        b"nan",
        b"-nan",
        b"inf",
        b"-INF",
        b"NINF",
        b"9.91E37",
        b"9.90000E+37",
        b"-9.9E37",
        b"+9.91E+37",
        b"1e999",
    ),
    *(
        b"-1",
        b"-0",
        b"0",
        b"1e5",
        b"1E300",
        b"-1e300",
        b"3.4028235E38",
        b"99.00",
        b"99999999999999999999",
        b"65535",
    ),
    *(
        b"1.2.3",
        b".",
        b"",
        b"+",
        b"-",
        b"e",
        b"1e",
        b"--1",
        b"1,2",
        b"0x1F",
        b"1_000",
        b"12.3k",
        b"250 mV",
        b"1.5ns",
    ),
    *("٣".encode(), "²".encode(), "1\u00a02".encode(), b"1" * 400, b"9" * 5000, b"0." + b"3" * 3000),
)
JSON_VALUES = (
    *(
        None,
        True,
        False,
        0,
        -3,
        1.5,
        10**12,
        1e300,
        10**400,
        float("nan"),
        float("inf"),
        "x",
        "1e3",
        "false",
        "",
        [],
        {},
    ),
    *(
        [True] * 4,
        [0],
        [None] * 4,
        [float("nan")] * 4,
        [20.0] * 3,
        [-2000.0] * 4,
        [1e300] * 4,
        ["1"] * 4,
        [[1.0]] * 4,
    ),
    *({"value": 1}, {"error": "busy"}, {"error": {}}, {"error": None}, [{"description": 3}], [1, [2, [3]]]),
)
PIECES = (
    *(
        b"\xff\xfe",
        b"\xb2",
        b"\x00",
        b'"',
        b"'",
        b"\n",
        b"\r\n",
        b"\r",
        b",",
        b",,,,",
        b";",
        b"::",
        b"  ",
        b"\t",
        b"()",
    ),
    *(
        b"#9999999999",
        b"#0",
        b"(@",
        b"(@1:99)",
        b"\x17",
        b"}{",
        b"{}",
        b"[",
        b"Error",
        b"Done\r\n",
        "µ€😀".encode(),
    ),
    *(b"[" * 3000, b'{"a":' * 2000, b"," * 500, b" " * 2000),
)
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|ON|OFF")


def mangle(reply: bytes, seen: list[bytes], draw: random.Random) -> bytes:
    """Return a reply with one to three things wrong with it; ``seen`` are earlier ones."""
    found = bytearray(reply)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        at = draw.randrange(len(found) + 1)
        match draw.randrange(9):
            case 0 if found:
                found[at - 1] ^= 1 << draw.randrange(8)
            case 1:
                del found[at : at + draw.randrange(1, 9)]
            case 2:
                del found[at:]
            case 3:
                found[at:at] = draw.choice(PIECES)
            case 4:
                found[at:at] = found[at : at + draw.randrange(1, 20)] * draw.choice((1, 1, 1, 50))
            case 5:
                found[at:at] = draw.randbytes(draw.randrange(1, 12))
            case 6 if seen:
                found = bytearray(draw.choice(seen))
            case 7 if found[:1] in (b"{", b"["):
                found = bytearray(_mangled_json(bytes(found), draw))
            case _:
                if numbers := list(_NUMBER.finditer(found)):
                    number = draw.choice(numbers)
                    found[number.start() : number.end()] = draw.choice(NUMBERS)
    return bytes(found[:20_000])


def _mangled_json(reply: bytes, draw: random.Random) -> bytes:
    """Put another value in the place of one in a JSON text; leave what is none."""
    end = b"\x17" if reply.endswith(b"\x17") else b""
    try:
        content = json.loads(reply.removesuffix(end))
    except (ValueError, RecursionError):
        return reply
    holder: Any = content
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        if not keys:
            return json.dumps(draw.choice(JSON_VALUES)).encode() + end
        key = draw.choice(keys)
        if isinstance(holder[key], dict | list) and holder[key] and draw.random() < 0.6:
            holder = holder[key]
            continue
        holder[key] = draw.choice(JSON_VALUES)
        return json.dumps(content).encode() + end


class Unit:
    """A simulated instrument whose replies are mangled at a ``rate``, and the driver that asks it."""

    def __init__(self, model: str, draw: random.Random, **options: Any) -> None:
        self.model, self.draw, self.rate = model, draw, 0.0
        self.kind = load_driver(model)
        self.clock = SimulationClock(stepped=True)
        simulator = load(model)
        self.instrument = simulator(self.clock, None, simulator.options_model(**options))
        self.instrument.bind_pair = lambda port: _Pair()
        self.mangled, self.requests, self.seen = 0, 0, []
        self.request, self.instead = b"", {}
        self.device = self.driver()

    def driver(self) -> Device:
        """Return a driver of its own, closed."""
        links = {
            name: (_Messages if spec.schemes == ("zmq+tcp",) else _Bytes)(self, name)
            for name, spec in self.kind.declaration.links.items()
        }
        device = self.kind(links, clock=_Clock(self.clock))
        for port in device._ports.values():
            port.line_delay_s = 0.0
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
        """Make every port ready that is open, as recovery does, without asking."""
        for port in self.device._ports.values():
            if port.link.conn is not None:
                port.link.discard(0.0)
                port.settle(PortState.READY)

    def asked(self) -> None:
        self.requests += 1
        assert self.requests < MOST_REQUESTS, "a call that does not end"

    def between(self, reply: bytes) -> bytes:
        """Return what arrives of a reply; ``instead`` has other replies by a part of the request."""
        for part, other in self.instead.items():
            if part in self.request:
                return other
        if len(self.seen) < 200:
            self.seen.append(reply)
        if self.draw.random() >= self.rate:
            return reply
        self.mangled += 1
        if self.model == "purephotonics.ppcl550" and len(reply) == 4 and self.draw.random() < 0.7:
            return _with_checksum(reply, self.draw)
        return mangle(reply, self.seen, self.draw)


def _with_checksum(reply: bytes, draw: random.Random) -> bytes:
    """Return a reply of an ITLA with other data, whose checksum is right."""
    status = draw.choice((reply[0] & 0x0F, draw.randrange(16)))
    data = draw.choice((b"\0\0", b"\xff\xff", b"\x80\0", b"\x7f\xff", draw.randbytes(2), reply[2:]))
    register = draw.choice((reply[1], reply[1], reply[1], draw.randrange(256)))
    body = bytes([status, register]) + data
    return bytes([status | bip4(body) << 4]) + body[1:]


class _Wire:
    """What both kinds of link share: the instrument's end, without a socket."""

    reopen_discards = True
    conn: Any = None

    def open(self, deadline: float) -> None:
        if self.conn is None:
            self.conn = self.unit.instrument.connect(self.link, self.arrived)

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
        self.waiting.append(self.unit.between(bytes(data)))

    def _receive(self, deadline: float) -> bytes:
        self.unit.asked()
        if not self.waiting:
            self.unit.clock.advance_to(self.unit.clock.now_s() + 1.0)
        while self.waiting:
            if data := self.waiting.pop(0):
                return data
        raise ReplyTimeout("no reply")

    def _readable(self) -> bool:
        return any(self.waiting)

    def discard(self, deadline: float) -> bytes:
        self.waiting.clear()
        return super().discard(deadline)


class _Bytes(_Wire, ByteLink):
    def __init__(self, unit: Unit, link: str) -> None:
        ByteLink.__init__(self, "tcp://memory:1")
        self.unit, self.link, self.waiting = unit, link, []

    def close(self) -> None:
        super().close()
        self._buffer = b""


class _Messages(_Wire, MessageLink):
    def __init__(self, unit: Unit, link: str) -> None:
        MessageLink.__init__(self, "zmq+tcp://127.0.0.1:1")
        self.unit, self.link, self.waiting = unit, link, []

    def close(self) -> None:
        super().close()
        self._rest = b""


class _Pair:
    def send(self, data: bytes) -> bool:
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

    def close(self) -> None:
        pass
