"""ID Quantique ID900 / ID1000 Time Controller, and the DLT program that receives its timestamps.

After the vendor's manual as far as it is public, the vendor's examples and independent clients. Every message has
one reply. Levels are quantised to 1.024 mV, times answered as ``<n>TB`` (1 TB = 1 ps), levels as ``<x>V``.
"""

import re
from typing import Literal

from pydantic import Field

from qhal_simulators.instrument import Connection, Instrument, Options, Send, Wire
from qhal_simulators.instruments.idquantique.blocks import BLOCKS, Setting, preset
from qhal_simulators.instruments.idquantique.counters import Counter
from qhal_simulators.instruments.idquantique.datalink import DataLinkService
from qhal_simulators.instruments.idquantique.pulses import give_pulses
from qhal_simulators.instruments.idquantique.recorder import Recorder
from qhal_simulators.physics.ports import TaggerPort
from qhal_simulators.scpi import CommandTable, Handler, ScpiError

INPUTS = 4
_BIN_PS = {
    ("ID900", "LOWRES"): 100,
    ("ID900", "HIRES"): 13,
    ("ID1000", "LOWRES"): 100,
    ("ID1000", "HIRES"): 1,
}


class Id900Options(Options):
    """What the sources leave open.

    ``idn``: text of ``*IDN?``. ``set_reply``: what a set command answers. ``separator`` between the replies of one
    message. ``firmware``: the old one has TSGE8 instead of REC and INPOrt in links. ``end_frame``: a stream ends with
    a frame of length 0. ``empty_frame``: a sub-record without tags is sent as a frame of length 0, or not at all
    (it is counted in both cases). ``flush_at_stop``: a sub-record that is stopped is sent. ``save_to``: folder for
    ``start-save``. ``pulse_rate_hz``: standing alone, random pulses on every input.
    """

    model: Literal["ID900", "ID1000"] = "ID900"
    idn: str = "ID Quantique,{model},20210042,1.12.0"
    set_reply: Literal["echo", "value", "empty"] = "echo"
    separator: Literal["semicolon", "newline"] = "semicolon"
    firmware: Literal["new", "old"] = "new"
    end_frame: bool = True
    empty_frame: bool = True
    flush_at_stop: bool = False
    save_to: str | None = None
    pulse_rate_hz: float = Field(default=1000.0, ge=0, le=1e6)


