"""Tektronix AWG5014 / B / C arbitrary waveform generator: SCPI over a raw socket.

The command rows that programs use to upload and play waveforms, and those that QMI uses; everything else is an
undefined header, see docs/reference/awg5014-commands.md. A query that fails gives no reply.
"""

import time
from typing import Literal

from pydantic import Field

from qhal_simulators.instrument import Connection, Instrument, Options, Send, Wire
from qhal_simulators.instruments.tektronix import awg_commands
from qhal_simulators.instruments.tektronix.awg_settings import CHANNELS, defaults
from qhal_simulators.instruments.tektronix.waveform_list import LONGEST_BLOCK, WaveformList
from qhal_simulators.physics.ports import Port, WaveformSettings
from qhal_simulators.scpi_commands import DEVICE_ERROR, CommandTable, ErrorQueue
from qhal_simulators.scpi_messages import MessageSplitter


class Awg5014Options(Options):
    """What the sources leave open.

    ``delete_unknown_is_error``: whether deleting a waveform that there is not puts an error into the queue.
    ``pending_error``: an error that another client left in the queue. ``reply_end``: LF, or CR LF.
    """

    model: Literal["AWG5014", "AWG5014B", "AWG5014C"] = "AWG5014C"
    serial_number: str = Field(default="B010101", pattern=r"^[A-Z0-9]+$")
    firmware: str = "SCPI:99.0 FW:4.6.0.7"
    option_codes: str = "0"
    delete_unknown_is_error: bool = True
    pending_error: bool = False
    reply_end: Literal["lf", "crlf"] = "lf"


class Awg5014(Instrument):
    """The generator's state: settings, waveforms, what is assigned, whether it runs."""

    wires = {"main": Wire.TCP}
    settings_type = WaveformSettings
    options_model = Awg5014Options
    options: Awg5014Options
    port: Port[WaveformSettings]

    def power_on(self) -> None:
        """Take the state after power-up."""
        self.errors = ErrorQueue()
        self.event_status = 0
        self.directory = "\\Users\\OEM\\Documents"
        self.files: dict[str, bytes] = {}
        self.reset()
        if self.options.pending_error:
            self.refuse(-113)

    def reset(self) -> None:
        """Take the state after *RST; user waveforms are gone."""
        self.values = defaults()
        self.waveforms = WaveformList()
        self.assigned: dict[int, str] = {}
        self.outputs = [False] * CHANNELS
        self.state = 0
        self.started_s = 0.0
        self.sequence: list[dict[str, object]] = []
        self.setup = ("", "")
        self.show()

    def connect(self, name: str, send: Send) -> Connection:
        """Return the generator's end of one client's socket."""
        return _Client(self, send)

    def refuse(self, code: int) -> None:
        """Put an error into the queue and its bit into the event status register."""
        self.errors.add(code)
        self.event_status |= 1 if code == -800 else {1: 32, 2: 16, 4: 4}.get(-code // 100, 8)

    def run(self) -> None:
        """Start, if anything is assigned."""
        if not self.assigned:
            self.refuse(-221)
            return
        self.state = 2 if self.values["run_mode"] in ("CONT", "SEQ") else 1
        self.started_s = self.clock.now_s()
        self.show()

    def stop(self) -> None:
        """Stop; the outputs go to 0 V."""
        self.state = 0
        self.show()

    def show(self) -> None:
        """Let the modulators see what is played."""
        volts = {}
        for channel, name in self.assigned.items():
            if self.state == 2 and self.outputs[channel - 1]:
                amplitude = self.values[f"amplitude{channel}"]
                offset = self.values[f"offset{channel}"]
                volts[channel] = self.waveforms.find(name).values * (amplitude / 2) + offset
        self.port.apply(
            WaveformSettings(
                running=self.state == 2,
                started_s=self.started_s,
                sample_rate_hz=self.values["frequency"],
                volts=volts,
            )
        )

    def timestamp(self) -> str:
        """Return the date of a waveform."""
        return time.strftime("%Y/%m/%d %H:%M:%S", time.gmtime(0))


class _Client:
    def __init__(self, unit: Awg5014, send: Send) -> None:
        self._unit = unit
        self._send = send
        self._splitter = MessageSplitter(unit.refuse, LONGEST_BLOCK)
        self.table = CommandTable(awg_commands.table(unit))
        self._end = b"\n" if unit.options.reply_end == "lf" else b"\r\n"

    def receive(self, data: bytes) -> None:
        for message in self._splitter.feed(data):
            replies = self.table.run(message, self._unit.refuse)
            if replies:
                self._send(b";".join(replies) + self._end)

    def failed(self) -> None:
        self._splitter.clear()
        self._unit.refuse(DEVICE_ERROR)

    def closed(self) -> None:
        self._splitter.clear()
