"""ID Quantique ID900 / ID1000 Time Controller: SCPI over ZeroMQ, timestamps through the vendor's DLT service.

Rests on the vendor's manual as far as it is public, the vendor's examples and independent clients. Every SCPI
message, set commands too, has one reply; the text of those to set commands is not established, so settings are
read back. Connection ``main`` is the instrument (TCP 5555), ``dlt`` the service (6060), ``stream1`` to ``stream4`` the
ports at which the service pushes. Levels are quantised to about 1 mV; limits of the levels are not established.
"""

import re
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from pydantic import Field

from qhal.devices.declaration import ConnectionSpec, Declaration, Evidence, Identity, IdentityGrade, Options
from qhal.devices.device import Device
from qhal.devices.scpi import Scpi
from qhal.devices.time_tagger import (
    ClockReference,
    Coupling,
    Edge,
    InputSettings,
    TimeTagger,
    TimeTaggerCapabilities,
)
from qhal.errors import DeviceError, ProtocolError, QhalError, Unsupported, WrongDevice
from qhal.tags.batch import Gap, Loss, TagBatch
from qhal.transport import replies
from qhal.transport.address import Address
from qhal.transport.connection import Connection
from qhal.transport.frames import message
from qhal.transport.settings import ZmqSettings
from qhal_drivers.idquantique.datalink import Channel, DataLink

