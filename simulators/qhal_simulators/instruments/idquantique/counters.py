"""The counter of one input: the last complete period, or a running sum."""

from typing import TYPE_CHECKING

from qhal_simulators.clock import Timer

if TYPE_CHECKING:
    from qhal_simulators.instruments.idquantique.id900 import Id900

_HIRES_LIMIT_HZ = 25e6


class Counter:
    """Counts the pulses that pass the input's discriminator."""

    def __init__(self, unit: "Id900", number: int) -> None:
        self._unit = unit
        self._number = number
        self._begun = 0
        self._complete = 0
        self._timer: Timer | None = None
        self.hires_error = 0
        self.restart()

    @property
    def value(self) -> int:
        """What the counter shows."""
        if self._unit.value("INPU", self._number, "COUN:MODE") == "ACCUM":
            return self._pulses() - self._begun
        return self._complete

    def restart(self) -> None:
        """Begin a period now."""
        if self._timer is not None:
            self._timer.cancel()
        self._begun = self._pulses()
        self._timer = self._unit.clock.call_later(self._period_s, self._end_period)

    def reset(self) -> str:
        """Set the counter to 0 and begin a period now."""
        self._complete = 0
        self.restart()
        return "Counter value set to 0 "

    def clear_error(self) -> str:
        """Forget the errors of the high resolution mode."""
        self.hires_error = 0
        return "Cleared Highres errors"

    @property
    def _period_s(self) -> float:
        return int(self._unit.value("INPU", self._number, "COUN:INTE")) * 1e-3

    def _pulses(self) -> int:
        return int(self._unit.port.read_clicks()[self._number - 1])

    def _end_period(self) -> None:
        assert self._timer is not None
        pulses = self._pulses()
        if self._unit.value("INPU", self._number, "COUN:MODE") == "CYCLE":
            self._complete = pulses - self._begun
            self._begun = pulses
            in_hires = self._unit.value("DEVI", 1, "RES") == "HIRES"
            if in_hires and self._complete > _HIRES_LIMIT_HZ * self._period_s:
                self.hires_error = 2
        self._timer = self._unit.clock.call_at(self._timer.due_s + self._period_s, self._end_period)
