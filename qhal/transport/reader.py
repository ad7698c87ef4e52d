"""The buffered reader above a transport: lines, counts and messages out of whatever chunks arrive.

The same three verbs serve byte streams and messages, so that one driver runs over a raw socket and over VXI-11. The
only difference: where a transport keeps messages, the end of a message also ends a line.
"""

import time

from qhal.errors import ProtocolError, ReplyTimeout
from qhal.transport.base import Transport

_SHOWN_BYTES = 200


class Reader:
    """Reads frames from one transport; ``unread`` is what arrived behind the last one."""

    __slots__ = ("transport", "unread")

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.unread = b""

    def close(self) -> None:
        """Close the transport and drop what was not read."""
        self.transport.close()
        self.unread = b""

    def read_until(self, end: bytes, deadline: float) -> bytes:
        """Return the bytes before the next ``end``, which is consumed too; a message's end will do."""
        transport = self.transport
        frame, separator, rest = (self.unread or transport.read_chunk(deadline, end)).partition(end)
        if separator or transport.keeps_messages:
            self.unread = rest
            return frame
        return self._read_on(frame, end, deadline)

    def read_exactly(self, count: int, deadline: float) -> bytes:
        """Return the next ``count`` bytes."""
        transport, data = self.transport, self.unread
        if count > transport.max_frame_bytes:
            raise ProtocolError(f"a reply of {count} bytes; at most {transport.max_frame_bytes} are allowed")
        while len(data) < count:
            self.unread = data = data + transport.read_chunk(deadline, count - len(data))
        self.unread = data[count:]
        return data[:count]

    def read_message(self, deadline: float) -> bytes:
        """Return the next message, or what is left of it; of a byte stream what has arrived, at least one byte."""
        data, self.unread = self.unread, b""
        return data or self.transport.read_chunk(deadline, 1)

    def pending(self) -> bool:
        """Return without waiting whether something can be read: bytes, or the end of the transport."""
        return bool(self.unread) or self.transport.readable()

    def discard(self, deadline: float) -> bytes:
        """Drop all that has arrived and return its beginning.

        Raises Disconnected at the end of the transport, ReplyTimeout when bytes come without a pause.
        """
        transport = self.transport
        data, self.unread = self.unread[:_SHOWN_BYTES], b""
        while transport.readable():
            if time.monotonic() > deadline:
                raise ReplyTimeout(f"bytes come without a pause, beginning with {data[:20]!r}")
            data = (data + transport.read_chunk(deadline, 1))[:_SHOWN_BYTES]
        return data

    def _read_on(self, data: bytes, end: bytes, deadline: float) -> bytes:
        """Read chunks until ``end`` is among them; what has arrived stays unread when that fails."""
        transport, position = self.transport, -1
        self.unread = data
        while position < 0:
            size = len(data)
            if size > transport.max_frame_bytes:
                raise ProtocolError(f"{size} bytes without the terminator {end!r}")
            self.unread = data = data + transport.read_chunk(deadline, end)
            position = data.find(end, max(0, size - len(end) + 1))
        self.unread = data[position + len(end) :]
        return data[:position]
