"""How one reply is read from a link: functions ``(link, deadline) -> bytes``."""

from collections.abc import Callable

from qhal.errors import ProtocolError
from qhal.transport.link import Link

Frame = Callable[[Link, float], bytes]


def line(end: bytes = b"\n") -> Frame:
    """Return a reader of one line; the terminator is taken off."""

    def read_line(link: Link, deadline: float) -> bytes:
        return link.read_until(end, deadline)

    return read_line


def exactly(count: int) -> Frame:
    """Return a reader of a fixed number of bytes."""

    def read_count(link: Link, deadline: float) -> bytes:
        return link.read_exactly(count, deadline)

    return read_count


def message(link: Link, deadline: float) -> bytes:
    """Read one whole message."""
    return link.read_message(deadline)


def block(link: Link, deadline: float) -> bytes:
    """Read an IEEE 488.2 definite block ``#<n><n digits><bytes>`` and its line end, by byte count."""
    if link.read_exactly(1, deadline) != b"#":
        raise ProtocolError("a binary block starts with #")
    digits = link.read_exactly(1, deadline)
    if digits not in b"123456789":
        raise ProtocolError(f"a binary block starts with # and a digit from 1 to 9, not {digits!r}")
    count = link.read_exactly(int(digits), deadline)
    if not count.isdigit():
        raise ProtocolError(f"a binary block gives its length in digits, not {count!r}")
    data = link.read_exactly(int(count), deadline)
    end = link.read_until(b"\n", deadline)
    if end.strip():
        raise ProtocolError(f"{end!r} after a binary block of {len(data)} bytes")
    return data
