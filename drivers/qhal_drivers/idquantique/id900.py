"""ID Quantique ID900 / ID1000 Time Controller: SCPI over ZeroMQ, timestamps through the vendor's DLT service.

Rests on the vendor's manual as far as it is public, the vendor's examples and independent clients. Every SCPI
message, set commands too, has one reply; the text of those to set commands is not established, so settings are
read back. Connection ``main`` is the instrument (TCP 5555), ``dlt`` the service (6060), ``stream1`` to ``stream4`` the
ports at which the service pushes. Levels are quantised to about 1 mV; limits of the levels are not established.
"""

import re
from collections.abc import Callable
from functools import cached_property
from typing import Any

from pydantic import Field

from qhal.devices.declaration import ConnectionSpec, Declaration, Evidence, Identity, IdentityGrade, Options
from qhal.devices.device import Device
from qhal.devices.scpi_device import choice, number, query, whole_number
from qhal.devices.time_tagger import (
    ClockReference,
    Coupling,
    Edge,
    InputSettings,
    TimeTagger,
    TimeTaggerCapabilities,
)
from qhal.errors import DeviceError, QhalError, WrongDevice
from qhal.transport import replies
from qhal.transport.settings import ZmqSettings
from qhal_drivers.idquantique.controller import Controller
from qhal_drivers.idquantique.recording import CLOCK_TOLERANCE, MARGIN_S, Recording

_CHANNELS = 4
_PS_PER_S = 10**12
_COARSEST_PS = 10**6
_VOLTS = {"V": 1.0, "mV": 1e-3, "uV": 1e-6}
_PS = {"TB": 1.0, "ps": 1.0, "ns": 1e3, "us": 1e6, "ms": 1e9, "s": 1e12} | {
    f"{prefix}TB": factor for prefix, factor in (("k", 1e3), ("M", 1e6), ("G", 1e9), ("T", 1e12))
}
"""Units of time; the unit's own time base, TB, is 1 ps."""
_LONGEST_STREAM_BYTES = 1 << 33
"""A message is a sub-record: at most 100 s at 1e7 tags/s of 8 bytes."""
_HIRES_ERRORS = {
    0: "",
    1: "recalibrate",
    2: "rate above 25 MHz",
    3: "events too close",
    4: "events too close",
}
_FIELDS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "enabled": ("ENAB", lambda value: "ON" if value else "OFF"),
    "threshold_v": ("THRE", lambda value: f"{value:.6f}V"),
    "edge": ("EDGE", lambda value: value.value.upper()),
    "coupling": ("COUP", lambda value: value.value.upper()),
}


class Id900Options(Options):
    """``record_s`` and ``pause_ps``: the sub-records of a stream.

    The instrument sends when a sub-record ends, so ``record_s`` is how old tags get (0.2 s at least), and
    ``pause_ps`` the time between two (40 ns at least). Their sum should be no multiple of anything in the signal:
    a slip by one sub-record then shows.
    """

    record_s: float = Field(default=0.2, ge=0.2, le=100.0)
    pause_ps: int = Field(default=103_700, ge=40_000)
    max_threshold_v: float = Field(default=2.0, gt=0)


