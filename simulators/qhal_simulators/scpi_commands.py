"""The listening side of SCPI: messages with binary blocks, header paths, short and long forms, an error queue.

A command table maps patterns to handlers. ``SOURce#:VOLTage[:LEVel][:AMPLitude]`` allows ``SOUR2:VOLT`` and
``:source2:voltage:level:amplitude``; ``#`` is a numeric suffix (1 when left out), square brackets are optional
nodes. A trailing ``?`` in the pattern makes it a query.
"""

import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import cache

from qhal_simulators.request_numbers import NotANumber, NumberOutOfRange, decimal, whole
from qhal_simulators.scpi_messages import split

Handler = Callable[[tuple[int, ...], list[bytes]], str | bytes | None]
"""Takes numeric suffixes and arguments; returns the reply of a query."""

QUEUE_LENGTH = 32
DEVICE_ERROR = -300
LARGEST = 9.9e37
"""What SCPI writes for infinity; no argument is larger."""
_LONGEST_LIST = 1024
_REMEMBERED_HEADERS = 1024
_START_LETTERS = 3
"""No short form of a first node is shorter."""
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
    -225: "Out of memory",
    -224: "Illegal parameter value",
    -256: "File name not found",
    -300: "Device-specific error",
    -350: "Queue overflow",
    -363: "Input buffer overrun",
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
    """Patterns compiled to regular expressions, tried in order.

    ``abbreviations``: a unit takes any beginning of a long form that is not shorter than the short form, not only
    these two.
    """

    def __init__(self, commands: Mapping[str, Handler], *, abbreviations: bool = False) -> None:
        self.patterns = tuple(commands)
        self._commands: dict[str, list[tuple[re.Pattern[str], Handler]]] = {}
        for pattern, handler in commands.items():
            starts = self._commands.setdefault(_start(pattern), [])
            starts.append((_compile(pattern, abbreviations), handler))
        self._found: dict[str, tuple[Handler, tuple[int, ...]] | None] = {}

    def find(self, header: str) -> tuple[Handler, tuple[int, ...]] | None:
        """Return handler and suffixes for a header from the root."""
        header = header.upper()
        if header not in self._found:
            if len(self._found) >= _REMEMBERED_HEADERS:
                self._found.clear()
            self._found[header] = None
            start = header[: _START_LETTERS + 1]
            for pattern, handler in [*self._commands.get(start, ()), *self._commands.get("", ())]:
                if match := pattern.fullmatch(header):
                    suffixes = tuple(int(group) if group else 1 for group in match.groups())
                    self._found[header] = (handler, suffixes)
                    break
        return self._found[header]

    def run(self, message: bytes, errors: Callable[[int], None]) -> list[bytes]:
        """Run one message; return the replies of its queries. A command error ends the message."""
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


def _trimmed(argument: bytes) -> bytes:
    """Take white space off, but not off the bytes of a block."""
    argument = argument.lstrip()
    return argument if argument.startswith(b"#") else argument.rstrip()


def number(argument: bytes, low: float = -LARGEST, high: float = LARGEST) -> float:
    """Return a decimal number with an optional unit, from ``low`` to ``high``; raises ScpiError."""
    word = argument.strip().upper()
    if word in (b"INF", b"INFINITY"):
        value = LARGEST
    else:
        found = re.fullmatch(rb"([+-]?[\d.]+(?:E[+-]?\d+)?)\s*([A-Z%]*)", word[:80])
        if found is None:
            raise ScpiError(-104)
        try:
            value = float(decimal(found[1].decode(), -LARGEST, LARGEST)) * _scale(found[2])
        except NumberOutOfRange as error:
            raise ScpiError(-222) from error
        except NotANumber as error:
            raise ScpiError(-104) from error
    if not low <= value <= high:
        raise ScpiError(-222)
    return value


def integer(argument: bytes, low: int, high: int) -> int:
    """Return a number from ``low`` to ``high``, rounded; raises ScpiError."""
    return round(number(argument, low, high))


def _scale(unit: bytes) -> float:
    scales = {b"G": 1e9, b"MHZ": 1e6, b"M": 1e-3, b"K": 1e3, b"U": 1e-6, b"N": 1e-9, b"P": 1e-12}
    return scales.get(unit, scales.get(unit[:1], 1.0) if len(unit) > 1 else 1.0)


def channel_lists(arguments: Sequence[bytes], last: int) -> list[list[int]]:
    """Return channel lists ``(@1,2:4),(@5)`` of numbers from 1 to ``last``; raises ScpiError.

    A list may be empty; one with an empty place, a second opening or text around it is a syntax error.
    """
    lists: list[list[int]] = []
    rest = b",".join(arguments).decode("ascii", "replace").strip()
    while rest:
        if not rest.startswith("(@"):
            raise ScpiError(-102)
        content, closed, rest = rest[2:].partition(")")
        rest = rest.strip()
        if not closed or (rest and not rest.startswith(",")) or rest == ",":
            raise ScpiError(-102)
        rest = rest[1:].lstrip()
        lists.append(_channels(content, last) if content.strip() else [])
    return lists


def _channels(content: str, last: int) -> list[int]:
    channels: list[int] = []
    for part in content.split(","):
        bounds = [bound.strip() for bound in part.split(":")]
        if not all(bounds) or len(bounds) > 2:
            raise ScpiError(-102)
        try:
            numbers = [whole(bound, 1, last) for bound in bounds]
        except NumberOutOfRange as error:
            raise ScpiError(-222) from error
        except NotANumber as error:
            raise ScpiError(-104) from error
        if numbers[0] > numbers[-1] or len(channels) > _LONGEST_LIST:
            raise ScpiError(-222)
        channels += range(numbers[0], numbers[-1] + 1)
    return channels


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
        short = short_form(each)
        if word in (short, each.upper()):
            return short
    raise ScpiError(-224)


def _start(pattern: str) -> str:
    """Return how every header of a pattern begins, "" if they begin in several ways."""
    return "" if pattern.startswith("[") else f":{pattern.lstrip(':')[:_START_LETTERS].upper()}"


@cache
def _compile(pattern: str, abbreviations: bool) -> re.Pattern[str]:
    query = pattern.endswith("?")
    expression = ""
    for token in re.findall(r"\[[^\]]*\]|:?[^:\[\]]+", pattern.removesuffix("?")):
        optional = token.startswith("[")
        nodes = "".join(_node(node, abbreviations) for node in token.strip("[]").split(":") if node)
        expression += f"(?:{nodes})?" if optional else nodes
    return re.compile(expression + (r"\?" if query else ""))


def _node(node: str, abbreviations: bool) -> str:
    suffix = r"([0-9]{0,4})" if node.endswith("#") else ""
    name = node.removesuffix("#")
    if name.startswith("*"):
        return f":{re.escape(name)}"
    return f":(?:{_words(name, abbreviations)}){suffix}"


def _words(name: str, abbreviations: bool) -> str:
    """Return an expression for the forms of a word."""
    short, whole_word = short_form(name), name.upper()
    if not abbreviations or not whole_word.startswith(short):
        return "|".join(map(re.escape, {short: None, whole_word: None}))
    rest = whole_word[len(short) :]
    return re.escape(short) + "".join(f"(?:{letter}" for letter in rest) + ")?" * len(rest)


def short_form(name: str) -> str:
    """Return the short form of a word: its capitals."""
    return "".join(letter for letter in name if not letter.islower())