_CHANNELS = 4
_PS_PER_S = 10**12
_COARSEST_PS = 10**6
_VOLTS = {"V": 1.0, "mV": 1e-3, "uV": 1e-6}
_PS = {"TB": 1.0, "ps": 1.0, "ns": 1e3, "us": 1e6, "ms": 1e9, "s": 1e12} | {
    f"{prefix}TB": factor for prefix, factor in (("k", 1e3), ("M", 1e6), ("G", 1e9), ("T", 1e12))
}
"""Units of time; the unit's own time base, TB, is 1 ps."""
_CLOCK_TOLERANCE = 1e-4
_MARGIN_S = 1e-3
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
    _recording: list[Channel]
    _next_index = 0
    _started_s = 0.0

    # -- opening

    def _start(self) -> None:
        self._scpi = _Controller(self.connection)

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
            resolution_ps=self._scpi.ask_int("DEVI:RES:BWID?", _PS, low=1, high=_COARSEST_PS),
            min_threshold_v=-self.options.max_threshold_v,
            max_threshold_v=self.options.max_threshold_v,
            threshold_step_v=0.0083,
            max_delay_ps=_PS_PER_S,
            min_period_s=1e-3,
            max_period_s=65.535,
            max_tag_rate_hz=1e7,
        )

    def _read_settings(self) -> dict[str, Any]:
        resolution = partial(self._scpi.ask_word, "DEVI:RES?", "HIRES", "LOWRES")
        return super()._read_settings() | {"resolution": self.known(resolution)}

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
            enabled=self._scpi.ask_flag(f"INPU{channel}:ENAB?"),
            threshold_v=self._scpi.ask_float(f"INPU{channel}:THRE?", _VOLTS),
            edge=Edge(self._scpi.ask_word(f"INPU{channel}:EDGE?", "RISING", "FALLING").lower()),
            coupling=Coupling(self._scpi.ask_word(f"INPU{channel}:COUP?", "DC", "AC").lower()),
            delay_ps=self._scpi.ask_int(f"DELA{channel}:VALU?", _PS),
        )

    def _write_clock_reference(self, reference: ClockReference) -> None:
        self._scpi.set_up(f"DEVI:SYNC {reference.value.upper()}")

    def _read_clock_reference(self) -> ClockReference:
        return ClockReference(self._scpi.ask_word("DEVI:SYNC?", "INTERNAL", "EXTERNAL").lower())

    def _read_counts(self, period_s: float) -> tuple[tuple[int, ...], float]:
        milliseconds = round(period_s * 1e3)
        inputs = range(1, _CHANNELS + 1)
        for n in inputs:
            self._scpi.set_up(f"INPU{n}:COUN:MODE CYCL")
            self._scpi.set_up(f"INPU{n}:COUN:INTE {milliseconds}")
            if self._scpi.ask_int(f"INPU{n}:COUN:INTE?") != milliseconds:
                raise DeviceError(f"{self.name}: input {n} does not count for {milliseconds} ms")
            self._scpi.set_up(f"INPU{n}:COUN:RESE")
        # The counter shows the last period that is complete.
        self.clock.sleep_s(milliseconds * 1e-3 * (1 + _CLOCK_TOLERANCE) + _MARGIN_S)
        return tuple(self._scpi.ask_int(f"INPU{n}:COUN?", low=0) for n in inputs), milliseconds * 1e-3

    def _read_problems(self) -> tuple[str, ...]:
        problems = []
        for n in range(1, _CHANNELS + 1):
            if code := self._scpi.ask_int(f"INPU{n}:HIRE:ERRO?", low=0, high=9999):
                problems.append(
                    f"input {n}: {_HIRES_ERRORS.get(code, 'disabled, restart the unit')} ({code})"
                )
        return tuple(problems)

    # -- tags

    def start_tags(self) -> None:
        """Stop what was left running, and start an endless row of sub-records on all enabled inputs."""
        with self.locked():
            try:
                self._scpi.ask("REC:STAG?")
            except DeviceError as error:
                raise Unsupported(f"{self.name}: this firmware has no REC block; it cannot stream") from error
            service, address = self._service(), self._host()
            enabled = [n for n in range(1, _CHANNELS + 1) if self._read_input(n).enabled]
            if not enabled:
                raise DeviceError(f"{self.name}: no input is enabled")
            self._scpi.set_up("REC:STOP")
            for leftover in service.acquisitions():
                if leftover.startswith(f"{address}:"):
                    service.stop(leftover)
            for command in ("REC:TRIG:ARM:MODE MANU", "REC:ENAB ON", "REC:NUM INF"):
                self._scpi.set_up(command)
            self._scpi.set_up(f"REC:PWID {self._record_ps}")
            self._scpi.set_up(f"REC:PPER {self._period_ps}")
            self._recording = [self._start_channel(service, address, n) for n in enabled]
            self._next_index = 0
            self._scpi.set_up("REC:PLAY")
            self._started_s = self.clock.now_s()

    def read_tags(self, deadline: float) -> TagBatch | None:
        """Return the next sub-record of all channels once each is there, or known to be lost."""
        index = self._next_index
        service = self._service()
        for channel in self._recording:
            if not channel.bring(index, service, deadline, time.monotonic()):
                return None
        self._next_index += 1
        return self._batch(index)

    def stop_tags(self) -> None:
        """Stop recording and sending; raises DeviceError when the instrument counted transfer errors."""
        with self.locked():
            self._scpi.set_up("REC:STOP")
            service = self._service()
            errors = {}
            for channel in self._recording:
                service.stop(channel.acquisition)
                self._scpi.set_up(f"RAW{channel.number}:SEND OFF")
                self.session.close_connection(f"stream{channel.number}")
                if count := self._scpi.ask_int(f"RAW{channel.number}:ERRORS?", low=0):
                    errors[channel.number] = count
            if errors:
                raise DeviceError(f"{self.name}: transfer errors by input: {errors}; tags are missing")

    def tags_due_in_s(self, position_ps: int) -> float:
        """Return the time until the sub-record at a position has ended, by the tagger's clock or ours."""
        ended_s = (position_ps // self._period_ps) * self._period_ps * 1e-12 + self._record_ps * 1e-12
        return self._started_s + ended_s * (1 + _CLOCK_TOLERANCE) + _MARGIN_S - self.clock.now_s()

    @property
    def _record_ps(self) -> int:
        return round(self.options.record_s * _PS_PER_S)

    @property
    def _period_ps(self) -> int:
        return self._record_ps + self.options.pause_ps

    def _start_channel(self, service: DataLink, address: str, n: int) -> Channel:
        stream = f"stream{n}"
        tcp_port = Address(self.session.connection(stream).address).endpoint()[1]
        assert tcp_port is not None
        self._scpi.set_up(f"RAW{n}:ERRORS:CLEAR")
        self._scpi.set_up(f"RAW{n}:REF:LINK NONE")
        acquisition = service.start_stream(address, n, tcp_port)
        connection = self.session.open_connection(stream)
        self._scpi.set_up(f"RAW{n}:SEND ON")
        return Channel(n, acquisition, connection)

    def _batch(self, index: int) -> TagBatch:
        start = index * self._period_ps
        record_stop, stop = start + self._record_ps, start + self._period_ps
        gaps = [Gap(record_stop, stop, 0, Loss.PAUSED)]
        times, channels = [], []
        for channel in self._recording:
            found = channel.take(index)
            if found is None:
                # Who lost a message may have lost it earlier: the count says how many, not where.
                missed = channel.take_lost_tags()
                loss = Loss.EXACT if missed else Loss.UNKNOWN
                gaps.append(Gap(start, record_stop, missed, loss, (channel.number,)))
                continue
            if len(found) and int(found.max()) >= self._record_ps:
                raise ProtocolError(f"{channel.connection.name}: a time of {found.max()} ps in a sub-record")
            times.append(found.astype(np.int64) + start)
            channels.append(np.full(len(found), channel.number, np.uint8))
        all_times = np.concatenate([np.empty(0, np.int64), *times])
        all_channels = np.concatenate([np.empty(0, np.uint8), *channels])
        order = np.argsort(all_times, kind="stable")
        return TagBatch(all_times[order], all_channels[order], start, stop, gaps=tuple(gaps))

    def _service(self) -> DataLink:
        return DataLink(self.session.connection("dlt"))

    def _host(self) -> str:
        """Return the instrument's address as the service knows it."""
        host = Address(self.connection.address).endpoint()[0]
        assert host is not None
        return host


class _Controller(Scpi):
    """The instrument's SCPI: a message each way, and a reply to commands too."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, end=b"", frame=message)

    def set_up(self, command: str) -> None:
        """Send a command and read its reply, whose text is not established."""
        self.ask(command)

    def _text(self, reply: bytes) -> str:
        text = super()._text(reply)
        if "SCPI_ERR" in text or text.startswith("No "):
            raise DeviceError(text[:200])
        return text