class Id900(Instrument):
    """Blocks with settings, counters per input, the recorder, and the service beside it."""

    wires = {
        "main": Wire.ZMQ_REP,
        "dlt": Wire.ZMQ_REP,
        **{f"stream{n}": Wire.ZMQ_PAIR for n in range(1, INPUTS + 1)},
    }
    port_type = TaggerPort
    options_model = Id900Options
    options: Id900Options
    port: TaggerPort
    recorder: Recorder
    datalink: DataLinkService
    _powered = False

    def power_on(self) -> None:
        """Take the state after power-up: the wiring INIT, all inputs off."""
        if self._powered:
            self.recorder.stop()
            self.datalink.forget()
        else:
            give_pulses(self.port, self.clock, self.options.pulse_rate_hz)
            self.table = CommandTable(self._commands())
        self._powered = True
        self.settings = preset("INIT")
        self.datalink = DataLinkService(self)
        self.recorder = Recorder(self)
        self.counters = [Counter(self, n) for n in range(1, INPUTS + 1)]
        self.raw_errors = [0] * INPUTS
        self.apply()

    def connect(self, link: str, send: Send) -> Connection:
        """Return the unit's end of the SCPI link, or the service's."""
        return self.datalink_connection(send) if link == "dlt" else _Scpi(self, send)

    def datalink_connection(self, send: Send) -> Connection:
        """Return the service's end of its link."""
        return _DataLink(self, send)

    def value(self, block: str, number: int, key: str) -> str:
        """Return a setting as it is answered."""
        return self.settings[block, number, key]

    def picoseconds(self, block: str, number: int, key: str) -> int:
        """Return a time."""
        return int(self.value(block, number, key).removesuffix("TB"))

    def source(self, link: str) -> int | None:
        """Return the input that a link leads back to, through delays and combiners (their first link)."""
        for _ in range(8):
            found = re.fullmatch(r"([A-Z]+)(\d*)", link)
            if found is None or found[1] not in ("INPU", "DELA", "TSCO"):
                return None
            number = int(found[2] or 1)
            if found[1] == "INPU":
                return number
            link = self.value(found[1], number, "LINK" if found[1] == "DELA" else "FIR:LINK")
        return None

    def apply(self) -> None:
        """Let the inputs see their settings."""
        inputs = range(1, INPUTS + 1)
        self.port.update(
            enabled=tuple(self.value("INPU", n, "ENAB") == "ON" for n in inputs),
            threshold_v=tuple(float(self.value("INPU", n, "THRE").removesuffix("V")) for n in inputs),
            delay_ps=tuple(self.picoseconds("DELA", n, "VALU") for n in inputs),
            resolution_ps=self.bin_ps,
        )

    @property
    def bin_ps(self) -> int:
        """The bin width of the resolution mode."""
        return _BIN_PS[self.options.model, self.value("DEVI", 1, "RES")]

    # -- the command table

    def _commands(self) -> dict[str, Handler]:
        commands: dict[str, Handler] = {
            "*IDN?": lambda s, a: self.options.idn.format(model=self.options.model),
            "DEVIce:RESolution:BWIDth?": lambda s, a: str(self.bin_ps),
            "DEVIce:CONFiguration:LOAD": self._load,
            "DEVIce:SAMPling:RECAlibrate": lambda s, a: "Recalibration done",
            "DEVIce:STATe?": lambda s, a: (
                f"DEVIce:SYNC {self.value('DEVI', 1, 'SYNC')};RES {self.value('DEVI', 1, 'RES')}"
            ),
            "INPUt#:COUNter?": lambda s, a: str(self._counter(s).value),
            "INPUt#:COUNter:RESEt": lambda s, a: self._counter(s).reset(),
            "INPUt#:HIREs:ERROr?": lambda s, a: str(self._counter(s).hires_error),
            "INPUt#:HIREs:ERROr:CLEAr": lambda s, a: self._counter(s).clear_error(),
            "INPUt#:STATe?": self._input_state,
            "RAW#:ERRORS?": lambda s, a: str(self.raw_errors[self._input(s) - 1]),
            "RAW#:ERRORS:CLEAR": self._clear_raw_errors,
            "HISTogram#:FLUSh": lambda s, a: self.recorder.flush(self._input(s)),
            "HISTogram#:DATA?": lambda s, a: self.recorder.histogram_text(self._input(s)),
        }
        if self.options.firmware == "new":
            commands |= {
                "RECord:PLAY": lambda s, a: self.recorder.play(),
                "RECord:STOP": lambda s, a: self.recorder.stop(),
                "RECord:STAGe?": lambda s, a: self.recorder.stage,
                "RECord:DURation": self._duration,
            }
        for pattern, setting in BLOCKS.items():
            if setting.exists(self.options.firmware):
                commands[pattern] = self._setter(setting)
                commands[f"{pattern}?"] = self._getter(setting)
        return commands

    def _setter(self, setting: Setting) -> Handler:
        def handle(suffixes: tuple[int, ...], arguments: list[bytes]) -> str:
            number = self._number(setting, suffixes)
            value = setting.parse(arguments[0].decode("ascii", "replace") if arguments else "")
            self.settings[setting.block, number, setting.key] = value
            self.apply()
            if setting.key.startswith("COUN:"):
                self.counters[number - 1].restart()
            return value

        return handle

    def _getter(self, setting: Setting) -> Handler:
        return lambda suffixes, arguments: self.value(
            setting.block, self._number(setting, suffixes), setting.key
        )

    @staticmethod
    def _number(setting: Setting, suffixes: tuple[int, ...]) -> int:
        number = suffixes[0] if suffixes else 1
        if not 1 <= number <= setting.count:
            raise ScpiError(-113)
        return number

    @staticmethod
    def _input(suffixes: tuple[int, ...]) -> int:
        if not 1 <= suffixes[0] <= INPUTS:
            raise ScpiError(-113)
        return suffixes[0]

    def _counter(self, suffixes: tuple[int, ...]) -> Counter:
        return self.counters[self._input(suffixes) - 1]

    def _clear_raw_errors(self, suffixes: tuple[int, ...], arguments: list[bytes]) -> str:
        self.raw_errors[self._input(suffixes) - 1] = 0
        return "0"

    def _duration(self, suffixes: tuple[int, ...], arguments: list[bytes]) -> str:
        """One record of this length: the pulse of the recorder, with the shortest pause."""
        if not arguments:
            raise ScpiError(-109)
        length = Setting("REC", "PWID", "time", "0").parse(arguments[0].decode("ascii", "replace"))
        self.settings["REC", 1, "PWID"] = length
        self.settings["REC", 1, "PPER"] = f"{int(length.removesuffix('TB')) + 40_000}TB"
        return length

    def _load(self, suffixes: tuple[int, ...], arguments: list[bytes]) -> str:
        name = arguments[0].decode("ascii", "replace").upper() if arguments else ""
        if name not in ("INIT", "HISTO", "COUNT", "BLANK"):
            raise ScpiError(-104)
        self.recorder.stop()
        self.settings = preset(name)
        self.apply()
        return name

    def _input_state(self, suffixes: tuple[int, ...], arguments: list[bytes]) -> str:
        n = self._input(suffixes)
        keys = ("ENAB", "COUP", "EDGE", "THRE", "SELE", "RESY")
        first = ";".join(f"{key} {self.value('INPU', n, key)}" for key in keys)
        counter = (
            f":INPU{n}:COUNter:INTEgrationtime {self.value('INPU', n, 'COUN:INTE')}"
            f";MODE {self.value('INPU', n, 'COUN:MODE')}"
        )
        return f"INPU{n}:{first};{counter}"


