"""The state of an AWG5014: settings, waveforms, outputs and run state."""

import time

from qhal_simulators.instruments.tektronix.awg_options import Awg5014Options
from qhal_simulators.instruments.tektronix.awg_settings import CHANNELS, defaults
from qhal_simulators.instruments.tektronix.waveform_list import WaveformList
from qhal_simulators.physics.ports import Port, WaveformSettings
from qhal_simulators.scpi_commands import ErrorQueue
from qhal_simulators.simulated_time import SimulationClock


class WaveformGenerator:
    """Settings, waveforms, the channels' assignments, and whether it runs; outputs act on the port."""

    def __init__(self, options: Awg5014Options, clock: SimulationClock, port: Port[WaveformSettings]) -> None:
        self.options, self._clock, self._port = options, clock, port
        self.power_on()

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
        self.started_s = self._clock.now_s()
        self.show()

    def stop(self) -> None:
        """Stop; the outputs go to 0 V."""
        self.state = 0
        self.show()

    def show(self) -> None:
        """Apply the playing waveforms to the modulators."""
        volts = {}
        for channel, name in self.assigned.items():
            if self.state == 2 and self.outputs[channel - 1]:
                amplitude = self.values[f"amplitude{channel}"]
                offset = self.values[f"offset{channel}"]
                volts[channel] = self.waveforms.find(name).values * (amplitude / 2) + offset
        self._port.apply(
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