class Id900(Device, TimeTagger):
    """A four-channel time controller used as a tagger."""

    options_model = Id900Options
    options: Id900Options
    declaration = Declaration(
        model="ID Quantique ID900",
        connections={
            "main": ConnectionSpec(("zmq+tcp",)),
            "dlt": ConnectionSpec(("zmq+tcp",), required=False),
            **{
                f"stream{n}": ConnectionSpec(
                    ("zmq+tcp",),
                    settings={"zmq+tcp": ZmqSettings(streams=True)},
                    max_frame_bytes=_LONGEST_STREAM_BYTES,
                    required=False,
                    on_demand=True,
                )
                for n in range(1, _CHANNELS + 1)
            },
        },
        identity=IdentityGrade.MODEL,
        evidence=(Evidence.MANUAL, Evidence.CLIENTS),
    )

    _read_resolution_ps = query("DEVI:RES:BWID?", whole_number(_PS, low=1, high=_COARSEST_PS))
    _read_resolution = query("DEVI:RES?", choice({"HIRES": "HIRES", "LOWRES": "LOWRES"}))
    _read_clock_reference = query(
        "DEVI:SYNC?", choice({"INTERNAL": ClockReference.INTERNAL, "EXTERNAL": ClockReference.EXTERNAL})
    )
    _read_enabled = query("INPU{}:ENAB?", replies.flag)
    _read_threshold_v = query("INPU{}:THRE?", number(_VOLTS))
    _read_edge = query("INPU{}:EDGE?", choice({"RISING": Edge.RISING, "FALLING": Edge.FALLING}))
    _read_coupling = query("INPU{}:COUP?", choice({"DC": Coupling.DC, "AC": Coupling.AC}))
    _read_delay_ps = query("DELA{}:VALU?", whole_number(_PS))
    _read_count = query("INPU{}:COUN?", whole_number(low=0))
    _read_count_ms = query("INPU{}:COUN:INTE?", whole_number())
    _read_hires_error = query("INPU{}:HIRE:ERRO?", whole_number(low=0, high=9999))

    # -- opening

    @cached_property
    def _scpi(self) -> Controller:
        return Controller(self.connection)

    def _make_recording(self) -> Recording:
        record_ps = round(self.options.record_s * _PS_PER_S)
        return Recording(self, self._scpi, self._enabled_inputs, record_ps, self.options.pause_ps)

    def _identify(self) -> Identity:
        text = self._scpi.ask_label("*IDN?")
        model = re.search(r"ID\s?(900|1000)", text, re.IGNORECASE)
        if model is None:
            raise WrongDevice(f"{self.name}: *IDN? answers {text[:80]!r}, an ID900 or ID1000 is expected")
        serial, firmware = replies.identity_fields(text)[2:] if text.count(",") == 3 else ("", "")
        return Identity(
            manufacturer="ID Quantique", model=f"ID{model[1]}", serial_number=serial, firmware=firmware
        )

    def _read_capabilities(self) -> TimeTaggerCapabilities:
        return TimeTaggerCapabilities(
            channels=_CHANNELS,
            resolution_ps=self._read_resolution_ps(),
            min_threshold_v=-self.options.max_threshold_v,
            max_threshold_v=self.options.max_threshold_v,
            threshold_step_v=0.0083,
            max_delay_ps=_PS_PER_S,
            min_period_s=1e-3,
            max_period_s=65.535,
            max_tag_rate_hz=1e7,
        )

    def _read_settings(self) -> dict[str, Any]:
        return super()._read_settings() | {"resolution": self.known(self._read_resolution)}

    def _before_close(self) -> None:
        try:
            self.pump.close()
        except QhalError:
            # The readers have the error; the next recording cleans up on the instrument.
            return

    # -- inputs

    def _write_input(self, channel: int, name: str, value: object) -> None:
        if name == "delay_ps":
            self._scpi.set_up(f"DELA{channel}:VALU {value}")
            return
        keyword, text = _FIELDS[name]
        self._scpi.set_up(f"INPU{channel}:{keyword} {text(value)}")

    def _read_input(self, channel: int) -> InputSettings:
        return InputSettings(
            enabled=self._read_enabled(channel),
            threshold_v=self._read_threshold_v(channel),
            edge=self._read_edge(channel),
            coupling=self._read_coupling(channel),
            delay_ps=self._read_delay_ps(channel),
        )

    def _write_clock_reference(self, reference: ClockReference) -> None:
        self._scpi.set_up(f"DEVI:SYNC {reference.value.upper()}")

    def _enabled_inputs(self) -> list[int]:
        return [n for n in range(1, _CHANNELS + 1) if self._read_input(n).enabled]

    def _read_counts(self, period_s: float) -> tuple[tuple[int, ...], float]:
        milliseconds = round(period_s * 1e3)
        inputs = range(1, _CHANNELS + 1)
        for n in inputs:
            self._scpi.set_up(f"INPU{n}:COUN:MODE CYCL")
            self._scpi.set_up(f"INPU{n}:COUN:INTE {milliseconds}")
            if self._read_count_ms(n) != milliseconds:
                raise DeviceError(f"{self.name}: input {n} does not count for {milliseconds} ms")
            self._scpi.set_up(f"INPU{n}:COUN:RESE")
        # The counter shows the last period that is complete.
        self.clock.sleep_s(milliseconds * 1e-3 * (1 + CLOCK_TOLERANCE) + MARGIN_S)
        return tuple(self._read_count(n) for n in inputs), milliseconds * 1e-3

    def _read_problems(self) -> tuple[str, ...]:
        problems = []
        for n in range(1, _CHANNELS + 1):
            if code := self._read_hires_error(n):
                problems.append(
                    f"input {n}: {_HIRES_ERRORS.get(code, 'disabled, restart the unit')} ({code})"
                )
        return tuple(problems)
