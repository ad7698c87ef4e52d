"""The listening side of SCPI: messages with binary blocks, header paths, short and long forms, an error queue.

A command table maps patterns to handlers. ``SOURce#:VOLTage[:LEVel][:AMPLitude]`` allows ``SOUR2:VOLT`` and
``:source2:voltage:level:amplitude``; ``#`` is a numeric suffix (1 when left out), square brackets are optional
nodes. A trailing ``?`` in the pattern makes it a query.
"""

import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence

Handler = Callable[[tuple[int, ...], list[bytes]], str | bytes | None]
"""Takes numeric suffixes and arguments; returns the reply of a query."""

QUEUE_LENGTH = 32
TEXTS = {
    0: "No error",
    -102: "Syntax error",
    -104: "Data type error",
    -108: "Parameter not allowed",
    -109: "Missing parameter",
    -113: "Undefined header",
    -161: "Invalid block data",
    -200: "Execution error",
    -221: "Settings conflict",
    -222: "Data out of range",
    -223: "Too much data",
    -224: "Illegal parameter value",
    -256: "File name not found",
    -350: "Queue overflow",
    -800: "Operation complete",
}


class ScpiError(Exception):
    """A command is refused with an error of the queue."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class ErrorQueue:
    """First in, first out; the last place turns into "Queue overflow"."""

    def __init__(self) -> None:
        self._codes: deque[int] = deque()

    def add(self, code: int) -> None:
        """Append an error."""
        if len(self._codes) >= QUEUE_LENGTH:
            self._codes[-1] = -350
        else:
            self._codes.append(code)

    def pop(self) -> int:
        """Take the oldest error, 0 when there is none."""
        return self._codes.popleft() if self._codes else 0

    def clear(self) -> None:
        """Forget all."""
        self._codes.clear()

    def __len__(self) -> int:
        return len(self._codes)


class CommandTable:
    """Patterns compiled to regular expressions, tried in order."""

    def __init__(self, commands: Mapping[str, Handler]) -> None:
        self._commands = [(_compile(pattern), handler) for pattern, handler in commands.items()]
        self._found: dict[str, tuple[Handler, tuple[int, ...]] | None] = {}

    def find(self, header: str) -> tuple[Handler, tuple[int, ...]] | None:
        """Return handler and suffixes for a header from the root."""
        header = header.upper()
        if header not in self._found:
            self._found[header] = None
            for pattern, handler in self._commands:
                if match := pattern.fullmatch(header):
                    suffixes = tuple(int(group) if group else 1 for group in match.groups())
                    self._found[header] = (handler, suffixes)
                    break
        return self._found[header]

    def run(self, message: bytes, errors: Callable[[int], None]) -> list[bytes]:
        """Carry out one message; return the replies of its queries. A command error ends the message."""
        replies: list[bytes] = []
        path = ""
        for unit in split(message, b";"):
            if not unit.strip():
                continue
            head, _, rest = unit.lstrip().partition(b" ")
            header = head.decode("ascii", "replace").strip()
            arguments = [_trimmed(argument) for argument in split(rest, b",")] if rest.strip() else []
            found, path = self._resolve(header, path)
            if found is None:
                errors(-113)
                return replies
            handler, suffixes = found
            try:
                reply = handler(suffixes, arguments)
            except ScpiError as error:
                errors(error.code)
                continue
            if reply is not None:
                replies.append(reply if isinstance(reply, bytes) else reply.encode())
        return replies

    def _resolve(self, header: str, path: str) -> tuple[tuple[Handler, tuple[int, ...]] | None, str]:
        """Return what a header means after the path of the one before, and the path that it leaves."""
        if header.startswith("*"):
            return self.find(f":{header}"), path
        candidates = [header] if header.startswith(":") else [f"{path}:{header}", f":{header}"]
        for candidate in candidates:
            found = self.find(candidate)
            if found is not None:
                return found, candidate.rpartition(":")[0]
        return None, path


class MessageSplitter:
    """Cuts a stream into messages at LF, with quoted texts and definite blocks taken whole.

    A block may end a message without any terminator; then the message ends with the block's last byte unless
    ``;``, ``,``, CR or LF follows.
    """

    _special = re.compile(rb'[\n"#]')

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._place = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Return the messages that are complete now, without their ends."""
        self._buffer += data
        messages: list[bytes] = []
        while (end := self._next_end()) is not None:
            messages.append(bytes(self._buffer[:end]))
            del self._buffer[: end + (self._buffer[end : end + 1] == b"\n")]
            self._place = 0
        return [message for message in messages if message.strip()]

    def clear(self) -> None:
        """Forget an unfinished message."""
        self._buffer.clear()
        self._place = 0

    def _next_end(self) -> int | None:
        buffer = self._buffer
        while found := self._special.search(buffer, self._place):
            place, byte = found.start(), found[0]
            if byte == b"\n":
                return place
            if byte == b'"':
                close = buffer.find(b'"', place + 1)
                if close < 0:
                    return None
                self._place = close + 1
                continue
            digits = buffer[place + 1 : place + 2]
            if not digits:
                return None
            if digits not in b"123456789":
                self._place = place + 1
                continue
            count = buffer[place + 2 : place + 2 + int(digits)]
            if len(count) < int(digits):
                return None
            if not count.isdigit():
                self._place = place + 1
                continue
            end = place + 2 + int(digits) + int(count)
            if len(buffer) < end:
                return None
            self._place = end
            if bytes(buffer[end : end + 1]) not in (b";", b",", b"\r", b"\n"):
                return end
        self._place = max(self._place, len(buffer))
        return None


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
            if block_header := re.match(rb"#([1-9])", data[place - 1 :]):
                digits = int(block_header[1])
                count = data[place + 1 : place + 1 + digits]
                if count.isdigit():
                    place += 1 + digits + int(count)
        else:
            parts.append(data[start : place - 1])
            start = place
    return [*parts, data[start:]]


