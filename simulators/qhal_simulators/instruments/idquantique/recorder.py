"""The recorder: a row of sub-records that gates timestamps and histograms."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qhal_simulators.clock import Timer

if TYPE_CHECKING:
    from qhal_simulators.instruments.idquantique.id900 import Id900

_TAG_LIMIT_HZ = 1e7
_MARGIN_PS = 2_000_000
"""So much later the last click that can fall into a sub-record has happened, whatever its cable and jitter."""


class Recorder:
    """Plays sub-records of REC:PWID every REC:PPER, on the unit's own clock."""

    def __init__(self, unit: "Id900") -> None:
        self._unit = unit
        self.stage = "IDLE"
        self.overrun = False
        self._overflows = unit.port.read_overflows()
        self._timer: Timer | None = None
        self._base_ps = self._index = 0
        self._times = np.empty(0, np.int64)
        self._inputs = np.empty(0, np.uint8)
        self._histograms: dict[int, NDArray[np.int64]] = {}

    def play(self) -> str:
        """Start; without effect while REC is disabled."""
        unit = self._unit
        if unit.value("REC", 1, "ENAB") != "ON":
            return "Record is disabled"
        self._cancel()
        unit.port.recording = True
        unit.port.take_tags()
        self._times, self._inputs = self._times[:0], self._inputs[:0]
        self._base_ps, self._index = self._next_tick_ps(), 0
        self.stage = "PLAYING"
        self._schedule()
        return self.stage

    def stop(self) -> str:
        """End now, in the middle of a sub-record."""
        if self.stage == "PLAYING":
            if self._unit.options.flush_at_stop:
                self._deliver()
            self._finish()
        return self.stage

    def flush(self, number: int) -> str:
        """Empty a histogram."""
        self._histograms.pop(number, None)
        return "Flushed Histogram!"

    def histogram_text(self, number: int) -> str:
        """Return a histogram as the unit writes it."""
        return f"[{', '.join(map(str, self._histogram(number).tolist()))}]"

    # -- inside

    def _next_tick_ps(self) -> int:
        """Return when the unit's own clock ticks next: what it starts itself begins with a turn of the interpolator."""
        port = self._unit.port
        tick_ps = port.resolution_ps * port.interpolator_bins
        return -(-port.clock_ps(self._unit.clock.now_s()) // tick_ps) * tick_ps

    def _schedule(self) -> None:
        due_ps = self._start_ps + self._width_ps + _MARGIN_PS + max(self._unit.port.delay_ps)
        clock, due_s = self._unit.clock, self._unit.clock.now_s()
        for _ in range(4):  # the unit's clock runs almost like ours
            due_s += (due_ps - self._unit.port.clock_ps(due_s)) * 1e-12
        self._timer = clock.call_at(due_s, self._end_sub_record)

    @property
    def _width_ps(self) -> int:
        return self._unit.picoseconds("REC", 1, "PWID")

    @property
    def _start_ps(self) -> int:
        return self._base_ps + self._index * self._unit.picoseconds("REC", 1, "PPER")

    def _end_sub_record(self) -> None:
        self._deliver()
        self._index += 1
        number = self._unit.value("REC", 1, "NUM")
        if number != "INF" and self._index >= int(number):
            self._finish()
        else:
            self._schedule()

    def _finish(self) -> None:
        self._cancel()
        self._unit.port.recording = False
        self.stage = "IDLE"
        self._unit.datalink.end()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _deliver(self) -> None:
        unit = self._unit
        times, inputs = unit.port.take_tags()
        times, inputs = np.concatenate((self._times, times)), np.concatenate((self._inputs, inputs))
        order = np.argsort(times, kind="stable")
        times, inputs = times[order], inputs[order]
        first, last = np.searchsorted(times, (self._start_ps, self._start_ps + self._width_ps))
        self._times, self._inputs = times[last:], inputs[last:]
        times, inputs = times[first:last] - self._start_ps, inputs[first:last]
        too_many = len(times) > _TAG_LIMIT_HZ * self._width_ps * 1e-12
        if too_many or unit.port.read_overflows() > self._overflows:
            self.overrun = True
        for n in range(1, 5):
            self._send(n, times, inputs)
            self._accumulate(n, times, inputs)

    def _send(self, n: int, times: NDArray[np.int64], inputs: NDArray[np.uint8]) -> None:
        unit = self._unit
        source = unit.source(unit.value("RAW", n, "STOP:LINK"))
        if unit.value("RAW", n, "SEND") != "ON" or source is None:
            return
        found = times[inputs == source]
        if self.overrun:
            unit.raw_errors[n - 1] += max(1, len(found))  # until it is switched off and on
            return
        indices = np.zeros(len(found), np.int64)
        reference = unit.source(unit.value("RAW", n, "REF:LINK"))
        if reference is not None:
            found, indices = _since(times[inputs == reference], found)
        unit.datalink.push(n, found, indices)

    def _accumulate(self, n: int, times: NDArray[np.int64], inputs: NDArray[np.uint8]) -> None:
        unit = self._unit
        source = unit.source(unit.value("HIST", n, "STOP:LINK"))
        if source is None or unit.value("HIST", n, "ENAB:LINK") == "NONE":
            return
        found = times[inputs == source]
        reference = unit.source(unit.value("HIST", n, "REF:LINK"))
        if reference is not None:
            found, _ = _since(times[inputs == reference], found)
        histogram = self._histogram(n)
        bins = (found - unit.picoseconds("HIST", n, "MIN")) // unit.picoseconds("HIST", n, "BWID")
        histogram += np.bincount(bins[(bins >= 0) & (bins < len(histogram))], minlength=len(histogram))

    def _histogram(self, n: int) -> NDArray[np.int64]:
        count = int(self._unit.value("HIST", n, "BCOU"))
        if len(self._histograms.get(n, ())) != count:
            self._histograms[n] = np.zeros(count, np.int64)
        return self._histograms[n]


def _since(
    references: NDArray[np.int64], times: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return times since the last reference, and its number; times before the first are left out."""
    indices = np.searchsorted(references, times, side="right")
    times, indices = times[indices > 0], indices[indices > 0]
    return times - references[indices - 1], indices
