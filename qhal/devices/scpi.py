"""The asking side of SCPI, over any link: texts, numbers and the error queue."""

import re

from qhal.errors import DeviceError, ProtocolError
from qhal.transport.frames import line
from qhal.transport.port import Port

_LINE = line(b"\n")
_MOST_ERRORS = 100


class Scpi:
    """Queries and commands of one instrument, ended by LF."""

    def __init__(self, port: Port) -> None:
        self._port = port

    def ask(self, query: str, *, timeout_s: float | None = None) -> str:
        """Return the reply to a query, without its line end."""
        reply = self._port.exchange(query.encode("ascii") + b"\n", _LINE, timeout_s=timeout_s)
        return reply.decode("latin-1").strip("\r\n ")

    def ask_float(self, query: str) -> float:
        """Return a number. Raises ProtocolError when the reply is none."""
        return float(self._matched(query, r"[+-]?\d*\.?\d+(?:[eE][+-]?\d+)?"))

    def ask_int(self, query: str) -> int:
        """Return a whole number. Raises ProtocolError when the reply is none."""
        return int(self._matched(query, r"[+-]?\d+"))

    def send(self, command: str) -> None:
        """Send a command that has no reply."""
        self._port.send(command.encode("ascii") + b"\n")

    def send_block(self, command: str, data: bytes, *, timeout_s: float) -> None:
        """Send a command that ends with an IEEE 488.2 definite block."""
        count = str(len(data)).encode()
        head = command.encode("ascii") + b",#" + str(len(count)).encode() + count
        self._port.send(head + data + b"\n", timeout_s=timeout_s)

    def errors(self) -> list[str]:
        """Empty the error queue and return what was in it, oldest first."""
        found: list[str] = []
        for _ in range(_MOST_ERRORS):
            reply = self.ask(":SYST:ERR?")
            parts = re.fullmatch(r"([+-]?\d+), ?\"(.*)\"", reply)
            if parts is None:
                self._port.taint()
                raise ProtocolError(f"{self._port.name}: SYST:ERR? answers {reply!r}")
            if int(parts[1]) == 0:
                return found
            found.append(f"{parts[1]} {parts[2]}")
        raise DeviceError(f"{self._port.name}: the error queue does not end: {found[-1]}")

    def refuse_errors(self, doing: str) -> None:
        """Raise DeviceError when the error queue is not empty."""
        if found := self.errors():
            raise DeviceError(f"{self._port.name}: {doing}: {'; '.join(found)}")

    def _matched(self, query: str, pattern: str) -> str:
        reply = self.ask(query)
        if re.fullmatch(pattern, reply) is None:
            self._port.taint()
            raise ProtocolError(f"{self._port.name}: {query} answers {reply!r}, a number is expected")
        return reply
