"""Counters of the events at START and at the combiners of a Time Controller."""

from collections.abc import Callable

import numpy as np

from qhal_simulators.instruments.idquantique.block_signals import LATEST_PS, History
from qhal_simulators.instruments.idquantique.event_times import Times
from qhal_simulators.instruments.idquantique.input_counters import RESET_TEXT
from qhal_simulators.instruments.idquantique.unit_clock import UnitClock
from qhal_simulators.instruments.idquantique.unit_settings import UnitSettings
from qhal_simulators.simulated_time import Timer

_PACE_S = 0.05


class EventCounter:
    """Counts the events of one block, span by span."""

    def __init__(self, settings: UnitSettings, block: str, number: int, now_ps: int) -> None:
        self._settings = settings
        self._key = block, number
        self.reset(now_ps)

    def reset(self, now_ps: int) -> None:
        """Set to 0 and begin a period."""
        self._begun_ps = now_ps
        self._running = self._complete = 0

    def take(self, times: Times, upto_ps: int) -> None:
        """Count the events of a span that ends at ``upto_ps``."""
        counting = self._settings.counting(*self._key)
        times = times[times >= self._begun_ps]
        if counting.accumulates:
            self._running += len(times)
            return
        period_ps = counting.period_ms * 10**9
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
        return self._running if self._settings.counting(*self._key).accumulates else self._complete


class EventCounters:
    """The counters of START and of the combiners; a counter counts once a client has set or read it.

    They share one look at the tags every 50 ms.
    """

    def __init__(self, settings: UnitSettings, clock: UnitClock, new_history: Callable[[], History]) -> None:
        self._settings, self._clock, self._new_history = settings, clock, new_history
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
        """Stop counting."""
        self._counters.clear()
        if self._history is not None:
            self._history.close()
            self._history = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _counter(self, block: str, number: int) -> EventCounter:
        if self._history is None:
            self._history = self._new_history()
            self._upto_ps = self._clock.now_ps() - LATEST_PS
            self._look_later()
        if (block, number) not in self._counters:
            self._catch_up()
            self._counters[block, number] = EventCounter(self._settings, block, number, self._upto_ps)
        return self._counters[block, number]

    def _look_later(self) -> None:
        def look() -> None:
            self._catch_up()
            self._look_later()

        self._timer = self._clock.world.call_later(_PACE_S, look)

    def _catch_up(self) -> None:
        upto_ps = self._clock.now_ps() - LATEST_PS
        if self._history is None or upto_ps <= self._upto_ps:
            return
        signals = self._history.signals(self._upto_ps, upto_ps)
        for (block, number), counter in self._counters.items():
            counter.take(signals.at("STAR" if block == "STAR" else f"{block}{number}"), upto_ps)
        self._history.forget_before(upto_ps)
        self._upto_ps = upto_ps
