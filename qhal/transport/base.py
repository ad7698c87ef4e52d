"""What a transport is: the two small protocols above which everything else is the same.

A ``ByteTransport`` carries an endless row of bytes (serial line, TCP socket, VISA SOCKET and ASRL); a
``MessageTransport`` carries whole messages (ZeroMQ, VISA INSTR). Both offer the same three verbs, so that
one frame reader (:mod:`qhal.transport.frames`) serves a SCPI instrument over either. All deadlines
are ``time.monotonic()`` seconds. Every failure leaves as a :mod:`qhal.errors` exception.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol

from qhal.errors import Disconnected, ProtocolError, ReplyTimeout

MAX_FRAME_BYTES = 1 << 20
"""The longest reply of a transport whose device declares no other."""
_SHOWN_BYTES = 200


class Transport(Protocol):
    """One end of a wire. Not thread-safe: a :class:`qhal.transport.connection.Connection` locks it."""

    address: str
    reopen_discards: bool
    """Whether closing and opening makes sure that a reply still under way never arrives."""
    max_frame_bytes: int
    """A reply that is longer is a ProtocolError; acts at the next opening."""

    def open(self, deadline: float) -> None:
        """Open; does nothing when open. Raises Disconnected, ReplyTimeout, ConfigurationError."""
        ...

    def close(self) -> None:
        """Close; does nothing when closed. Never raises for a transport that is already gone."""
        ...

    def write(self, data: bytes, deadline: float) -> None:
        """Write all bytes (one message). Raises Disconnected, ReplyTimeout."""
        ...

    def read_until(self, end: bytes, deadline: float) -> bytes:
        """Return the bytes before the next ``end``, which is consumed too."""
        ...

    def read_exactly(self, count: int, deadline: float) -> bytes:
        """Return the next ``count`` bytes."""
        ...

    def read_message(self, deadline: float) -> bytes:
        """Return the next message (on a byte transport: what has arrived, at least one byte)."""
        ...

    def pending(self) -> bool:
        """Return without waiting whether bytes, or the end of the transport, are there to be read."""
        ...

    def discard(self, deadline: float) -> bytes:
        """Forget all that has arrived and return its beginning.

        Raises Disconnected at the end of the transport, ReplyTimeout when bytes come without a pause.
        """
        ...


class ByteTransport(ABC):
    """Buffer and read verbs of byte transports; a transport adds how to send and to receive a chunk."""

    reopen_discards = False

    def __init__(self, address: str) -> None:
        self.address = address
        self.max_frame_bytes = MAX_FRAME_BYTES
        self._buffer = b""

    @abstractmethod
    def open(self, deadline: float) -> None:
        """Open; does nothing when open."""

    @abstractmethod
    def close(self) -> None:
        """Close; does nothing when closed."""

    @abstractmethod
    def write(self, data: bytes, deadline: float) -> None:
        """Write all bytes."""

    @abstractmethod
    def _receive(self, deadline: float) -> bytes:
        """Return the next chunk, at least one byte. Raises ReplyTimeout, Disconnected."""

    @abstractmethod
    def _readable(self) -> bool:
        """Return without waiting whether the operating system has bytes, or the end, for us."""

    def read_until(self, end: bytes, deadline: float) -> bytes:
        """Return the bytes before the next ``end``, which is consumed too."""
        position = self._buffer.find(end)
        while position < 0:
            size = len(self._buffer)
            if size > self.max_frame_bytes:
                raise ProtocolError(f"{size} bytes without the terminator {end!r}")
            self._buffer += self._receive(deadline)
            position = self._buffer.find(end, max(0, size - len(end) + 1))
        frame, self._buffer = self._buffer[:position], self._buffer[position + len(end) :]
        return frame

    def read_exactly(self, count: int, deadline: float) -> bytes:
        """Return the next ``count`` bytes."""
        refuse_size(count, self.max_frame_bytes)
        while len(self._buffer) < count:
            self._buffer += self._receive(deadline)
        frame, self._buffer = self._buffer[:count], self._buffer[count:]
        return frame

    def read_message(self, deadline: float) -> bytes:
        """Return what has arrived, at least one byte."""
        data, self._buffer = self._buffer, b""
        return data or self._receive(deadline)

    def pending(self) -> bool:
        """Return without waiting whether bytes, or the end of the transport, are there to be read."""
        return bool(self._buffer) or self._readable()

    def discard(self, deadline: float) -> bytes:
        """Forget all that has arrived and return its beginning."""
        data, self._buffer = self._buffer, b""
        return discarded(data, self._readable, self._receive, deadline)


class MessageTransport(ABC):
    """Read verbs of transports that carry whole messages; the end of a message ends a frame too."""

    reopen_discards = True

    def __init__(self, address: str) -> None:
        self.address = address
        self.max_frame_bytes = MAX_FRAME_BYTES
        self._rest = b""

    @abstractmethod
    def open(self, deadline: float) -> None:
        """Open; does nothing when open."""

    @abstractmethod
    def close(self) -> None:
        """Close; does nothing when closed."""

    @abstractmethod
    def write(self, data: bytes, deadline: float) -> None:
        """Send one message."""

    @abstractmethod
    def _receive(self, deadline: float) -> bytes:
        """Return the next message. Raises ReplyTimeout, Disconnected."""

    @abstractmethod
    def _readable(self) -> bool:
        """Return without waiting whether a message, or the end of the transport, is there to be read."""

    def read_until(self, end: bytes, deadline: float) -> bytes:
        """Return the bytes before the next ``end`` or, without one, up to the end of the message."""
        frame, _, self._rest = (self._rest or self._receive(deadline)).partition(end)
        return frame

    def read_exactly(self, count: int, deadline: float) -> bytes:
        """Return the next ``count`` bytes."""
        refuse_size(count, self.max_frame_bytes)
        while len(self._rest) < count:
            self._rest += self._receive(deadline)
        frame, self._rest = self._rest[:count], self._rest[count:]
        return frame

    def read_message(self, deadline: float) -> bytes:
        """Return the next message, or what is left of the one that was read in part."""
        data, self._rest = self._rest, b""
        return data or self._receive(deadline)

    def pending(self) -> bool:
        """Return without waiting whether a message, or the end of the transport, is there to be read."""
        return bool(self._rest) or self._readable()

    def discard(self, deadline: float) -> bytes:
        """Forget all that has arrived and return its beginning."""
        data, self._rest = self._rest, b""
        return discarded(data, self._readable, self._receive, deadline)


def discarded(
    data: bytes, readable: Callable[[], bool], receive: Callable[[float], bytes], deadline: float
) -> bytes:
    """Receive and forget while there is something to be read; return the first bytes for a message."""
    data = data[:_SHOWN_BYTES]
    while readable():
        if time.monotonic() > deadline:
            raise ReplyTimeout(f"bytes come without a pause, {data[:20]!r} and on")
        data = (data + receive(deadline))[:_SHOWN_BYTES]
    return data


def refuse_size(count: int, limit: int) -> None:
    """Raise ProtocolError for a reply longer than its transport allows."""
    if count > limit:
        raise ProtocolError(f"a reply of {count} bytes, {limit} are the most that this transport carries")


def left_s(deadline: float) -> float:
    """Return the seconds left until a deadline. Raises ReplyTimeout when none are."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise ReplyTimeout("deadline passed")
    return left


def lost(address: str, what: str) -> Disconnected:
    """Return the error for a transport that ended."""
    return Disconnected(f"{address}: {what}")
