"""The transport: what moves bytes between this program and one end of an instrument.

A class of four verbs and ``readable`` for each scheme of addresses. Everything above is the same for all of them:
frames (:mod:`qhal.transport.reader`), lock, deadlines and recovery (:mod:`qhal.transport.connection`).
"""

import time
from abc import ABC, abstractmethod
from typing import Any

from qhal.errors import ConnectTimeout, Disconnected

MAX_FRAME_BYTES = 1 << 20
"""The longest reply of a connection that declares no other."""


class Transport(ABC):
    """A wire to an instrument, closed at first. Not thread-safe: a connection locks it.

    Deadlines are ``time.monotonic()`` seconds. Every failure leaves as a :mod:`qhal.errors` exception.
    """

    keeps_messages = False
    """Whether each chunk is a whole message, whose end also ends a frame (ZeroMQ, VISA INSTR)."""
    reopen_discards = False
    """Whether closing and opening makes sure that a reply still under way never arrives."""
    stands_in_for: tuple[str, ...] = ()
    """Further schemes whose connections and settings it serves (``serial`` for a serial line over a network)."""
    loads_when_opened: tuple[str, ...] = ()
    """Modules that ``open`` imports, for a process that loads everything before it is needed."""

    def __init__(self, address: object, settings: Any = None) -> None:
        self.address = str(address)
        self.max_frame_bytes = MAX_FRAME_BYTES
        """A longer reply is a ProtocolError; takes effect at the next opening."""

    @abstractmethod
    def open(self, deadline: float) -> None:
        """Open; does nothing when open. Raises ConnectTimeout, Disconnected, ConfigurationError."""

    @abstractmethod
    def close(self) -> None:
        """Close; does nothing when closed. Never raises for a peer that is gone."""

    @abstractmethod
    def write(self, data: bytes, deadline: float) -> None:
        """Write all bytes, as one message. Raises ReplyTimeout, Disconnected."""

    @abstractmethod
    def read_chunk(self, deadline: float, until: bytes | int) -> bytes:
        """Return the next bytes, at least one, or the next message. Raises ReplyTimeout, Disconnected.

        ``until`` is what the reader waits for, a terminator or a number of bytes: a hint for libraries that
        read to such an end. A chunk may be shorter or longer.
        """

    @abstractmethod
    def readable(self) -> bool:
        """Return without waiting whether ``read_chunk`` would return bytes, or raise, at once."""


def left_s(deadline: float) -> float:
    """Return the seconds left to connect until a deadline. Raises ConnectTimeout after it."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise ConnectTimeout("no time is left to connect")
    return left


def lost(address: str, reason: str) -> Disconnected:
    """Return the error for a transport that ended or is not open."""
    return Disconnected(f"{address}: {reason}")
