"""A simulated instrument: bytes in, bytes out, time passes; no socket and no thread.

A server (:mod:`qhal_simulators.servers`) carries the bytes; the instrument's part of the world has a port for the
settings that act on the light (:mod:`qhal_simulators.physics.ports`), and readings
(:mod:`qhal_simulators.physics.readings`).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict

from qhal_simulators.physics.ports import Part, Port, Settings
from qhal_simulators.simulated_time import SimulationClock

Send = Callable[[bytes], None]
"""Give bytes (one message) to the far side; never blocks: what does not fit is dropped and counted."""


LONGEST_LINE = 1 << 16


class Wire(StrEnum):
    """What a connection of an instrument is carried by."""

    PTY = "pty"
    TCP = "tcp"
    ZMQ_REP = "zmq-rep"
    ZMQ_PAIR = "zmq-pair"


class Connection(Protocol):
    """The instrument's end of one client's connection. A pty has one for ever; ZeroMQ REP one for all."""

    def receive(self, data: bytes) -> None:
        """Take bytes as they come (ZeroMQ: one message)."""
        ...

    def failed(self) -> None:
        """Answer a request that the simulator itself broke on with the unit's error; forget what is unfinished."""
        ...

    def closed(self) -> None:
        """The client is gone."""
        ...


class PairEndpoint(Protocol):
    """A bound ZeroMQ PAIR socket on which an instrument pushes."""

    def send(self, data: bytes) -> bool:
        """Push one message; False when it had to be dropped."""
        ...

    def close(self) -> None:
        """Unbind."""
        ...


class Options(BaseModel):
    """What a dossier leaves open, as options of the simulator; every field has a default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Instrument(ABC):
    """One simulated unit.

    ``wires`` names its connections. ``settings_type``: settings of its part of the world; those of an
    instrument that acts on no light have no fields. ``bind_pair`` is set by the
    server: it binds a PAIR socket at a TCP port.
    """

    wires: ClassVar[Mapping[str, Wire]]
    settings_type: ClassVar[type[Settings]] = Settings
    port: Port[Any]
    readings: Any
    options_model: ClassVar[type[Options]] = Options

    def __init__(
        self, clock: SimulationClock, part: Part | None = None, options: Options | None = None
    ) -> None:
        self.clock = clock
        self.options = options or self.options_model()
        self.part = part or self.standalone()
        self.port, self.readings = self.part.port, self.part.readings
        self.bind_pair: Callable[[int], PairEndpoint] = _no_pair
        self.power_on()

    def standalone(self) -> Part:
        """Return the part of an instrument that no world is connected to: settings are stored, and act on nothing."""
        return Part(Port(self.settings_type()))

    @abstractmethod
    def power_on(self) -> None:
        """Take the state after power-up; called again for every power cycle."""

    @abstractmethod
    def connect(self, name: str, send: Send) -> Connection:
        """Return the instrument's end of a new connection of this name."""


class LineConnection(ABC):
    """A connection on which a client sends text lines; CR, LF and CR LF all end one, empty lines are none."""

    def __init__(self, send: Send) -> None:
        self.send = send
        self._buffer = b""

    def receive(self, data: bytes) -> None:
        """Split into lines; what is longer than LONGEST_LINE is cut."""
        *lines, rest = data.replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            line, self._buffer = (self._buffer + line)[:LONGEST_LINE], b""
            if line.strip():
                self.line(line)
        self._buffer = (self._buffer + rest)[:LONGEST_LINE]

    def failed(self) -> None:
        """Forget an unfinished line; no answer."""
        self._buffer = b""

    def closed(self) -> None:
        """Forget an unfinished line."""
        self._buffer = b""

    @abstractmethod
    def line(self, line: bytes) -> None:
        """Take one line without its end."""


def _no_pair(tcp_port: int) -> PairEndpoint:
    raise RuntimeError(f"no server to bind a PAIR socket at port {tcp_port}")
