"""The asking side of SCPI, over any connection: texts, numbers and the error queue."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from qhal.errors import DeviceError
from qhal.transport import replies
from qhal.transport.connection import Connection
from qhal.transport.frames import Frame, line

_LINE = line(b"\n")
_MOST_ERRORS = 100
_NO_UNITS: Mapping[str, float] = {}

Parsed = TypeVar("Parsed")


class Scpi:
    """Queries and commands of one instrument.

    ``end`` ends a request and ``frame`` reads a reply: a line each, or a message. The ``ask_`` methods raise
    ProtocolError for a reply of another form than the query has, NoValue for SCPI's 9.9E37 and its like
    (:mod:`qhal.transport.replies`), and what the connection raises.
    """

    def __init__(self, connection: Connection, *, end: bytes = b"\n", frame: Frame = _LINE) -> None:
        self._connection = connection
        connection.padding = replies.PADDING.encode()
        self._end = end
        self._frame = frame

    def ask(self, query: str, *, timeout_s: float | None = None) -> str:
        """Return the reply to a query, without white space and NUL around it."""
        return self.ask_parsed(query, str, timeout_s=timeout_s)

    def ask_parsed(
        self, query: str, parse: Callable[[str], Parsed], *, timeout_s: float | None = None
    ) -> Parsed:
        """Return what ``parse`` makes of the reply's text."""
        return self._connection.exchange(
            query.encode("ascii") + self._end,
            self._frame,
            timeout_s=timeout_s,
            parse=lambda reply: parse(self._text(reply)),
        )

    def ask_float(
        self,
        query: str,
        units: Mapping[str, float] = _NO_UNITS,
        *,
        low: float = -replies.MOST,
        high: float = replies.MOST,
    ) -> float:
        """Return a finite number within the limits, scaled by the unit behind it."""
        return self.ask_parsed(query, lambda reply: replies.number(reply, units, low=low, high=high))

    def ask_int(
        self,
        query: str,
        units: Mapping[str, float] = _NO_UNITS,
        *,
        low: int = -(2**63),
        high: int = 2**63 - 1,
    ) -> int:
        """Return a whole number within the limits, scaled by the unit behind it."""
        return self.ask_parsed(query, lambda reply: replies.whole_number(reply, units, low=low, high=high))

    def ask_flag(self, query: str) -> bool:
        """Return whether the reply is 1 or ON; it may be 0 or OFF."""
        return self.ask_parsed(query, replies.flag)

    def ask_word(self, query: str, *allowed: str) -> str:
        """Return which of the allowed words the reply is; upper and lower case are equal."""
        return self.ask_parsed(query, lambda reply: replies.word(reply, *allowed))

    def ask_label(self, query: str, *, timeout_s: float | None = None) -> str:
        """Return a text that is meant for people: printable and not long."""
        return self.ask_parsed(query, replies.label, timeout_s=timeout_s)

    def send(self, command: str) -> None:
        """Send a command that has no reply."""
        self._connection.send(command.encode("ascii") + self._end)

    def send_block(self, command: str, data: bytes, *, timeout_s: float) -> None:
        """Send a command that ends with an IEEE 488.2 definite block."""
        count = str(len(data)).encode()
        head = command.encode("ascii") + b",#" + str(len(count)).encode() + count
        self._connection.send(head + data + self._end, timeout_s=timeout_s)

    def errors(self) -> list[str]:
        """Empty the error queue and return what was in it, oldest first."""
        errors: list[str] = []
        for _ in range(_MOST_ERRORS):
            code, text = self.ask_parsed(":SYST:ERR?", replies.error_entry)
            if code == 0:
                return errors
            errors.append(f"{code} {text}")
        raise DeviceError(f"{self._connection.name}: the error queue does not end: {errors[-1]}")

    def refuse_errors(self, doing: str) -> None:
        """Raise DeviceError when the error queue is not empty."""
        if errors := self.errors():
            raise DeviceError(f"{self._connection.name}: {doing}: {'; '.join(errors)}")

    def _text(self, reply: bytes) -> str:
        """Return the text of a reply; a dialect may raise DeviceError here for one that is an error."""
        return replies.text(reply)
