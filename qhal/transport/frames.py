"""How one reply is read from a transport: functions ``(transport, deadline) -> bytes``."""

from collections.abc import Callable

from qhal.errors import ProtocolError
from qhal.transport.base import Transport

Frame = Callable[[Transport, float], bytes]


def line(end: bytes = b"\n") -> Frame:
    """Return a reader of one line; the terminator is taken off."""

    def read_line(transport: Transport, deadline: float) -> bytes:
        return transport.read_until(end, deadline)

    return read_line


def exactly(count: int) -> Frame:
    """Return a reader of a fixed number of bytes."""

    def read_count(transport: Transport, deadline: float) -> bytes:
        return transport.read_exactly(count, deadline)

    return read_count


def message(transport: Transport, deadline: float) -> bytes:
    """Read one whole message."""
    return transport.read_message(deadline)


def block(transport: Transport, deadline: float) -> bytes:
    """Read an IEEE 488.2 definite block ``#<n><n digits><bytes>`` and its line end, by byte count."""
    if transport.read_exactly(1, deadline) != b"#":
        raise ProtocolError("a binary block starts with #")
    digits = transport.read_exactly(1, deadline)
    if digits not in b"123456789":
        raise ProtocolError(f"a binary block starts with # and a digit from 1 to 9, not {digits!r}")
    count = transport.read_exactly(int(digits), deadline)
    if not count.isdigit():
        raise ProtocolError(f"a binary block gives its length in digits, not {count!r}")
    data = transport.read_exactly(int(count), deadline)
    end = transport.read_until(b"\n", deadline)
    if end.strip():
        raise ProtocolError(f"{end!r} after a binary block of {len(data)} bytes")
    return data
