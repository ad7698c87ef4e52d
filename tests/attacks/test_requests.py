"""Odd requests to every simulator: none raises, hangs, takes memory without end or silences it for others."""

import contextlib
import json
import os
import random
import resource
from typing import ClassVar

import pytest

from qhal.errors import QhalError
from qhal_simulators.instrument_registry import load
from qhal_simulators.instruments.purephotonics.itla_packets import bip4
from qhal_simulators.simulated_time import SimulationClock
from tests.attacks.corpus import mutate, scpi, websq
from tests.attacks.mangled import Unit
from tests.attacks.verbs import verbs_of

REQUESTS = 1_000_000
BATCH = 20
GROWTH_LIMIT_BYTES = 300 << 20
TIMERS_LIMIT = 20_000
ENDLESS_BYTES, KEPT_BYTES = 8 << 20, 6 << 20


LONGEST_IN_PIECES = 2000
BATCHES_A_DRIVER = 500
"""How many batches come between two attempts of the driver."""


class Rig:
    """One simulated unit without sockets: a client that asks oddly, and another that asks plainly."""

    model: str
    connection = "main"
    options: ClassVar[dict[str, str]] = {}
    shared_line = False
    """A serial line has one client at a time; the next one finds what the one before left."""
    has_messages = False
    """A request is a message, and so is its reply."""

    def __init__(self, folder: str) -> None:
        instrument = load(self.model)
        options = instrument.options_model(**{k: v.format(folder) for k, v in self.options.items()})
        self.clock = SimulationClock(stepped=True)
        self.unit = instrument(self.clock, None, options)
        self.unit.bind_pair = lambda port: Pair()
        self.odd_replies, self.replies = [], []
        self.odd = self.unit.connect(self.connection, self.odd_replies.append)
        self.plain = self.odd
        if self.shared_line:
            self.replies = self.odd_replies
        else:
            self.plain = self.unit.connect(self.connection, self.replies.append)

    def seeds(self, draw: random.Random) -> list[bytes]:
        raise NotImplementedError

    def hear(self, request: bytes, draw: random.Random) -> None:
        """Take a request at once, in pieces, or as far as it came before the client left."""
        way = draw.random()
        if self.has_messages:
            self.odd_replies.clear()
            self.odd.receive(request)
            assert len(self.odd_replies) == 1, "a service without a reply to a request answers no other"
        elif way < 0.8 or len(request) > LONGEST_IN_PIECES:
            self.odd.receive(request)
        elif way < 0.95:
            while request:
                size = draw.choice((1, 2, 7))
                self.odd.receive(request[:size])
                request = request[size:]
        else:
            self.odd.receive(request[: draw.randrange(len(request) + 1)])
            if not self.shared_line:
                self.odd.closed()
                self.odd = self.unit.connect(self.connection, self.odd_replies.append)

    def ask_by_driver(self, draw: random.Random) -> None:
        """Let the driver do everything with the unit, whatever its state is; it may fail in order."""
        unit = Unit(self.model, draw, self.unit)
        with contextlib.suppress(QhalError):
            unit.device.open()
            for verb in verbs_of(unit.device).values():
                with contextlib.suppress(QhalError):
                    verb()
        unit.device.close()

    def ask(self, request: bytes) -> bytes:
        self.replies.clear()
        self.plain.receive(request)
        return b"".join(self.replies)

    def answers(self) -> bool:
        """Ask a plain question; tell whether the answer is right."""
        raise NotImplementedError


class Pair:
    def send(self, data: bytes) -> bool:
        return True

    def close(self) -> None:
        pass


class Polatis(Rig):
    model = "hubersuhner.polatis"

    def seeds(self, draw):
        return scpi(self.odd.table.patterns, draw, b"\n")

    def answers(self):
        return self.ask(b":OXC:SWIT:SIZE?\n") == b"16,16\r\n"


class Awg5014(Rig):
    model = "tektronix.awg5014"

    def seeds(self, draw):
        return scpi(self.odd.table.patterns, draw, b"\n")

    def answers(self):
        return self.ask(b"AWGC:CONF:CNUM?\n") == b"4\n"


class WebSq(Rig):
    model = "singlequantum.websq"

    def seeds(self, draw):
        return websq(self.odd.commands, self.unit.labels, draw)

    def answers(self):
        reply = self.ask(b'{"request": "NumberOfDetectors"}')
        return reply == b'{"label": "NumberOfDetectors", "value": 4}\x17'


class Id900(Rig):
    model = "idquantique.id900"
    has_messages = True

    def seeds(self, draw):
        return scpi(self.unit.table.patterns, draw, b"")

    def answers(self):
        return self.ask(b"*IDN?").startswith(b"ID Quantique,ID900,")


class OldId900(Id900):
    options: ClassVar[dict[str, str]] = {"firmware": "old"}


class DataLink(Rig):
    model = "idquantique.id900"
    connection = "dlt"
    has_messages = True
    options: ClassVar[dict[str, str]] = {"save_to": "{}"}

    def seeds(self, draw):
        stream = "start-stream --address a --channel {} --stream-port {} --id {}"
        save = "start-save --address a --channel {} --filename {} --format {}"
        texts = ["list", "status --id a:5556", "stop --id a:5556", "stop --id x", "list --xyz", "'", '"', ""]
        texts += [stream.format(1, 4242, "x"), stream.format(9, -1, "y"), stream.format(1, "1" * 6000, "z")]
        texts += [stream.format(4, 70000, "x"), "start-stream --address a --channel 2 --stream-port 4243"]
        for name in (
            "one",
            "../../one",
            "/etc/one",
            "a/b/c",
            "n" * 300,
            "x\0y",
            ".",
            "",
            "C:\\\\tags\\\\one",
        ):
            texts += [save.format(1, f'"{name}"', "bin"), save.format(2, f'"{name}"', "ascii")]
        return [text.encode() for text in texts]

    def answers(self):
        return isinstance(json.loads(self.ask(b"list")), list)


