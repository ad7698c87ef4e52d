"""The counters of a Time Controller's inputs: the last complete period, or a running sum."""

from qhal_simulators.instruments.idquantique.blocks import INPUTS
from qhal_simulators.instruments.idquantique.unit_settings import Counting, UnitSettings
from qhal_simulators.physics.readings import TaggerReadings
from qhal_simulators.simulated_time import SimulationClock, Timer

_HIRES_LIMIT_HZ = 25e6
_WATCHED_PERIODS = 1.2
_LONGEST_DRAWN_S = 2.0
RESET_TEXT = "Counter value set to 0 "


class InputCounter:
    """Counts the pulses that pass an input's discriminator.

    No pulses are drawn without a client that reads; the last complete period is then drawn at the next reading.
    """

    def __init__(
        self,
        number: int,
        settings: UnitSettings,
        clock: SimulationClock,
        readings: TaggerReadings,
        watched: "Watched",
    ) -> None:
        self._number = number
        self._settings, self._clock, self._readings, self._watched = settings, clock, readings, watched
        self._begun, self._begun_s = 0, 0.0
        self._complete: int | None = 0
        self._complete_s = (0.0, 0.0)
        self._timer: Timer | None = None
        self.hires_error = 0
        self._begin()

    @property
    def value(self) -> int:
        """What the counter shows."""
        self._watched.touch(self._counting.period_s)
        if self._counting.accumulates:
            return self._pulses() - self._begun
        if self._complete is None:
            self._complete = self._readings.count_past(*self._complete_s)[self._number - 1]
        return self._complete

    def restart(self) -> None:
        """Begin a period now, and count it."""
        self._watched.touch(self._counting.period_s)
        self._begin()

    def _begin(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._begun, self._begun_s = self._pulses(), self._clock.now_s()
        self._timer = self._clock.call_later(self._counting.period_s, self._end_period)

    def reset(self) -> str:
        """Set the counter to 0 and begin a period now."""
        self._complete = 0
        self.restart()
        return RESET_TEXT

    def forget(self) -> None:
        """Stop counting."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def clear_error(self) -> str:
        """Forget the errors of the high resolution mode."""
        self.hires_error = 0
        return "Cleared Highres errors"

    @property
    def _counting(self) -> Counting:
        return self._settings.counting("INPU", self._number)

    def _pulses(self) -> int:
        return int(self._readings.counts()[self._number - 1])

    def _end_period(self) -> None:
        assert self._timer is not None
        if not self._counting.accumulates:
            pulses, due_s = self._pulses(), self._timer.due_s
            drawn = self._readings.drawn_since_s() <= self._begun_s
            self._complete = pulses - self._begun if drawn else None
            self._complete_s = self._begun_s, due_s
            self._begun, self._begun_s = pulses, due_s
            if (
                self._settings.is_high_resolution
                and (self._complete or 0) > _HIRES_LIMIT_HZ * self._counting.period_s
            ):
                self.hires_error = 2
        self._timer = self._clock.call_at(self._timer.due_s + self._counting.period_s, self._end_period)


class Watched:
    """Has pulses drawn while a client reads the counters of the inputs: for a while after each reading.

    A running sum, and a period too long to be drawn at once, are always watched.
    """

    def __init__(self, settings: UnitSettings, clock: SimulationClock, readings: TaggerReadings) -> None:
        self._settings, self._clock, self._readings = settings, clock, readings
        self._until_s = 0.0
        self._timer: Timer | None = None
        readings.counting = False
        readings.counts_past_s = 2 * _LONGEST_DRAWN_S

    def touch(self, period_s: float) -> None:
        """Draw pulses for some periods of a counter that a client reads or restarts."""
        self._readings.counting = True
        self._until_s = max(self._until_s, self._clock.now_s() + _WATCHED_PERIODS * period_s)
        if self._timer is None:
            self._timer = self._clock.call_at(self._until_s, self._look)

    def forget(self) -> None:
        """Stop watching."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        now_s = self._clock.now_s()
        if any(self._is_running(n) for n in range(1, INPUTS + 1)):
            self._until_s = max(self._until_s, now_s + _LONGEST_DRAWN_S)
        self._readings.counting = now_s < self._until_s
        self._timer = self._clock.call_at(self._until_s, self._look) if self._readings.counting else None

    def _is_running(self, n: int) -> bool:
        counting = self._settings.counting("INPU", n)
        return counting.accumulates or counting.period_s > _LONGEST_DRAWN_S
