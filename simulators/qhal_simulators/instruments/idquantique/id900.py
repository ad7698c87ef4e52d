"""ID Quantique ID900 / ID1000 Time Controller, and the DLT program that receives its timestamps.

After the vendor's manual as far as it is public, the vendor's examples and independent clients. Every message has
one reply. Levels are quantised to 1.024 mV, times answered as ``<n>TB`` (1 TB = 1 ps), levels as ``<x>V``.
"""

from typing import Literal

from pydantic import Field

from qhal_simulators.instrument import Connection, Instrument, Options, Send, Wire
from qhal_simulators.instruments.idquantique import id900_commands
from qhal_simulators.instruments.idquantique.block_signals import Tags, plain_input
from qhal_simulators.instruments.idquantique.blocks import GENERATORS, INPUTS
from qhal_simulators.instruments.idquantique.counters import RESET_TEXT, Counter, EventCounters, Watched
from qhal_simulators.instruments.idquantique.datalink_service import DataLinkService
from qhal_simulators.instruments.idquantique.generators import Generator
from qhal_simulators.instruments.idquantique.presets import keep_inputs, preset
from qhal_simulators.instruments.idquantique.recorder import Recorder
from qhal_simulators.instruments.idquantique.setting_forms import NO_CONNECTION
from qhal_simulators.instruments.idquantique.standalone_pulses import RandomPulses
from qhal_simulators.physics.ports import Part, Port, TaggerSettings
from qhal_simulators.physics.readings import TaggerReadings
from qhal_simulators.scpi_commands import CommandTable

_LONGEST_REQUEST = 1 << 16
_SIMULATOR_FAULT = -300
_BIN_PS = {
    ("ID900", "LOWRES"): 100,
    ("ID900", "HIRES"): 13,
    ("ID1000", "LOWRES"): 100,
    ("ID1000", "HIRES"): 1,
}


class Id900Options(Options):
    """What the sources leave open.

    ``idn``: text of ``*IDN?``. ``set_reply``: what a set command answers. ``separator`` between the replies of one
    message; by default the line end that the vendor's examples split at, and a semicolon with the old firmware, as its
    client does. ``firmware``: the old one has TSGE8 instead of REC and INPOrt in links. ``end_frame``: a stream ends
    with a frame of length 0. ``empty_frame``: a sub-record without tags is sent as a frame of length 0, or not at all
    (it is counted in both cases). ``flush_at_stop``: a sub-record that is stopped is sent.
    ``load_keeps_inputs``: the wirings HISTO and COUNT leave the settings and delays of the inputs as they were (the
    vendor's examples load one and count at once). ``record_number_zero``: what REC:NUM 0 means (one client takes it
    for endless; the vendor writes INF). ``shortest_period_s``: least REC:PPER of several sub-records.
    ``save_to``: folder of the files of ``start-save``; names are relative to it or lead into it.
    ``pulse_rate_hz``: standing alone, random pulses on every input. ``start_period_ps``: pulses at START (None:
    nothing is connected).
    """

    model: Literal["ID900", "ID1000"] = "ID900"
    idn: str = "ID Quantique,{model},20210042,1.12.0"
    set_reply: Literal["echo", "value", "empty"] = "echo"
    separator: Literal["semicolon", "newline"] | None = None
    firmware: Literal["new", "old"] = "new"
    end_frame: bool = True
    empty_frame: bool = True
    flush_at_stop: bool = False
    load_keeps_inputs: bool = True
    record_number_zero: Literal["endless", "one"] = "endless"
    shortest_period_s: float = Field(default=1e-3, ge=1e-4)
    save_to: str | None = None
    pulse_rate_hz: float = Field(default=1000.0, ge=0, le=1e6)
    start_period_ps: int | None = Field(default=None, ge=100_000)

    @property
    def between(self) -> str:
        """What stands between the replies of one message."""
        separator = self.separator or ("semicolon" if self.firmware == "old" else "newline")
        return ";" if separator == "semicolon" else "\n"


