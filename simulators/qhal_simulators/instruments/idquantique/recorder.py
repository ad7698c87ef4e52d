"""The recorder: a row of sub-records that gates timestamps and histograms."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qhal_simulators.instruments.idquantique.block_signals import LATEST_PS, History, Signals, since
from qhal_simulators.instruments.idquantique.setting_forms import LONGEST_PS, WRONG_TYPE
from qhal_simulators.scpi_commands import ScpiError
from qhal_simulators.simulated_time import Timer

if TYPE_CHECKING:
    from qhal_simulators.instruments.idquantique.id900 import Id900

_TAG_LIMIT_HZ = 1e7
_SHORTEST_PAUSE_PS = 40_000
_BUFFER_TAGS = 10_000_000
"""What a sub-record holds so far is sent when there are more tags than this; the unit has room for ten times more."""
_LOOK_S = 1.0


class Recorder:
    """Plays sub-records of REC:PWID every REC:PPER, on the unit's own clock; what is set meanwhile waits."""

    def __init__(self, unit: "Id900") -> None:
        self._unit = unit
        self.stage = "IDLE"
        self.overrun = False
        self._overflows = unit.readings.overflows()
        self._timer: Timer | None = None
        self._history: History | None = None
        self._base_ps = self._index = self._done_ps = 0
        self._width_ps, self._period_ps = LONGEST_PS, LONGEST_PS
        self._number: int | None = 1
        self._histograms: dict[int, NDArray[np.int64]] = {}

    def play(self) -> str:
        """Start; without effect while REC is disabled.

        Raises ScpiError when sub-records have no pause of 40 ns or follow each other faster than by
        ``shortest_period_s``.
        """
        unit = self._unit
        if unit.value("REC", 1, "ENAB") != "ON":
            return "Record is disabled"
        width_ps, period_ps = (unit.picoseconds("REC", 1, key) for key in ("PWID", "PPER"))
        text = unit.value("REC", 1, "NUM")
        endless = text == "INF" or (text == "0" and unit.options.record_number_zero == "endless")
        number = None if endless else max(1, int(text))
        shortest_ps = max(width_ps + _SHORTEST_PAUSE_PS, unit.options.shortest_period_s * 1e12)
        if number != 1 and period_ps < shortest_ps:
            raise ScpiError(WRONG_TYPE)
        self._begin(width_ps, period_ps, number)
        return self.stage

    def gate(self, *, on: bool) -> None:
        """Open or close the gate of the old firmware: one sub-record in between."""
        if on and self.stage != "PLAYING":
            self._begin(LONGEST_PS, LONGEST_PS, 1)
        elif not on and self.stage == "PLAYING":
            self._deliver(self._unit.now_ps())
            self._finish()

    def stop(self) -> str:
        """End now, in the middle of a sub-record."""
        if self.stage == "PLAYING":
            if self._unit.options.flush_at_stop:
                self._deliver(self._unit.now_ps())
            self._finish()
        return self.stage

    @property
    def start_ps(self) -> int | None:
        """When the sub-record began that is recorded now."""
        return None if self.stage == "IDLE" else self._base_ps + self._index * self._period_ps

    def next_tick_ps(self) -> int:
        """Return when the unit's own clock ticks next: what it starts itself begins with a turn of the interpolator."""
        tick_ps = self._unit.port.settings.resolution_ps * self._unit.readings.interpolator_bins
        return -(-self._unit.now_ps() // tick_ps) * tick_ps

    def flush(self, number: int) -> str:
        """Empty a histogram."""
        self._histograms.pop(number, None)
        return "Flushed Histogram!"

    def histogram_text(self, number: int) -> str:
        """Return a histogram as the unit writes it."""
        return f"[{', '.join(map(str, self._histogram(number).tolist()))}]"

    # -- inside

    def _begin(self, width_ps: int, period_ps: int, number: int | None) -> None:
        self._cancel()
        self._width_ps, self._period_ps, self._number = width_ps, period_ps, number
        self._history = History(self._unit)
        self._base_ps, self._index = self.next_tick_ps(), 0
        self._done_ps = self._base_ps
        self.stage = "PLAYING"
        self._schedule()

    def _schedule(self) -> None:
        clock, port, readings = self._unit.clock, self._unit.port, self._unit.readings
        due_ps = self._stop_ps + LATEST_PS + max(port.settings.delay_ps)
        due_s = now_s = clock.now_s()
        for _ in range(4):  # the unit's clock runs almost like ours
            due_s += (due_ps - readings.clock_ps(due_s)) * 1e-12
        over = due_s <= now_s + _LOOK_S
        self._timer = clock.call_at(
            due_s if over else now_s + _LOOK_S, self._end_sub_record if over else self._look
        )

    @property
    def _stop_ps(self) -> int:
        return self._base_ps + self._index * self._period_ps + self._width_ps

    def _look(self) -> None:
        """Send what there is of a long sub-record before it fills the memory."""
        assert self._history is not None
        upto_ps = self._unit.now_ps() - LATEST_PS - max(self._unit.port.settings.delay_ps)
        if upto_ps > self._done_ps:
            self._history.signals(self._done_ps, upto_ps)
            if len(self._history) > _BUFFER_TAGS:
                self._deliver(upto_ps)
        self._schedule()

    def _end_sub_record(self) -> None:
        self._deliver(self._stop_ps)
        self._index += 1
        self._done_ps = self._base_ps + self._index * self._period_ps
        if self._number is not None and self._index >= self._number:
            self._finish()
        else:
            self._schedule()

    def _finish(self) -> None:
        self._cancel()
        self.stage = "IDLE"
        self._unit.datalink.end()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._history is not None:
            self._history.close()
            self._history = None

    def _deliver(self, upto_ps: int) -> None:
        """Send and count what is new in the sub-record, up to a time."""
        assert self._history is not None
        unit = self._unit
        limit = _TAG_LIMIT_HZ * (upto_ps - self._done_ps) * 1e-12
        signals = self._history.signals(self._done_ps, upto_ps)
        sent = {n: signals.at(unit.value("RAW", n, "STOP:LINK")) for n in range(1, 5) if self._sends(n)}
        if (
            max(signals.tags, sum(map(len, sent.values()))) > limit
            or unit.readings.overflows() > self._overflows
        ):
            self.overrun = True
        for n, times in sent.items():
            self._send(n, signals, times)
        for n in range(1, 5):
            self._accumulate(n, signals)
        self._history.forget_before(upto_ps)
        self._done_ps = upto_ps

    def _sends(self, n: int) -> bool:
        value = self._unit.value
        links = (value("RAW", n, "STOP:LINK"), value("RAW", n, "ENAB:LINK"))
        return value("RAW", n, "SEND") == "ON" and "NONE" not in links

    def _send(self, n: int, signals: Signals, times: NDArray[np.int64]) -> None:
        unit = self._unit
        if self.overrun:
            unit.raw_errors[n - 1] += max(1, len(times))  # until it is switched off and on
            return
        unit.datalink.push(n, *self._relative("RAW", n, signals, times))

    def _accumulate(self, n: int, signals: Signals) -> None:
        unit = self._unit
        stop_link = unit.value("HIST", n, "STOP:LINK")
        if "NONE" in (stop_link, unit.value("HIST", n, "ENAB:LINK")):
            return
        times, _ = self._relative("HIST", n, signals, signals.at(stop_link))
        histogram = self._histogram(n)
        bins = (times - unit.picoseconds("HIST", n, "MIN")) // unit.picoseconds("HIST", n, "BWID")
        histogram += np.bincount(bins[(bins >= 0) & (bins < len(histogram))], minlength=len(histogram))

    def _relative(
        self, block: str, n: int, signals: Signals, times: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return times since the last event of a reference, and its number; NONE is the begin of the sub-record."""
        reference, stop = (self._unit.value(block, n, f"{side}:LINK") for side in ("REF", "STOP"))
        if reference == "NONE":
            return times - (self.start_ps or 0), np.zeros(len(times), np.int64)
        return since(signals.at(reference), times, itself=reference == stop)

    def _histogram(self, n: int) -> NDArray[np.int64]:
        count = int(self._unit.value("HIST", n, "BCOU"))
        if len(self._histograms.get(n, ())) != count:
            self._histograms[n] = np.zeros(count, np.int64)
        return self._histograms[n]
