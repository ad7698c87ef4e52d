"""ID Quantique ID900 / ID1000 Time Controller, and the DLT program that receives its timestamps.

After the vendor's manual as far as it is public, the vendor's examples and independent clients. Every message has
one reply. Levels are quantised to 1.024 mV, times answered as ``<n>TB`` (1 TB = 1 ps), levels as ``<x>V``.
"""

from qhal_simulators.instrument import Connection, Instrument, PairEndpoint, Send, Wire
from qhal_simulators.instruments.idquantique import id900_commands
from qhal_simulators.instruments.idquantique.blocks import INPUTS
from qhal_simulators.instruments.idquantique.datalink_service import DataLinkService
from qhal_simulators.instruments.idquantique.id900_options import Id900Options
from qhal_simulators.instruments.idquantique.input_counters import RESET_TEXT
from qhal_simulators.instruments.idquantique.setting_forms import NO_CONNECTION
from qhal_simulators.instruments.idquantique.standalone_pulses import RandomPulses
from qhal_simulators.instruments.idquantique.time_controller import TimeController
from qhal_simulators.physics.ports import Part, Port, TaggerSettings
from qhal_simulators.physics.readings import TaggerReadings
from qhal_simulators.scpi_commands import CommandTable

_LONGEST_REQUEST = 1 << 16
_SIMULATOR_FAULT = -300


class Id900(Instrument):
    """The unit with its connections: SCPI, the service of the DLT program, and its streams."""

    wires = {
        "main": Wire.ZMQ_REP,
        "dlt": Wire.ZMQ_REP,
        **{f"stream{n}": Wire.ZMQ_PAIR for n in range(1, INPUTS + 1)},
    }
    settings_type = TaggerSettings
    options_model = Id900Options
    options: Id900Options
    port: Port[TaggerSettings]
    readings: TaggerReadings
    controller: TimeController | None = None

    def standalone(self) -> Part:
        """Return a tagger with random pulses at its inputs."""
        pulses = RandomPulses(self.clock, self.options.pulse_rate_hz)
        return Part(pulses.port, pulses)

    def power_on(self) -> None:
        """Take the state after power-up."""
        if self.controller is not None:
            self.controller.power_off()
        controller = TimeController(self.options, self.clock, self.port, self.readings, self._bind)
        self.controller, self.recorder = controller, controller.recorder
        self.datalink: DataLinkService = controller.datalink
        self.table = CommandTable(id900_commands.table(controller), abbreviations=True)

    def connect(self, name: str, send: Send) -> Connection:
        """Return the unit's end of the SCPI connection, or the service's."""
        return self.datalink_connection(send) if name == "dlt" else _Scpi(self, send)

    def datalink_connection(self, send: Send) -> Connection:
        """Return the service's end of its connection."""
        return _DataLink(self, send)

    def _bind(self, tcp_port: int) -> PairEndpoint:
        return self.bind_pair(tcp_port)


class _Scpi:
    def __init__(self, unit: Id900, send: Send) -> None:
        self._unit = unit
        self._send = send

    def receive(self, data: bytes) -> None:
        """Answer one message with one frame."""
        unit = self._unit
        errors: list[int] = []
        text = data[:_LONGEST_REQUEST].strip()
        replies = [reply.decode() for reply in unit.table.run(text, errors.append)]
        if errors:
            reply = _error(text.decode("ascii", "replace"), errors[-1])
        elif b"?" not in text and replies:
            reply = self._set_reply(text.decode("ascii", "replace"), replies)
        else:
            reply = unit.options.between.join(replies)
        self._send(reply.encode())

    def failed(self) -> None:
        """Refuse the request."""
        self._send(_error("", _SIMULATOR_FAULT).encode())

    def closed(self) -> None:
        """Nothing is kept for a client."""

    def _set_reply(self, text: str, replies: list[str]) -> str:
        if replies[-1].startswith((RESET_TEXT, "Cleared", "Flushed", "Record is", "Generator is")):
            return replies[-1]
        return {"echo": text, "value": replies[-1], "empty": ""}[self._unit.options.set_reply]


class _DataLink:
    def __init__(self, unit: Id900, send: Send) -> None:
        self._unit = unit
        self._send = send

    def receive(self, data: bytes) -> None:
        """Answer one request of the service."""
        self._send(self._unit.datalink.answer(data.decode("utf-8", "replace")).encode())

    def failed(self) -> None:
        """Refuse the request."""
        self._send(b'{"error": {"description": "internal error"}}')

    def closed(self) -> None:
        """Acquisitions continue without the client that asked for them."""


def _error(text: str, code: int) -> str:
    """Return a refusal: a link that cannot be has a text of its own, all else ends the repeated request."""
    if code == NO_CONNECTION:
        return "No connection"
    return f"{text} {'SCPI_ERR_INVALID_CMD' if code == -113 else 'SCPI_ERR_PARAM_TYPE'}"
