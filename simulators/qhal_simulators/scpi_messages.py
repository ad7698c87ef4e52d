"""The input buffer of a SCPI unit: cuts a stream into messages, of bounded length."""

import re
from collections.abc import Callable

LONGEST_TEXT = 1 << 16
"""Bytes of a message without its blocks; what exceeds the buffer is discarded up to the next line end."""
OVERRUN = -363
"""Input buffer overrun."""


class MessageSplitter:
    """Cuts a stream into messages at LF, with definite blocks taken whole.

    A block may end a message without any terminator; then the message ends with the block's last byte unless
    ``;``, ``,``, CR or LF follows. A quoted text ends at its quote, or with its line. ``longest_block``: bytes that a
    block may have; one that announces more is skipped, not stored. ``refuse`` is called with the error of a message
    that does not fit.
    """

    _special = re.compile(rb'[\n"]|#(?=[1-9]|\Z)')
    _close = re.compile(rb'[\n"]')

    def __init__(self, refuse: Callable[[int], None] = lambda code: None, longest_block: int = 0) -> None:
        self._refuse = refuse
        self._longest_block = longest_block
        self._buffer = bytearray()
        self.clear()

    def clear(self) -> None:
        """Forget an unfinished message."""
        self._buffer.clear()
        self._place = self._blocks = self._skip = 0
        self._quoted = self._discarding = False

    def feed(self, data: bytes) -> list[bytes]:
        """Return the messages that are complete now, without their ends."""
        messages: list[bytes] = []
        for start in range(0, len(data), LONGEST_TEXT):
            self._take(data[start : start + LONGEST_TEXT], messages)
        return messages

    def _take(self, data: bytes, messages: list[bytes]) -> None:
        skipped = min(self._skip, len(data))
        self._skip -= skipped
        self._buffer += data[skipped:]
        while (end := self._next_end()) is not None:
            message = bytes(self._buffer[:end])
            if self._discarding:
                self._discarding = False
            elif message.strip():
                messages.append(message)
            self._drop(end + (self._buffer[end : end + 1] == b"\n"))
        if len(self._buffer) - self._blocks > LONGEST_TEXT:
            self._overrun()

    def _drop(self, count: int) -> None:
        del self._buffer[:count]
        self._place = self._blocks = 0
        self._quoted = False

    def _overrun(self) -> None:
        """Discard what is there and all that follows up to a line end."""
        if not self._discarding:
            self._refuse(OVERRUN)
        self._discarding = True
        self._drop(len(self._buffer))

    def _next_end(self) -> int | None:
        buffer = self._buffer
        while found := (self._close if self._quoted else self._special).search(buffer, self._place):
            place, byte = found.start(), found[0]
            self._place = place + 1
            if byte == b"\n":
                self._place = place
                return place
            if byte == b'"':
                self._quoted = not self._quoted
                continue
            block = self._block(place)
            if block is None:
                self._place = place
                return None
            if block < 0:
                self._place = 0
            elif block > place and bytes(buffer[block : block + 1]) not in (b";", b",", b"\r", b"\n"):
                return block
        self._place = max(self._place, len(buffer))
        return None

    def _block(self, place: int) -> int | None:
        """Return where a block ends that may begin here.

        ``place`` if none does, None if more has to come, -1 if it is too long: then it is gone.
        """
        buffer = self._buffer
        digits = buffer[place + 1 : place + 2]
        if not digits:
            return None
        if self._discarding:
            return place
        count = buffer[place + 2 : place + 2 + int(digits)]
        if not count.isdigit():
            return place if count else None
        if len(count) < int(digits):
            return None
        size = int(count)
        end = place + 2 + int(digits) + size
        if size > self._longest_block or end > self._longest_block + LONGEST_TEXT:
            self._skip = max(0, end - len(buffer))
            rest = bytes(buffer[end:])
            self._overrun()
            buffer += rest
            return -1
        self._blocks = max(self._blocks, end)
        if len(buffer) < end:
            return None
        self._place = end
        return end


def split(data: bytes, separator: bytes) -> list[bytes]:
    """Split at a separator that is not in quotes or in a block."""
    if b'"' not in data and b"#" not in data:
        return data.split(separator)
    parts, start, place = [], 0, 0
    special = re.compile(rb'["#' + re.escape(separator) + rb"]")
    while found := special.search(data, place):
        place = found.start() + 1
        if found[0] == b'"':
            close = data.find(b'"', place)
            place = len(data) if close < 0 else close + 1
        elif found[0] == b"#":
            if block_header := re.match(rb"#([1-9])", data[place - 1 : place + 1]):
                digits = int(block_header[1])
                count = data[place + 1 : place + 1 + digits]
                if count.isdigit():
                    place += 1 + digits + int(count)
        else:
            parts.append(data[start : place - 1])
            start = place
    return [*parts, data[start:]]
