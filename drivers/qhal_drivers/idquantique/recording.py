"""Recording of an ID900: an endless row of sub-records, pushed by the vendor's DLT service, input by input."""

import time
from collections.abc import Callable

import numpy as np

from qhal.devices.device import Device
from qhal.errors import DeviceError, ProtocolError, Unsupported
from qhal.tags.batch import Gap, Loss, TagBatch
from qhal.transport.address import Address
from qhal_drivers.idquantique.controller import Controller
from qhal_drivers.idquantique.datalink import Channel, DataLink

CLOCK_TOLERANCE = 1e-4
"""How far the clocks of the unit and of this host may run apart, relative."""
MARGIN_S = 1e-3
"""How much later than its end a period may be seen to have ended."""


class Recording:
    """The source of an ID900's tags; sub-record n of all inputs is batch n.

    ``enabled_inputs`` returns the inputs that are recorded. ``record_ps`` is the length of a sub-record, ``pause_ps``
    the time between two.
    """

    def __init__(
        self,
        device: Device,
        scpi: Controller,
        enabled_inputs: Callable[[], list[int]],
        record_ps: int,
        pause_ps: int,
    ) -> None:
        self._device = device
        self._scpi = scpi
        self._enabled_inputs = enabled_inputs
        self._record_ps = record_ps
        self._period_ps = record_ps + pause_ps
        self._channels: list[Channel] = []
        self._next_index = 0
        self._started_s = 0.0

    def start_tags(self) -> None:
        """Stop what was left running, and start sub-records on all enabled inputs; times count from here.

        Raises Unsupported for a firmware that cannot stream, DeviceError when no input is enabled.
        """
        with self._device.locked():
            try:
                self._scpi.ask("REC:STAG?")
            except DeviceError as error:
                raise Unsupported(
                    f"{self._device.name}: this firmware has no REC block; it cannot stream"
                ) from error
            service, host = self._service(), self._host()
            inputs = self._enabled_inputs()
            if not inputs:
                raise DeviceError(f"{self._device.name}: no input is enabled")
            self._scpi.set_up("REC:STOP")
            for leftover in service.acquisitions():
                if leftover.startswith(f"{host}:"):
                    service.stop(leftover)
            for command in ("REC:TRIG:ARM:MODE MANU", "REC:ENAB ON", "REC:NUM INF"):
                self._scpi.set_up(command)
            self._scpi.set_up(f"REC:PWID {self._record_ps}")
            self._scpi.set_up(f"REC:PPER {self._period_ps}")
            self._channels = [self._start_channel(service, host, n) for n in inputs]
            self._next_index = 0
            self._scpi.set_up("REC:PLAY")
            self._started_s = self._device.clock.now_s()

    def read_tags(self, deadline: float) -> TagBatch | None:
        """Return the next sub-record of all inputs once each is there, or known to be lost; None by the deadline."""
        index = self._next_index
        service = self._service()
        for channel in self._channels:
            if not channel.bring(index, service, deadline, time.monotonic()):
                return None
        self._next_index += 1
        return self._batch(index)

    def stop_tags(self) -> None:
        """Stop recording and sending. Raises DeviceError when the instrument counted transfer errors."""
        with self._device.locked():
            self._scpi.set_up("REC:STOP")
            service = self._service()
            errors = {}
            for channel in self._channels:
                service.stop(channel.acquisition)
                self._scpi.set_up(f"RAW{channel.number}:SEND OFF")
                self._device.session.close_connection(f"stream{channel.number}")
                if count := self._scpi.ask_int(f"RAW{channel.number}:ERRORS?", low=0):
                    errors[channel.number] = count
            if errors:
                raise DeviceError(
                    f"{self._device.name}: transfer errors by input: {errors}; tags are missing"
                )

    def tags_due_in_s(self, position_ps: int) -> float:
        """Return the time until the sub-record at a position has ended, by the clock of the unit or of this host."""
        ended_s = (position_ps // self._period_ps) * self._period_ps * 1e-12 + self._record_ps * 1e-12
        return self._started_s + ended_s * (1 + CLOCK_TOLERANCE) + MARGIN_S - self._device.clock.now_s()

    def _start_channel(self, service: DataLink, host: str, n: int) -> Channel:
        stream = f"stream{n}"
        tcp_port = Address(self._device.session.connection(stream).address).endpoint()[1]
        self._scpi.set_up(f"RAW{n}:ERRORS:CLEAR")
        self._scpi.set_up(f"RAW{n}:REF:LINK NONE")
        acquisition = service.start_stream(host, n, tcp_port)
        connection = self._device.session.open_connection(stream)
        self._scpi.set_up(f"RAW{n}:SEND ON")
        return Channel(n, acquisition, connection)

    def _batch(self, index: int) -> TagBatch:
        start = index * self._period_ps
        record_stop, stop = start + self._record_ps, start + self._period_ps
        gaps = [Gap(record_stop, stop, 0, Loss.PAUSED)]
        times, channels = [], []
        for channel in self._channels:
            found = channel.take(index)
            if found is None:
                # A lost message may be an earlier one: the count gives the number of tags, not their times.
                missed = channel.take_lost_tags()
                loss = Loss.EXACT if missed else Loss.UNKNOWN
                gaps.append(
                    Gap(
                        start_ps=start,
                        stop_ps=record_stop,
                        missed=missed,
                        loss=loss,
                        channels=(channel.number,),
                    )
                )
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
        return DataLink(self._device.session.connection("dlt"))

    def _host(self) -> str:
        """Return the instrument's address as the service knows it."""
        return Address(self._device.connection.address).endpoint()[0]