class _Scpi:
    def __init__(self, unit: Id900, send: Send) -> None:
        self._unit = unit
        self._send = send

    def receive(self, data: bytes) -> None:
        """Answer one message with one frame."""
        unit = self._unit
        errors: list[str] = []
        text = data.strip()

        def refuse(code: int) -> None:
            errors.append("SCPI_ERR_INVALID_CMD" if code == -113 else "SCPI_ERR_PARAM_TYPE")

        replies = [reply.decode() for reply in unit.table.run(text, refuse)]
        if errors:
            reply = f"{text.decode('ascii', 'replace')} {errors[-1]}"
        elif b"?" not in text and replies:
            reply = self._set_reply(text.decode("ascii", "replace"), replies)
        else:
            reply = (";" if unit.options.separator == "semicolon" else "\n").join(replies)
        self._send(reply.encode())

    def closed(self) -> None:
        """Nothing is kept for a client."""

    def _set_reply(self, text: str, replies: list[str]) -> str:
        if replies[-1].startswith(("Counter value", "Cleared", "Flushed", "Record is")):
            return replies[-1]
        return {"echo": text, "value": replies[-1], "empty": ""}[self._unit.options.set_reply]


class _DataLink:
    def __init__(self, unit: Id900, send: Send) -> None:
        self._unit = unit
        self._send = send

    def receive(self, data: bytes) -> None:
        """Answer one request of the service."""
        self._send(self._unit.datalink.answer(data.decode("utf-8", "replace")).encode())

    def closed(self) -> None:
        """Acquisitions go on without the client that asked for them."""