class Id900(Instrument):
    """Blocks with settings, counters per input, the recorder, and the service beside it."""

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
    tags: Tags
    recorder: Recorder
    datalink: DataLinkService
    event_counters: EventCounters
    watched: Watched
    _powered = False

    def standalone(self) -> Part:
        """Return a tagger with random pulses at its inputs."""
        pulses = RandomPulses(self.clock, self.options.pulse_rate_hz)
        return Part(pulses.port, pulses)

    def power_on(self) -> None:
        """Take the state after power-up: the wiring INIT, all inputs off."""
        if self._powered:
            self.recorder.stop()
            self.event_counters.forget()
            self.watched.forget()
            self.datalink.forget()
        else:
            self.table = CommandTable(id900_commands.table(self), abbreviations=True)
        self._powered = True
        self.settings = preset("INIT", self.gate)
        self.tags = Tags(self)
        self.datalink = DataLinkService(self)
        self.recorder = Recorder(self)
        self.generators = {n: Generator(self, n) for n in range(1, GENERATORS + 1)}
        self.event_counters = EventCounters(self)
        self.watched = Watched(self)
        self.counters = [Counter(self, n) for n in range(1, INPUTS + 1)]
        self.raw_errors = [0] * INPUTS
        self.apply()

    def connect(self, name: str, send: Send) -> Connection:
        """Return the unit's end of the SCPI connection, or the service's."""
        return self.datalink_connection(send) if name == "dlt" else _Scpi(self, send)

    def datalink_connection(self, send: Send) -> Connection:
        """Return the service's end of its connection."""
        return _DataLink(self, send)

    def value(self, block: str, number: int, key: str) -> str:
        """Return a setting as it is answered."""
        return self.settings[block, number, key]

    def picoseconds(self, block: str, number: int, key: str) -> int:
        """Return a time."""
        return int(self.value(block, number, key).removesuffix("TB"))

    def now_ps(self) -> int:
        """Return the time of the unit's own clock."""
        return self.readings.clock_ps(self.clock.now_s())

    @property
    def gate(self) -> str:
        """The block that gates records."""
        return "TSGE8" if self.options.firmware == "old" else "REC"

    def change(self, block: str, number: int, key: str, value: str) -> None:
        """Set one value, with what follows from it."""
        self.settings[block, number, key] = value
        self.apply()
        if block == "TSGE":
            self.recorder.gate(on=value == "ON")
        if key.startswith("COUN:"):
            self._restart_counter(block, number)

    def load(self, name: str) -> None:
        """Take a built-in wiring."""
        self.recorder.stop()
        self.event_counters.forget()
        for generator in self.generators.values():
            generator.stop()
        wiring = preset(name, self.gate)
        kept = self.options.load_keeps_inputs and name in ("HISTO", "COUNT")
        self.settings = keep_inputs(wiring, self.settings) if kept else wiring
        self.apply()

    def count(self, block: str, number: int) -> str:
        """Return what a counter shows."""
        if block == "INPU" and plain_input(self, number):
            return str(self.counters[number - 1].value)
        return str(self.event_counters.value(block, number))

    def reset_counter(self, block: str, number: int) -> str:
        """Set a counter to 0."""
        if block == "INPU" and plain_input(self, number):
            return self.counters[number - 1].reset()
        return self.event_counters.reset(block, number)

    def apply(self) -> None:
        """Let the inputs see their settings."""
        inputs = range(1, INPUTS + 1)
        self.port.apply(
            TaggerSettings(
                enabled=tuple(self.value("INPU", n, "ENAB") == "ON" and plain_input(self, n) for n in inputs),
                threshold_v=tuple(float(self.value("INPU", n, "THRE").removesuffix("V")) for n in inputs),
                delay_ps=tuple(self._delay_ps(n) for n in inputs),
                resolution_ps=self.bin_ps,
            )
        )

    @property
    def bin_ps(self) -> int:
        """The bin width of the resolution mode."""
        return _BIN_PS[self.options.model, self.value("DEVI", 1, "RES")]

    def _delay_ps(self, n: int) -> int:
        """Return by how much an input's own delay block moves its events."""
        return self.picoseconds("DELA", n, "VALU") if self.value("DELA", n, "LINK") == f"INPU{n}" else 0

    def _restart_counter(self, block: str, number: int) -> None:
        if block == "INPU" and plain_input(self, number):
            self.counters[number - 1].restart()
        else:
            self.event_counters.reset(block, number)


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
        """Acquisitions go on without the client that asked for them."""


def _error(text: str, code: int) -> str:
    """Return a refusal: a link that cannot be has a text of its own, all else ends the repeated request."""
    if code == NO_CONNECTION:
        return "No connection"
    return f"{text} {'SCPI_ERR_INVALID_CMD' if code == -113 else 'SCPI_ERR_PARAM_TYPE'}"
