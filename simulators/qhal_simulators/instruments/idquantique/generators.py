"""The pulse generators of a Time Controller: played by command, or triggered by a link once they are armed."""

from collections.abc import Callable, Mapping

import numpy as np

from qhal_simulators.instruments.idquantique.event_times import NONE, Times
from qhal_simulators.instruments.idquantique.setting_forms import WRONG_TYPE
from qhal_simulators.instruments.idquantique.unit_clock import UnitClock
from qhal_simulators.instruments.idquantique.unit_settings import PulseTrain, UnitSettings
from qhal_simulators.scpi_commands import ScpiError

_FASTEST_PERIOD_PS = 50_000
_SHORT_TRAIN = 10_000
"""A faster or longer train of pulses is more than this simulator follows; it is refused."""


class Generator:
    """One generator among ``others`` (all of a unit, by number).

    ``started_ps``: start of the train of pulses that runs or ran last.
    """

    def __init__(
        self, number: int, settings: UnitSettings, clock: UnitClock, others: Mapping[int, "Generator"]
    ) -> None:
        self._number = number
        self._settings, self._clock, self._others = settings, clock, others
        self.started_ps: int | None = None
        self._armed_ps: int | None = None

    def play(self) -> str:
        """Start, and with it the generators that wait for this one as their trigger."""
        if not self._train.enabled:
            return "Generator is disabled"
        self._check()
        self._start(self._clock.next_tick_ps())
        return "PLAYING"

    def stop(self) -> str:
        """End the pulses and the wait for a trigger."""
        self.started_ps = self._armed_ps = None
        return "IDLE"

    def arm(self) -> str:
        """Wait for a trigger."""
        self._check()
        self.started_ps, self._armed_ps = None, self._clock.next_tick_ps()
        return "ARMED"

    def events(self, start_ps: int, stop_ps: int, triggers: Callable[[], Times]) -> Times:
        """Return the pulses of a span. ``triggers``: returns the events of the block that triggers this one."""
        train = self._train
        if not train.enabled:
            return NONE
        if train.retriggers or (self._armed_ps is not None and self.started_ps is None):
            times = triggers() + train.trigger_delay_ps
            if train.retriggers:
                return _retriggered(train, times)
            times = times[times >= (self._armed_ps or 0)]
            if len(times):
                self._start(int(times[0]))
        return NONE if self.started_ps is None else _pulses(train, self.started_ps, start_ps, stop_ps)

    @property
    def _train(self) -> PulseTrain:
        return self._settings.generator(self._number)

    def _start(self, time_ps: int) -> None:
        self.started_ps, self._armed_ps = time_ps, None
        for other in self._others.values():
            train = other._train
            waits = other._armed_ps is not None and train.trigger_link == f"GEN{self._number}"
            if other is not self and waits:
                other._start(time_ps + train.trigger_delay_ps)

    def _check(self) -> None:
        if _is_too_fast(self._train):
            raise ScpiError(WRONG_TYPE)


def _is_too_fast(train: PulseTrain) -> bool:
    return (train.pulses is None or train.pulses > _SHORT_TRAIN) and train.period_ps < _FASTEST_PERIOD_PS


def _pulses(train: PulseTrain, begin_ps: int, start_ps: int, stop_ps: int) -> Times:
    """Return the pulses within a span of a train that begins at ``begin_ps``."""
    first = max(0, -(-(start_ps - begin_ps) // train.period_ps))
    last = max(first, -(-(stop_ps - begin_ps) // train.period_ps))
    if train.pulses is not None:
        last = max(first, min(last, train.pulses))
    if last - first > _SHORT_TRAIN and train.period_ps < _FASTEST_PERIOD_PS:
        return NONE
    return begin_ps + np.arange(first, last, dtype=np.int64) * train.period_ps


def _retriggered(train: PulseTrain, triggers: Times) -> Times:
    """Return the pulses of trains that begin with a trigger; a trigger during a train does nothing."""
    if train.pulses is None or train.pulses > _SHORT_TRAIN:
        return triggers[:1]
    starts = triggers[_apart(triggers, train.pulses * train.period_ps)]
    pulses = np.arange(train.pulses, dtype=np.int64) * train.period_ps
    return (starts[:, None] + pulses).ravel()


def _apart(times: Times, min_ps: int) -> slice | list[int]:
    """Return the positions of times that are apart: the first, and each next one at least ``min_ps`` later."""
    if len(times) > 1 and (np.diff(times) == (step_ps := int(times[1] - times[0]))).all():
        return slice(None, None, max(1, -(-min_ps // max(1, step_ps))))
    following = np.searchsorted(times, times + min_ps).tolist()
    positions, at = [], 0
    while at < len(following):
        positions.append(at)
        at = max(at + 1, following[at])
    return positions
