"""The counters of a Time Controller: the last complete period, or a running sum."""

from typing import TYPE_CHECKING

import numpy as np

from qhal_simulators.instruments.idquantique.block_signals import LATEST_PS, History, Times
from qhal_simulators.instruments.idquantique.blocks import INPUTS
from qhal_simulators.simulated_time import Timer

if TYPE_CHECKING:
    from qhal_simulators.instruments.idquantique.id900 import Id900

_HIRES_LIMIT_HZ = 25e6
_PACE_S = 0.05
_WATCHED_PERIODS = 1.2
_LONGEST_DRAWN_S = 2.0
RESET_TEXT = "Counter value set to 0 "


class Counter:
    """Counts the pulses that pass an input's discriminator.

    While nobody asks no pulses are drawn; the last complete period is then drawn when somebody does.
    """

    def __init__(self, unit: "Id900", number: int) -> None:
        self._unit = unit
        self._number = number
        self._begun, self._begun_s = 0, 0.0
        self._complete: int | None = 0
        self._complete_s = (0.0, 0.0)
        self._timer: Timer | None = None
        self.hires_error = 0
        self._begin()

    @property
    def value(self) -> int:
        """What the counter shows."""
        self._unit.watched.touch(self._period_s)
        if self._unit.value("INPU", self._number, "COUN:MODE") == "ACCUM":
            return self._pulses() - self._begun
        if self._complete is None:
            self._complete = self._unit.readings.count_past(*self._complete_s)[self._number - 1]
        return self._complete

    def restart(self) -> None:
        """Begin a period now, and count it."""
        self._unit.watched.touch(self._period_s)
        self._begin()

    def _begin(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._begun, self._begun_s = self._pulses(), self._unit.clock.now_s()
        self._timer = self._unit.clock.call_later(self._period_s, self._end_period)

    def reset(self) -> str:
        """Set the counter to 0 and begin a period now."""
        self._complete = 0
        self.restart()
        return RESET_TEXT

    def clear_error(self) -> str:
        """Forget the errors of the high resolution mode."""
        self.hires_error = 0
        return "Cleared Highres errors"

    @property
    def _period_s(self) -> float:
        return int(self._unit.value("INPU", self._number, "COUN:INTE")) * 1e-3

    def _pulses(self) -> int:
        return int(self._unit.readings.counts()[self._number - 1])

    def _end_period(self) -> None:
        assert self._timer is not None
        if self._unit.value("INPU", self._number, "COUN:MODE") == "CYCLE":
            pulses, due_s = self._pulses(), self._timer.due_s
            drawn = self._unit.readings.drawn_since_s() <= self._begun_s
            self._complete = pulses - self._begun if drawn else None
            self._complete_s = self._begun_s, due_s
            self._begun, self._begun_s = pulses, due_s
            in_hires = self._unit.value("DEVI", 1, "RES") == "HIRES"
            if in_hires and (self._complete or 0) > _HIRES_LIMIT_HZ * self._period_s:
                self.hires_error = 2
        self._timer = self._unit.clock.call_at(self._timer.due_s + self._period_s, self._end_period)


class Watched:
    """Lets pulses be drawn while somebody looks at the counters of the inputs: for a while after each look.

    A running sum, and a period too long to be drawn at once, are always watched.
    """

    def __init__(self, unit: "Id900") -> None:
        self._unit = unit
        self._until_s = 0.0
        self._timer: Timer | None = None
        unit.readings.counting = False
        unit.readings.counts_past_s = 2 * _LONGEST_DRAWN_S

    def touch(self, period_s: float) -> None:
        """Draw pulses for some periods of a counter that a client reads or restarts."""
        unit = self._unit
        unit.readings.counting = True
        self._until_s = max(self._until_s, unit.clock.now_s() + _WATCHED_PERIODS * period_s)
        if self._timer is None:
            self._timer = unit.clock.call_at(self._until_s, self._look)

    def forget(self) -> None:
        """Let all rest."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        unit, now_s = self._unit, self._unit.clock.now_s()
        if any(self._is_running(n) for n in range(1, INPUTS + 1)):
            self._until_s = max(self._until_s, now_s + _LONGEST_DRAWN_S)
        unit.readings.counting = now_s < self._until_s
        self._timer = unit.clock.call_at(self._until_s, self._look) if unit.readings.counting else None

    def _is_running(self, n: int) -> bool:
        value = self._unit.value
        accumulates = value("INPU", n, "COUN:MODE") == "ACCUM"
        return accumulates or int(value("INPU", n, "COUN:INTE")) * 1e-3 > _LONGEST_DRAWN_S


class EventCounter:
    """Counts the events of one block; told of them span by span."""

    def __init__(self, unit: "Id900", block: str, number: int, now_ps: int) -> None:
        self._unit = unit
        self._key = block, number
        self.reset(now_ps)

    def reset(self, now_ps: int) -> None:
        """Set to 0 and begin a period."""
        self._begun_ps = now_ps
        self._running = self._complete = 0

    def take(self, times: Times, upto_ps: int) -> None:
        """Count the events of a span that ends at ``upto_ps``."""
        block, number = self._key
        times = times[times >= self._begun_ps]
        if self._unit.value(block, number, "COUN:MODE") == "ACCUM":
            self._running += len(times)
            return
        period_ps = int(self._unit.value(block, number, "COUN:INTE")) * 10**9
        periods = (upto_ps - self._begun_ps) // period_ps
        if periods > 0:
            last_ps = self._begun_ps + (periods - 1) * period_ps
            before, within = np.searchsorted(times, (last_ps, last_ps + period_ps))
            self._complete = int(within - before) + (self._running if periods == 1 else 0)
            self._begun_ps, self._running = last_ps + period_ps, len(times) - int(within)
        else:
            self._running += len(times)

    @property
    def value(self) -> int:
        """What the counter shows."""
        accumulates = self._unit.value(*self._key, "COUN:MODE") == "ACCUM"
        return self._running if accumulates else self._complete


class EventCounters:
    """The counters of START and of the combiners; those that somebody has set or asked count.

    They share one look at the tags every 50 ms.
    """

    def __init__(self, unit: "Id900") -> None:
        self._unit = unit
        self._counters: dict[tuple[str, int], EventCounter] = {}
        self._history: History | None = None
        self._upto_ps = 0
        self._timer: Timer | None = None

    def value(self, block: str, number: int) -> int:
        """Return what a counter shows."""
        counter = self._counter(block, number)
        self._catch_up()
        return counter.value

    def reset(self, block: str, number: int) -> str:
        """Set a counter to 0; it begins a period now."""
        self._counter(block, number)
        self._catch_up()
        self._counters[block, number].reset(self._upto_ps)
        return RESET_TEXT

    def forget(self) -> None:
        """Let all rest."""
        self._counters.clear()
        if self._history is not None:
            self._history.close()
            self._history = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _counter(self, block: str, number: int) -> EventCounter:
        if self._history is None:
            self._history = History(self._unit)
            self._upto_ps = self._unit.now_ps() - LATEST_PS
            self._look_later()
        if (block, number) not in self._counters:
            self._catch_up()
            self._counters[block, number] = EventCounter(self._unit, block, number, self._upto_ps)
        return self._counters[block, number]

    def _look_later(self) -> None:
        def look() -> None:
            self._catch_up()
            self._look_later()

        self._timer = self._unit.clock.call_later(_PACE_S, look)

    def _catch_up(self) -> None:
        upto_ps = self._unit.now_ps() - LATEST_PS
        if self._history is None or upto_ps <= self._upto_ps:
            return
        signals = self._history.signals(self._upto_ps, upto_ps)
        for (block, number), counter in self._counters.items():
            counter.take(signals.at("STAR" if block == "STAR" else f"{block}{number}"), upto_ps)
        self._history.forget_before(upto_ps)
        self._upto_ps = upto_ps