class Dd100(Rig):
    model = "ozoptics.dd100"
    shared_line = True

    def seeds(self, draw):
        texts = (
            b"A?",
            b"A20.00",
            b"A1e9",
            b"A-1",
            b"D",
            b"S?",
            b"S+100",
            b"S-5",
            b"S" + b"9" * 6000,
            b"F",
            b"B",
        )
        texts += (b"H", b"CD", b"RES?", b"RST", b"E1", b"E0", b"L1.2", b"L99", b"L.", b"L" + b"1" * 5000)
        for pattern in self.odd.patterns:
            assert any(pattern.fullmatch(text.decode()) for text in texts), (
                f"no request for {pattern.pattern}"
            )
        return [text + b"\r" for text in texts]

    def answers(self):
        self.ask(b"\r")
        self.ask(b"E0\r")
        return self.ask(b"CD\r").startswith(b"DD-100-MC\r\nIL: ")


class Ppcl550(Rig):
    model = "purephotonics.ppcl550"
    shared_line = True

    def seeds(self, draw):
        return [
            frame(write, register, value)
            for register in range(256)
            for write in (0, 1)
            for value in (0, 8, 1000, 0x8000, 0xFFFF)
        ]

    def answers(self):
        self.clock.advance_to(self.clock.now_s() + 2)
        return self.ask(frame(0, 0x51, 0))[1:] == bytes((0x51, *(1350).to_bytes(2, "big")))


class Mpc320(Rig):
    model = "thorlabs.mpc320"
    shared_line = True

    def seeds(self, draw):
        seeds = []
        for number in self.odd.handlers:
            head = number.to_bytes(2, "little")
            seeds += [head + bytes((a, b, 0x50, 1)) for a in (0, 1, 4, 7, 255) for b in (0, 1, 2)]
            for data in (bytes(6), bytes(12), b"\x01\x00\x64\x00\x00\x00", b"\xff" * 6, b"\xff" * 12):
                seeds.append(head + len(data).to_bytes(2, "little") + b"\xd0\x01" + data)
            seeds.append(head + b"\xff\xff\xd0\x01")
        return seeds

    def answers(self):
        self.clock.advance_to(self.clock.now_s() + 2)
        return b"\x06\x00\x54\x00\x81\x50" in self.ask(b"\x05\x00\x00\x00\x50\x01")


RIGS = (Polatis, Awg5014, WebSq, Id900, OldId900, DataLink, Dd100, Ppcl550, Mpc320)


def frame(write: int, register: int, value: int) -> bytes:
    body = bytes((write, register)) + value.to_bytes(2, "big")
    return bytes([body[0] | bip4(body) << 4]) + body[1:]


def resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


@pytest.mark.parametrize("kind", RIGS, ids=lambda kind: kind.__name__)
def test_others_are_answered_after_odd_requests(kind, attacks, no_hang, tmp_path):
    draw = random.Random(kind.__name__)
    (tmp_path / "files").mkdir()
    rig = kind(str(tmp_path / "files"))
    seeds = rig.seeds(draw)
    start_bytes = resident_bytes()
    for number in range(-(-attacks(REQUESTS) // len(RIGS) // BATCH)):
        requests = [mutate(draw.choice(seeds), seeds, draw) for _ in range(BATCH)]
        no_hang()
        try:
            for request in requests:
                rig.hear(request, draw)
                if draw.random() < 0.02:
                    rig.clock.advance_to(rig.clock.now_s() + draw.random() / 4)
            answered = rig.answers()
            if number % BATCHES_A_DRIVER == BATCHES_A_DRIVER // 20:
                no_hang()
                rig.ask_by_driver(draw)
        except Exception as error:
            error.add_note(f"after {[r[:120] for r in requests]}")
            raise
        assert answered, f"{rig.replies} to a plain question after {[r[:120] for r in requests]}"
        rig.odd_replies.clear()
        if number % 100 == 99:
            assert len(rig.clock) < TIMERS_LIMIT
            assert resident_bytes() - start_bytes < GROWTH_LIMIT_BYTES
    assert os.listdir(tmp_path) == ["files"], "files outside the folder of the service"


@pytest.mark.parametrize("byte", [b"A", b'"', b"{", b"[", b"#", b"(", b"\xd0"])
@pytest.mark.parametrize(
    "kind", [k for k in RIGS if k not in (Id900, OldId900, DataLink)], ids=lambda k: k.__name__
)
def test_a_line_without_an_end_is_not_kept(kind, byte, no_hang, attacks, tmp_path):
    rig = kind(str(tmp_path / "files"))
    piece = byte * (1 << 16)
    start_bytes = resident_bytes()
    for _ in range(max(4, attacks(ENDLESS_BYTES) >> 16)):
        no_hang()
        rig.odd.receive(piece)
        rig.odd_replies.clear()
    assert resident_bytes() - start_bytes < KEPT_BYTES
    assert rig.answers() or rig.answers()
