"""Two connected transports in memory: a driver at one end, a test at the other, and no process between them."""

import threading
import time
from collections import deque
from collections.abc import Callable
from math import inf

from qhal.errors import ReplyTimeout
from qhal.transport.base import Transport, lost


class MemoryTransport(Transport):
    """One end of a pair; thread-safe. ``on_arrival`` is called in the thread that writes at the other end."""

    peer: "MemoryTransport"

    def __init__(self, address: str, news: threading.Condition) -> None:
        super().__init__(address)
        self.on_arrival: Callable[[], None] | None = None
        self._news = news
        self._arrived: deque[bytes] = deque()
        self._open = False
        self._ended = False

    def open(self, deadline: float) -> None:
        """Open this end."""
        with self._news:
            self._open, self._ended = True, False

    def close(self) -> None:
        """Close this end: what has arrived is dropped, and the other end reads an end."""
        with self._news:
            self._arrived.clear()
            self._open, self._ended = False, True
            self._news.notify_all()

    def write(self, data: bytes, deadline: float) -> None:
        """Hand one chunk to the other end."""
        with self._news:
            if not self._open or self.peer._ended:
                raise lost(self.address, "the peer closed the connection" if self._open else "not open")
            self.peer._arrived.append(bytes(data))
            self._news.notify_all()
        if self.peer.on_arrival is not None:
            self.peer.on_arrival()

    def read_chunk(self, deadline: float, until: bytes | int) -> bytes:
        """Return the next chunk that the other end wrote, or wait for it."""
        with self._news:
            while not self._arrived:
                if not self._open or self.peer._ended:
                    raise lost(self.address, "the peer closed the connection" if self._open else "not open")
                if not self._news.wait(max(0.0, deadline - time.monotonic())):
                    raise ReplyTimeout("no reply")
            return self._arrived.popleft()

    def readable(self) -> bool:
        """Return whether a chunk, or the end, is there."""
        with self._news:
            return bool(self._arrived) or (self._open and self.peer._ended)


def pair(
    address: str = "memory:", *, keeps_messages: bool = False, reopen_discards: bool = True
) -> tuple[MemoryTransport, MemoryTransport]:
    """Return two ends of a wire: the first closed, for a driver, the second open, for a test."""
    news = threading.Condition()
    near, far = (MemoryTransport(address, news) for _ in range(2))
    near.peer, far.peer = far, near
    for end in (near, far):
        end.keeps_messages, end.reopen_discards = keeps_messages, reopen_discards
    far.open(inf)
    return near, far