def _trimmed(argument: bytes) -> bytes:
    """Take white space off, but not off the bytes of a block."""
    argument = argument.lstrip()
    return argument if argument.startswith(b"#") else argument.rstrip()


def number(argument: bytes) -> float:
    """Return a decimal number with an optional unit; raises ScpiError."""
    found = re.fullmatch(rb"([+-]?[\d.]+(?:[eE][+-]?\d+)?)\s*([A-Za-z%]*)", argument.strip())
    if argument.strip().upper() in (b"INF", b"INFINITY"):
        return 9.9e37
    if found is None:
        raise ScpiError(-104)
    scale = {b"G": 1e9, b"MHZ": 1e6, b"M": 1e-3, b"K": 1e3, b"U": 1e-6, b"N": 1e-9, b"P": 1e-12}
    unit = found[2].upper()
    factor = scale.get(unit, scale.get(unit[:1], 1.0) if len(unit) > 1 else 1.0)
    try:
        return float(found[1]) * factor
    except ValueError as error:
        raise ScpiError(-104) from error


def text(argument: bytes) -> str:
    """Return a quoted text; raises ScpiError."""
    if len(argument) < 2 or argument[:1] != b'"' or argument[-1:] != b'"':
        raise ScpiError(-104)
    return argument[1:-1].decode("latin-1")


def boolean(argument: bytes) -> bool:
    """Return 0, 1, ON or OFF; raises ScpiError."""
    word = argument.strip().upper()
    if word in (b"1", b"ON"):
        return True
    if word in (b"0", b"OFF"):
        return False
    raise ScpiError(-224)


def block(argument: bytes) -> bytes:
    """Return the bytes of a definite block; raises ScpiError."""
    found = re.match(rb"#([1-9])", argument)
    if found is None:
        raise ScpiError(-161)
    digits = int(found[1])
    count = argument[2 : 2 + digits]
    if not count.isdigit():
        raise ScpiError(-161)
    end = 2 + digits + int(count)
    if len(argument) < end or argument[end:].strip():
        raise ScpiError(-161)
    return argument[2 + digits : end]


def choice(argument: bytes, allowed: Sequence[str]) -> str:
    """Return the short form of one of the allowed words (``CONTinuous`` allows CONT); raises ScpiError."""
    word = argument.strip().decode("ascii", "replace").upper()
    for each in allowed:
        short = "".join(letter for letter in each if not letter.islower())
        if word in (short, each.upper()):
            return short
    raise ScpiError(-224)


def _compile(pattern: str) -> re.Pattern[str]:
    query = pattern.endswith("?")
    expression = ""
    for token in re.findall(r"\[[^\]]*\]|:?[^:\[\]]+", pattern.removesuffix("?")):
        optional = token.startswith("[")
        nodes = "".join(_node(node) for node in token.strip("[]").split(":") if node)
        expression += f"(?:{nodes})?" if optional else nodes
    return re.compile(expression + (r"\?" if query else ""))


def _node(node: str) -> str:
    suffix = r"(\d*)" if node.endswith("#") else ""
    name = node.removesuffix("#")
    short = re.escape("".join(letter for letter in name if not letter.islower()))
    if name.upper() == short or name.startswith("*"):
        return f":{re.escape(name)}{suffix}"
    return f":(?:{re.escape(name.upper())}|{short}){suffix}"
