"""The man in the middle: a simulated instrument behind a wire that delays, doubles, cuts and adds replies.

A reply to a numbered question carries the number of its question, so an answer that belongs to another one shows.
The wire keeps the order of bytes, as every real one does, whatever delay each reply has.
"""

import contextlib
import heapq
import os
import random
import select
import socket
import threading
import time
import tty
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import zmq

from qhal_simulators.instrument import Instrument
from qhal_simulators.instrument_registry import load
from qhal_simulators.simulated_time import SimulationClock
from tests.attacks.dialects import Dialect


@dataclass(slots=True)
class Faults:
    """Shares of the replies that are late by up to ``longest_s``, doubled, behind a stray frame, or cut.

    ``late_others``: share of those without a number that are late; ``lost``: share that never comes. ``flood``:
    what is written without a pause.
    """

    late: float = 0.0
    late_others: float = 0.0
    longest_s: float = 0.0
    doubled: float = 0.0
    stray: float = 0.0
    cut: float = 0.0
    lost: float = 0.0
    flood: bytes = b""


class Middle(ABC):
    """Serves one instrument in a thread while the ``with`` block lasts. ``number`` is that of the last question."""

    def __init__(self, dialect: Dialect, seed: int = 0) -> None:
        self.dialect = dialect
        self.faults = Faults()
        self.number = 0
        self.done: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._free_s = 0.0
        self._order = 0
        kind = load(dialect.model)
        instrument: Instrument = kind(
            SimulationClock(stepped=True), None, kind.options_model(**dialect.options)
        )
        self._said = b""
        self._instrument = instrument.connect("main", self._hear)
        self._asleep, self._awake = os.pipe()
        self._thread = threading.Thread(target=self._serve, name=f"middle-{dialect.model}", daemon=True)
        self._failure: BaseException | None = None

    @property
    @abstractmethod
    def address(self) -> str:
        """What a driver connects to."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self._awake)
        self._thread.join()
        os.close(self._asleep)
        self._close()
        if self._failure is not None:
            raise self._failure

    def _hear(self, data: bytes) -> None:
        self._said += data

    @abstractmethod
    def _descriptors(self) -> list[int]:
        """Return what is to be watched."""

    @abstractmethod
    def _take(self, descriptor: int) -> None:
        """Read from a descriptor and answer what was asked."""

    @abstractmethod
    def _close(self) -> None:
        """Close the wire."""

    def _flooded(self) -> list[int]:
        """Return the descriptors to which a flood goes."""
        return []

    def inject(self, faults: Faults) -> None:
        """Set the faults, and let the thread notice that."""
        self.faults = faults
        os.write(self._awake, b"!")

    def _serve(self) -> None:
        try:
            while True:
                while self._due and self._due[0][0] <= time.monotonic():
                    heapq.heappop(self._due)[2]()
                flooded = self._flooded() if self.faults.flood else []
                watched = [self._asleep, *self._descriptors()]  # which may take a message and owe its answer
                wait_s = max(0.0, self._due[0][0] - time.monotonic()) if self._due else None
                ready, writable, _ = select.select(watched, flooded, [], wait_s)
                if self._asleep in ready and not os.read(self._asleep, 1):
                    return
                for descriptor in writable:
                    with contextlib.suppress(OSError):
                        os.write(descriptor, self.faults.flood)
                for descriptor in ready:
                    if descriptor != self._asleep:
                        self._take(descriptor)
        except BaseException as error:  # noqa: BLE001  # raised again in the test's own thread
            self._failure = error

    def _answer(self, request: bytes, send: Callable[[bytes], None]) -> None:
        """Let the instrument answer a request, number the reply, and send it with what faults make of it."""
        self._said = b""
        self._instrument.receive(request)
        reply = self._said
        numbered = self.dialect.is_numbered(request)
        if numbered:
            self.number += 1
            reply = self.dialect.numbered(reply, self.number)
        faults, draw, delay_s = self.faults, self._random.random, 0.0
        if not reply or draw() < faults.lost:
            return
        if draw() < (faults.late if numbered else faults.late_others):
            delay_s = self._random.uniform(0.0, faults.longest_s)
            self.done["late"] += 1
        replies = [reply]
        if draw() < faults.doubled:
            replies = self._spoilt("doubled", [reply, reply])
        elif draw() < faults.stray:
            replies = self._spoilt("stray", [self.dialect.stray, reply])
        elif draw() < faults.cut:
            replies = self._spoilt("cut", [reply[: self._random.randrange(len(reply))]])
        self._free_s = max(self._free_s, time.monotonic() + delay_s)
        self._order += 1
        pieces = self._pieces(replies)
        heapq.heappush(
            self._due, (self._free_s, self._order, lambda: [send(each) for each in pieces] and None)
        )

    def _spoilt(self, how: str, replies: list[bytes]) -> list[bytes]:
        self.done[how] += 1
        return replies

    def _pieces(self, replies: list[bytes]) -> list[bytes]:
        """Return what is sent at once: on a wire of bytes everything in one piece."""
        return [b"".join(replies)]


class SerialMiddle(Middle):
    """A pseudo terminal."""

    def __init__(self, dialect: Dialect, seed: int = 0) -> None:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self._buffer = b""
        super().__init__(dialect, seed)

    @property
    def address(self) -> str:
        path = os.ttyname(self._slave)
        if self.dialect.through_visa:
            return f"visa:ASRL{path}::INSTR?backend=@py"
        return f"serial://{path}"

    def _descriptors(self) -> list[int]:
        return [self._master]

    def _take(self, descriptor: int) -> None:
        requests, self._buffer = self.dialect.split(self._buffer + os.read(self._master, 1 << 16))
        for request in requests:
            self._answer(request, self._send)

    def _flooded(self) -> list[int]:
        return [self._master]

    def _send(self, data: bytes) -> None:
        try:
            os.write(self._master, data)
        except BlockingIOError:
            self.done["not taken"] += 1

    def _close(self) -> None:
        os.close(self._slave)
        os.close(self._master)


class TcpMiddle(Middle):
    """A listening socket; with ``bridge`` a serial device server, which gives late bytes to whoever is connected."""

    def __init__(self, dialect: Dialect, seed: int = 0, *, bridge: bool = False) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._clients: dict[int, socket.socket] = {}
        self._buffers: dict[int, bytes] = {}
        self._bridge = bridge
        super().__init__(dialect, seed)

    @property
    def address(self) -> str:
        port = self._listener.getsockname()[1]
        if self.dialect.through_visa:
            return f"visa:TCPIP::127.0.0.1::{port}::SOCKET?backend=@py"
        return f"tcp://127.0.0.1:{port}" + ("?bridge=1" if self._bridge else "")

    def _descriptors(self) -> list[int]:
        return [self._listener.fileno(), *self._clients]

    def _take(self, descriptor: int) -> None:
        if descriptor == self._listener.fileno():
            client, _ = self._listener.accept()
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._clients[client.fileno()] = client
            self._buffers[client.fileno()] = b""
            return
        client = self._clients[descriptor]
        try:
            data = client.recv(1 << 16)
        except OSError:
            data = b""
        if not data:
            del self._clients[descriptor], self._buffers[descriptor]
            client.close()
            return
        requests, self._buffers[descriptor] = self.dialect.split(self._buffers[descriptor] + data)
        for request in requests:
            self._answer(request, lambda reply: self._send(client, reply))

    def _flooded(self) -> list[int]:
        return list(self._clients)

    def _send(self, client: socket.socket, data: bytes) -> None:
        if self._bridge and self._clients:
            client = list(self._clients.values())[-1]
        try:
            client.sendall(data)
        except OSError:
            self.done["not taken"] += 1

    def _close(self) -> None:
        for client in self._clients.values():
            client.close()
        self._listener.close()


class ZmqMiddle(Middle):
    """A ROUTER that answers as a REP does, one message at a time."""

    def __init__(self, dialect: Dialect, seed: int = 0, *, returns_envelope: bool = True) -> None:
        self._returns_envelope = returns_envelope
        self._router = zmq.Context.instance().socket(zmq.ROUTER)
        self._router.linger = 0
        self._port = self._router.bind_to_random_port("tcp://127.0.0.1")
        super().__init__(dialect, seed)

    @property
    def address(self) -> str:
        return f"zmq+tcp://127.0.0.1:{self._port}" + ("" if self._returns_envelope else "?correlate=false")

    def _descriptors(self) -> list[int]:
        # Read here too, because the descriptor tells of a message only once.
        while int(self._router.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            *envelope, request = self._router.recv_multipart()
            if not self._returns_envelope:
                envelope = [envelope[0], b""]
            self._answer(request, lambda reply, to=envelope: self._router.send_multipart([*to, reply]))
            while self._due and self._due[0][0] <= time.monotonic():
                heapq.heappop(self._due)[2]()
        return [self._router.fileno()]

    def _take(self, descriptor: int) -> None:
        del descriptor  # the events are read before the next wait

    def _pieces(self, replies: list[bytes]) -> list[bytes]:
        return replies

    def _close(self) -> None:
        self._router.close()
