"""Tektronix AWG5014 / B / C arbitrary waveform generator: SCPI over a raw socket.

The command rows that programs use to upload and play waveforms, and those that QMI uses; everything else is an
undefined header, see docs/reference/awg5014-commands.md. A query that fails gives no reply.
"""

from qhal_simulators.instrument import Connection, Instrument, Send, Wire
from qhal_simulators.instruments.tektronix import awg_commands
from qhal_simulators.instruments.tektronix.awg_options import Awg5014Options
from qhal_simulators.instruments.tektronix.waveform_generator import WaveformGenerator
from qhal_simulators.instruments.tektronix.waveform_list import LONGEST_BLOCK
from qhal_simulators.physics.ports import Port, WaveformSettings
from qhal_simulators.scpi_commands import DEVICE_ERROR, CommandTable
from qhal_simulators.scpi_messages import MessageSplitter


class Awg5014(Instrument):
    """The unit with its socket."""

    wires = {"main": Wire.TCP}
    settings_type = WaveformSettings
    options_model = Awg5014Options
    options: Awg5014Options
    port: Port[WaveformSettings]
    generator: WaveformGenerator | None = None

    def power_on(self) -> None:
        """Take the state after power-up."""
        if self.generator is None:
            self.generator = WaveformGenerator(self.options, self.clock, self.port)
        else:
            self.generator.power_on()

    def connect(self, name: str, send: Send) -> Connection:
        """Return the generator's end of one client's socket."""
        assert self.generator is not None
        return _Client(self.generator, send)


class _Client:
    def __init__(self, unit: WaveformGenerator, send: Send) -> None:
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
