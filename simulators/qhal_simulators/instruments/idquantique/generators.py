"""The pulse generators of a Time Controller: played by command, or triggered by a link once they are armed."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from qhal_simulators.instruments.idquantique.block_signals import Times
from qhal_simulators.instruments.idquantique.setting_forms import WRONG_TYPE
from qhal_simulators.scpi_commands import ScpiError

if TYPE_CHECKING:
    from qhal_simulators.instruments.idquantique.id900 import Id900

_FASTEST_PERIOD_PS = 50_000
_SHORT_TRAIN = 10_000
"""A faster or longer train of pulses is more than this simulator follows; it is refused."""


class Generator:
    """One generator. ``started_ps``: when the train of pulses that runs or ran last began."""

    def __init__(self, unit: "Id900", number: int) -> None:
        self._unit = unit
        self._number = number
        self.started_ps: int | None = None
        self._armed_ps: int | None = None

    def play(self) -> str:
        """Start; what waits for this generator as a trigger starts, too."""
        if self._value("ENAB") != "ON":
            return "Generator is disabled"
        self._check()
        self._start(self._unit.recorder.next_tick_ps())
        return "PLAYING"

    def stop(self) -> str:
        """End the pulses and the wait for a trigger."""
        self.started_ps = self._armed_ps = None
        return "IDLE"

    def arm(self) -> str:
        """Wait for a trigger."""
        self._check()
        self.started_ps, self._armed_ps = None, self._unit.recorder.next_tick_ps()
        return "ARMED"

    def events(self, start_ps: int, stop_ps: int, triggers: Callable[[], Times]) -> Times:
        """Return the pulses of a span. ``triggers``: the events of the block that triggers this one."""
        none: Times = np.empty(0, np.int64)
        if self._value("ENAB") != "ON":
            return none
        by_itself = self._value("TRIG:LINK") != "NONE" and self._value("TRIG:ARM:MODE") == "AUTO"
        if by_itself or (self._armed_ps is not None and self.started_ps is None):
            times = triggers() + self._unit.picoseconds("GEN", self._number, "TRIG:DELA")
            if by_itself:
                return self._retriggered(times)
            times = times[times >= (self._armed_ps or 0)]
            if len(times):
                self._start(int(times[0]))
        return none if self.started_ps is None else self._train(self.started_ps, start_ps, stop_ps)

    def _start(self, time_ps: int) -> None:
        self.started_ps, self._armed_ps = time_ps, None
        for other in self._unit.generators.values():
            if (
                other is not self
                and other._armed_ps is not None
                and other._value("TRIG:LINK") == f"GEN{self._number}"
            ):
                other._start(time_ps + self._unit.picoseconds("GEN", other._number, "TRIG:DELA"))

    def _train(self, begin_ps: int, start_ps: int, stop_ps: int) -> Times:
        period_ps, number = self._unit.picoseconds("GEN", self._number, "PPER"), self._value("NUM")
        first = max(0, -(-(start_ps - begin_ps) // period_ps))
        last = max(first, -(-(stop_ps - begin_ps) // period_ps))
        if number != "INF":
            last = max(first, min(last, int(number)))
        if last - first > _SHORT_TRAIN and period_ps < _FASTEST_PERIOD_PS:
            return np.empty(0, np.int64)
        return begin_ps + np.arange(first, last, dtype=np.int64) * period_ps

    def _retriggered(self, triggers: Times) -> Times:
        """Return the pulses of trains that begin with a trigger; a trigger while one runs does nothing."""
        period_ps, number = self._unit.picoseconds("GEN", self._number, "PPER"), self._value("NUM")
        if number == "INF" or int(number) > _SHORT_TRAIN:
            return triggers[:1]
        starts = triggers[_apart(triggers, int(number) * period_ps)]
        pulses = np.arange(int(number), dtype=np.int64) * period_ps
        return (starts[:, None] + pulses).ravel()

    def _check(self) -> None:
        number = self._value("NUM")
        long_train = number == "INF" or int(number) > _SHORT_TRAIN
        if long_train and self._unit.picoseconds("GEN", self._number, "PPER") < _FASTEST_PERIOD_PS:
            raise ScpiError(WRONG_TYPE)

    def _value(self, key: str) -> str:
        return self._unit.value("GEN", self._number, key)


def _apart(times: Times, least_ps: int) -> slice | list[int]:
    """Return places of times that are apart: the first, and each first one that is far enough from the one before."""
    if len(times) > 1 and (np.diff(times) == (step_ps := int(times[1] - times[0]))).all():
        return slice(None, None, max(1, -(-least_ps // max(1, step_ps))))
    following = np.searchsorted(times, times + least_ps).tolist()
    found, at = [], 0
    while at < len(following):
        found.append(at)
        at = max(at + 1, following[at])
    return found
