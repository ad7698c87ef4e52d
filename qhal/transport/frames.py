"""Frames: functions ``(reader, deadline) -> bytes`` that read one reply."""

from collections.abc import Callable

from qhal.errors import ProtocolError
from qhal.transport.reader import Reader

Frame = Callable[[Reader, float], bytes]


def line(end: bytes = b"\n") -> Frame:
    """Return a reader of one line; the terminator is taken off."""

    def read_line(reader: Reader, deadline: float) -> bytes:
        return reader.read_until(end, deadline)

    return read_line


def exactly(count: int) -> Frame:
    """Return a reader of a fixed number of bytes."""

    def read_count(reader: Reader, deadline: float) -> bytes:
        return reader.read_exactly(count, deadline)

    return read_count


def message(reader: Reader, deadline: float) -> bytes:
    """Read one whole message."""
    return reader.read_message(deadline)


def block(reader: Reader, deadline: float) -> bytes:
    """Read an IEEE 488.2 definite block ``#<n><n digits><bytes>`` and its line end, by byte count."""
    if reader.read_exactly(1, deadline) != b"#":
        raise ProtocolError("a binary block starts with #")
    digits = reader.read_exactly(1, deadline)
    if digits not in b"123456789":
        raise ProtocolError(f"a binary block starts with # and a digit from 1 to 9, not {digits!r}")
    count = reader.read_exactly(int(digits), deadline)
    if not count.isdigit():
        raise ProtocolError(f"a binary block gives its length in digits, not {count!r}")
    data = reader.read_exactly(int(count), deadline)
    end = reader.read_until(b"\n", deadline)
    if end.strip():
        raise ProtocolError(f"{end!r} after a binary block of {len(data)} bytes")
    return data
