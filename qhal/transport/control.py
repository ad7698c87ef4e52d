"""The control connection of a simulator process: its clock, its faults, its truth.

One JSON object a line each way: ``{"do": "step", "seconds": 0.5}`` is answered by ``{"now_s": 12.5}``, a
failure by ``{"error": "..."}``. Only the clock of a node file, tests and the demonstration speak it.
"""

import json
import time
from typing import Any

from qhal.errors import ConfigurationError, DeviceError, Disconnected, ProtocolError
from qhal.transport import replies
from qhal.transport.address import Address
from qhal.transport.connection import Connection, ConnectionState
from qhal.transport.frames import line
from qhal.transport.open import make_transport

_LINE = line(b"\n")
_STEP_TIMEOUT_S = 120.0
_OPEN_S = 5.0


def _answer(reply: bytes) -> dict[str, Any]:
    answer = replies.json_value(reply)
    if not isinstance(answer, dict):
        raise ProtocolError(f"{reply[:80]!r} is not a JSON object")
    if "error" in answer:
        raise DeviceError(str(answer["error"])[:1000])
    return answer


class SimulatorControl:
    """A client of a simulator's control connection; thread-safe."""

    def __init__(self, address: str) -> None:
        self._connection = Connection(
            make_transport(Address(address)), "simulator", timeout_s=_STEP_TIMEOUT_S, line_delay_s=0.0
        )
        self._connection.recover = self._open

    def request(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Ask for one thing and return the answer. Raises DeviceError when the simulator refuses."""
        request = json.dumps({"do": do, **arguments}).encode() + b"\n"
        return self._connection.exchange(request, _LINE, parse=_answer)

    def close(self) -> None:
        """Close the transport."""
        connection = self._connection
        with connection.lock:
            if connection.state is not ConnectionState.INHERITED:
                connection.close()
                connection.settle(ConnectionState.CLOSED)

    def _open(self, limit_s: float) -> None:
        del limit_s
        connection = self._connection
        with connection.lock:
            if connection.state is ConnectionState.INHERITED:
                raise Disconnected(f"{connection.name}: {connection.address} was opened by another process")
            if connection.state is not ConnectionState.READY:
                connection.close()
                connection.open(time.monotonic() + _OPEN_S)
                connection.settle(ConnectionState.READY)


class SteppedClock:
    """Device time that moves only in ``sleep_s``, and the simulated world with it."""

    def __init__(self, address: str) -> None:
        if not address:
            raise ConfigurationError("a stepped clock needs the address of a simulator's control connection")
        self.control = SimulatorControl(address)

    def now_s(self) -> float:
        """Return the world time."""
        return replies.as_number(replies.member(self.control.request("now"), "now_s"), "now_s", low=0.0)

    def sleep_s(self, duration_s: float) -> None:
        """Move the world by this much; its output is written when this returns."""
        if duration_s > 0:
            self.control.request("step", seconds=duration_s)

    def advance_s(self, duration_s: float) -> None:
        """Move the world by this much, as :meth:`sleep_s` does."""
        self.sleep_s(duration_s)

    def close(self) -> None:
        """Close the control connection."""
        self.control.close()
