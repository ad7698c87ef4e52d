"""Tektronix AWG5014, AWG5014B, AWG5014C: SCPI over a raw socket (port set in the instrument, 4000 by default) or VISA.

Rests on the command texts that the manufacturer publishes with its own Python driver, and on several public
drivers. Waveforms are 16-bit words: bits 0 to 13 data (0 is -1, 16382 is +1), bits 14 and 15 the markers.
"""

import numpy as np
from numpy.typing import NDArray

from qhal.devices.declaration import ConnectionSpec, Declaration, Evidence, IdentityGrade
from qhal.devices.pattern_generator import PatternGenerator, PatternGeneratorCapabilities
from qhal.devices.scpi_device import Idn, ScpiDevice, choice, number, query, scpi_proof, whole_number
from qhal.errors import DeviceError
from qhal.transport import replies

_CHANNELS = 4
_HALF_SCALE = 8191
_MIN_AMPLITUDE_VPP = 0.02
_HZ = {"Hz": 1.0, "HZ": 1.0}
_REFERENCES = {"INT": "internal", "INTERNAL": "internal", "EXT": "external", "EXTERNAL": "external"}
_BLOCK_TIMEOUT_S = 60.0
_OPERATION_TIMEOUT_S = 30.0


class Awg5014(ScpiDevice, PatternGenerator):
    """A four-channel arbitrary waveform generator, 1.2 GS/s, 14 bits."""

    declaration = Declaration(
        model="Tektronix AWG5014",
        connections={"main": ConnectionSpec(("tcp", "visa"), timeout_s=10.0)},
        identity=IdentityGrade.SERIAL,
        evidence=(Evidence.MANUAL, Evidence.CLIENTS),
    )

    idn = Idn("an AWG5014", model="AWG5014")
    proofs = (
        scpi_proof("SOUR1:ROSC:SOUR?", rb"\s*(INT|EXT).*"),
        scpi_proof("AWGC:RMOD?", rb"\s*(CON|TRI|GAT|SEQ).*"),
    )

    _read_options = query("*OPT?", replies.label)
    _read_output = query("OUTP{}:STAT?", replies.flag)
    _read_sample_rate_hz = query("SOUR1:FREQ?", number(_HZ))
    _read_reference = query("SOUR1:ROSC:SOUR?", choice(_REFERENCES))
    _read_running = query("AWGC:RST?", lambda reply: replies.whole_number(reply, low=0, high=2) == 2)
    _read_points = query('WLIS:WAV:LENG? "{}"', whole_number(low=0))

    def _read_capabilities(self) -> PatternGeneratorCapabilities:
        options = self._read_options().replace(" ", "")
        return PatternGeneratorCapabilities(
            channels=_CHANNELS,
            min_sample_rate_hz=10e6,
            max_sample_rate_hz=1.2e9,
            min_points=1,
            max_points=32_400_000 if "01" in options.split(",") else 16_200_000,
            max_amplitude_vpp=4.5,
            max_offset_v=2.25,
            resolution_bits=14,
            idle_v=0.0,
        )

    def _load(self, channel: int, volts: NDArray[np.float64]) -> None:
        scpi, name = self._scpi, f"qhal_{channel}"
        low, high = float(volts.min()), float(volts.max())
        amplitude = max(high - low, _MIN_AMPLITUDE_VPP)
        offset = (high + low) / 2
        scpi.refuse_errors(f"before loading channel {channel}")
        scpi.send(f'WLIS:WAV:DEL "{name}"')
        scpi.errors()  # some units report an error when the waveform does not exist yet
        scpi.send(f'WLIS:WAV:NEW "{name}",{len(volts)},INT')
        scpi.send_block(
            f'WLIS:WAV:DATA "{name}"', encode(volts, amplitude, offset), timeout_s=_BLOCK_TIMEOUT_S
        )
        self._wait()
        points = self._read_points(name)
        if points != len(volts):
            raise DeviceError(f"{self.name}: {name} has {points} points after loading {len(volts)}")
        for command in (
            f"SOUR{channel}:VOLT:AMPL {amplitude:.6f}",
            f"SOUR{channel}:VOLT:OFFS {offset:.6f}",
            f'SOUR{channel}:WAV "{name}"',
        ):
            scpi.send(command)
        scpi.refuse_errors(f"loading channel {channel}")

    def _write_output(self, channel: int, on: bool) -> None:
        self._scpi.send(f"OUTP{channel}:STAT {int(on)}")
        if self._read_output(channel) != on:
            raise DeviceError(
                f"{self.name}: output {channel} is not {'on' if on else 'off'}; is a waveform loaded?"
            )

    def _write_sample_rate_hz(self, sample_rate_hz: float) -> None:
        self._scpi.send(f"SOUR1:FREQ {sample_rate_hz:.9E}")
        self._wait()
        self._scpi.refuse_errors("setting the sample rate")

    def _write_reference(self, reference: str) -> None:
        if reference == "external":
            for command in ("ROSC:SOUR EXT", "ROSC:TYPE FIX", "ROSC:FREQ 10MHZ"):
                self._scpi.send(f"SOUR1:{command}")
        else:
            self._scpi.send("SOUR1:ROSC:SOUR INT")
        self._wait()
        self._scpi.refuse_errors("choosing the reference")

    def _run(self) -> None:
        self._scpi.send("AWGC:RMOD CONT")
        self._scpi.send("AWGC:RUN")
        self._wait()
        self._scpi.refuse_errors("starting")

    def _stop(self) -> None:
        self._scpi.send("AWGC:STOP")
        self._wait()

    def _read_problems(self) -> tuple[str, ...]:
        return tuple(self._scpi.errors())

    def _wait(self) -> None:
        """Wait for pending operations; the instrument answers nothing else before they end."""
        self._scpi.ask_parsed(
            "*OPC?", lambda reply: replies.whole_number(reply, low=1, high=1), timeout_s=_OPERATION_TIMEOUT_S
        )


def encode(volts: NDArray[np.float64], amplitude_vpp: float, offset_v: float) -> bytes:
    """Return INTEGER words, little-endian, markers low, for volts at an amplitude and offset."""
    relative = (volts - offset_v) / (amplitude_vpp / 2)
    words = np.rint(relative * _HALF_SCALE) + _HALF_SCALE
    return bytes(np.clip(words, 0, 2 * _HALF_SCALE).astype("<u2"))
