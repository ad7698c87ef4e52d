"""The recorder: a row of sub-records that gates timestamps and histograms."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from qhal_simulators.instruments.idquantique.block_signals import LATEST_PS, History, Signals
from qhal_simulators.instruments.idquantique.blocks import INPUTS
from qhal_simulators.instruments.idquantique.event_times import Times, since
from qhal_simulators.instruments.idquantique.id900_options import Id900Options
from qhal_simulators.instruments.idquantique.record_progress import RecordProgress
from qhal_simulators.instruments.idquantique.setting_forms import LONGEST_PS, WRONG_TYPE
from qhal_simulators.instruments.idquantique.unit_clock import UnitClock
from qhal_simulators.instruments.idquantique.unit_settings import Measurement, UnitSettings
from qhal_simulators.physics.ports import Port, TaggerSettings
from qhal_simulators.physics.readings import TaggerReadings
from qhal_simulators.scpi_commands import ScpiError
from qhal_simulators.simulated_time import Timer

_TAG_LIMIT_HZ = 1e7
_SHORTEST_PAUSE_PS = 40_000
_BUFFER_TAGS = 10_000_000
"""Tags of a sub-record above which they are sent before its end; the unit has room for ten times more."""
_LOOK_S = 1.0


class Delivery(Protocol):
    """Takes the timestamps of each sub-record."""

    def push(self, channel: int, times: NDArray[np.int64], indices: NDArray[np.int64]) -> None:
        """Deliver one sub-record of a channel."""
        ...

    def end(self) -> None:
        """End the record."""
        ...


class Recorder:
    """Plays sub-records of REC:PWID every REC:PPER, on the unit's own clock; settings act on the next record.

    ``raw_errors``: lost timestamps of each RAW block.
    """

    def __init__(
        self,
        settings: UnitSettings,
        options: Id900Options,
        clock: UnitClock,
        inputs: tuple[Port[TaggerSettings], TaggerReadings],
        record: RecordProgress,
        new_history: Callable[[], History],
        delivery: Delivery,
    ) -> None:
        self._settings, self._options, self._clock = settings, options, clock
        self._port, self._readings = inputs
        self._record = record
        self._new_history, self._delivery = new_history, delivery
        self.raw_errors = [0] * INPUTS
        self.overrun = False
        self._overflows = self._readings.overflows()
        self._timer: Timer | None = None
        self._history: History | None = None
        self._done_ps = 0
        self._histograms: dict[int, NDArray[np.int64]] = {}

    @property
    def stage(self) -> str:
        """The stage as the unit writes it."""
        return "PLAYING" if self._record.is_playing else "IDLE"

    def play(self) -> str:
        """Start; without effect while REC is disabled.

        Raises ScpiError when sub-records have no pause of 40 ns or follow each other faster than by
        ``shortest_period_s``.
        """
        target = self._settings.record()
        if not target.enabled:
            return "Record is disabled"
        zero_is_endless = self._options.record_number_zero == "endless"
        endless = target.number == "INF" or (target.number == "0" and zero_is_endless)
        number = None if endless else max(1, int(target.number))
        shortest_ps = max(target.width_ps + _SHORTEST_PAUSE_PS, self._options.shortest_period_s * 1e12)
        if number != 1 and target.period_ps < shortest_ps:
            raise ScpiError(WRONG_TYPE)
        self._begin(target.width_ps, target.period_ps, number)
        return self.stage

    def gate(self, *, on: bool) -> None:
        """Open or close the gate of the old firmware: one sub-record in between."""
        if on and not self._record.is_playing:
            self._begin(LONGEST_PS, LONGEST_PS, 1)
        elif not on and self._record.is_playing:
            self._deliver(self._clock.now_ps())
            self._finish()

    def stop(self) -> str:
        """End now, in the middle of a sub-record."""
        if self._record.is_playing:
            if self._options.flush_at_stop:
                self._deliver(self._clock.now_ps())
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

    def _begin(self, width_ps: int, period_ps: int, number: int | None) -> None:
        self._cancel()
        self._history = self._new_history()
        self._record.begin(self._clock.next_tick_ps(), width_ps, period_ps, number)
        self._done_ps = self._record.begin_ps
        self._schedule()

    def _schedule(self) -> None:
        world = self._clock.world
        due_s = self._clock.world_s(self._record.stop_ps + self._latest_ps)
        look_s = world.now_s() + _LOOK_S
        over = due_s <= look_s
        self._timer = world.call_at(due_s if over else look_s, self._end_sub_record if over else self._look)

    @property
    def _latest_ps(self) -> int:
        """Delay after which the last tag of a span has arrived."""
        return LATEST_PS + max(self._port.settings.delay_ps)

    def _look(self) -> None:
        """Send the tags of a long sub-record before they fill the memory."""
        assert self._history is not None
        upto_ps = self._clock.now_ps() - self._latest_ps
        if upto_ps > self._done_ps:
            self._history.signals(self._done_ps, upto_ps)
            if len(self._history) > _BUFFER_TAGS:
                self._deliver(upto_ps)
        self._schedule()

    def _end_sub_record(self) -> None:
        self._deliver(self._record.stop_ps)
        self._record.index += 1
        self._done_ps = self._record.begin_ps
        if self._record.is_over:
            self._finish()
        else:
            self._schedule()

    def _finish(self) -> None:
        self._cancel()
        self._record.is_playing = False
        self._delivery.end()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._history is not None:
            self._history.close()
            self._history = None

    def _deliver(self, upto_ps: int) -> None:
        """Send and count the new part of the sub-record, up to a time."""
        assert self._history is not None
        settings, blocks = self._settings, range(1, INPUTS + 1)
        limit = _TAG_LIMIT_HZ * (upto_ps - self._done_ps) * 1e-12
        signals = self._history.signals(self._done_ps, upto_ps)
        sent = {n: signals.at(settings.stream(n).stop_link) for n in blocks if settings.is_sent(n)}
        too_many = max(signals.tags, sum(map(len, sent.values()))) > limit
        self.overrun = self.overrun or too_many or self._readings.overflows() > self._overflows
        for n, times in sent.items():
            self._send(n, signals, times)
        for n in blocks:
            self._accumulate(n, signals)
        self._history.forget_before(upto_ps)
        self._done_ps = upto_ps

    def _send(self, n: int, signals: Signals, times: Times) -> None:
        if self.overrun:
            self.raw_errors[n - 1] += max(1, len(times))  # until it is switched off and on
            return
        self._delivery.push(n, *self._relative(self._settings.stream(n), signals, times))

    def _accumulate(self, n: int, signals: Signals) -> None:
        histogram = self._settings.histogram(n)
        if not histogram.times.is_connected:
            return
        times, _ = self._relative(histogram.times, signals, signals.at(histogram.times.stop_link))
        counts = self._histogram(n)
        bins = (times - histogram.min_ps) // histogram.bin_ps
        counts += np.bincount(bins[(bins >= 0) & (bins < len(counts))], minlength=len(counts))

    def _relative(
        self, measured: Measurement, signals: Signals, times: Times
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return times since the last event of a reference, and its number; NONE is the begin of the sub-record."""
        if measured.reference_link == "NONE":
            return times - (self._record.start_ps or 0), np.zeros(len(times), np.int64)
        itself = measured.reference_link == measured.stop_link
        return since(signals.at(measured.reference_link), times, itself=itself)

    def _histogram(self, n: int) -> NDArray[np.int64]:
        bins = self._settings.histogram(n).bins
        if len(self._histograms.get(n, ())) != bins:
            self._histograms[n] = np.zeros(bins, np.int64)
        return self._histograms[n]
