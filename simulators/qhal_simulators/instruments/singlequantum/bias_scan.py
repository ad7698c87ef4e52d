"""What a unit does with the bias on its own: scans of current against voltage and counts, and the automatic search."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol

from qhal_simulators.simulated_time import SimulationClock, Timer

MOST_POINTS = 10_000
_SEARCH_STEPS = 16
_HIGHEST_SEARCHED_UA = 50.0
_LATCHED_V = 0.5


class Unit(Protocol):
    """What a sequence needs of the unit."""

    clock: SimulationClock
    labels: dict[str, Any]

    @property
    def period_s(self) -> float:
        """The measurement period."""
        ...

    def bias(self, currents_ua: list[float] | None) -> None:
        """Bias the detectors with currents (None: as set, if enabled), after a moment without bias."""
        ...

    def totals(self) -> list[int]:
        """Return the counts of each detector so far."""
        ...

    def voltages_v(self) -> list[float]:
        """Return the voltages over the bias lines."""
        ...


class Sequence(ABC):
    """Currents one after the other, each for a measurement period; then the set currents again."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self._timer: Timer | None = None

    @property
    def running(self) -> bool:
        """Whether a measurement is under way."""
        return self._timer is not None

    def stop(self) -> None:
        """End now; the detectors get what is set."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._unit.bias(None)

    def _measure(self, currents_ua: list[float]) -> None:
        unit = self._unit
        unit.bias(currents_ua)
        before = unit.totals()

        def done() -> None:
            counts = [now - then for now, then in zip(unit.totals(), before, strict=True)]
            voltages_v = unit.voltages_v()
            self._timer = None
            unit.bias(None)
            self._measured(currents_ua, counts, voltages_v)

        self._timer = unit.clock.call_later(unit.period_s, done)

    @abstractmethod
    def _measured(self, currents_ua: list[float], counts: list[int], voltages_v: list[float]) -> None:
        """Take what was measured; continue or end."""


class BiasScan(Sequence):
    """The same current for all detectors, from IVScanStart to IVScanEnd. ``ended`` is called at the end."""

    def __init__(self, unit: Unit, ended: Callable[[], None]) -> None:
        super().__init__(unit)
        self._ended = ended
        self.counts: list[dict[str, float]] = []
        self.voltages: list[dict[str, float]] = []

    def points(self) -> int:
        """Return how many currents the settings give; 0 if they give none, or too many."""
        labels = self._unit.labels
        step_ua = labels["IVScanIncrement"]
        if step_ua == 0:
            return 0
        points = (labels["IVScanEnd"] - labels["IVScanStart"]) / step_ua + 1 + 1e-9
        return math.floor(points) if 1 <= points <= MOST_POINTS else 0

    def start(self) -> None:
        """Begin; what an earlier scan has found is forgotten."""
        labels = self._unit.labels
        first_ua, step_ua = labels["IVScanStart"], labels["IVScanIncrement"]
        self._left = [round(first_ua + n * step_ua, 6) for n in range(self.points())]
        self.counts, self.voltages = [], []
        self._next()

    def _next(self) -> None:
        self._measure([self._left.pop(0)] * self._unit.labels["NumberOfDetectors"])

    def _measured(self, currents_ua: list[float], counts: list[int], voltages_v: list[float]) -> None:
        current = {"biasCurrent": currents_ua[0]}
        self.counts.append(current | {f"y{n}": count for n, count in enumerate(counts, 1)})
        self.voltages.append(current | {f"v{n}": round(volts, 6) for n, volts in enumerate(voltages_v, 1)})
        if self._left:
            self._next()
        else:
            self._ended()


class BiasSearch(Sequence):
    """The largest currents at which the detectors count no more than asked for, by halving.

    ``ended`` is called with the currents, or with None and why there are none.
    """

    def __init__(self, unit: Unit, ended: Callable[[list[float] | None, str], None]) -> None:
        super().__init__(unit)
        self._ended = ended

    def start(self, targets: list[float]) -> None:
        """Begin; ``targets``: counts of each detector in a measurement period."""
        self._targets = targets
        self._low_ua = [0.0] * len(targets)
        self._high_ua = [_HIGHEST_SEARCHED_UA] * len(targets)
        self._steps_left = _SEARCH_STEPS
        self._next()

    def _next(self) -> None:
        bounds = zip(self._low_ua, self._high_ua, strict=True)
        middle = [(low + high) / 2 for low, high in bounds] if self._steps_left else self._low_ua
        self._measure([round(current_ua, 3) for current_ua in middle])

    def _measured(self, currents_ua: list[float], counts: list[int], voltages_v: list[float]) -> None:
        if self._steps_left == 0:
            self._judge(currents_ua, counts)
            return
        self._steps_left -= 1
        for n, (current_ua, count, volts) in enumerate(zip(currents_ua, counts, voltages_v, strict=True)):
            too_high = volts > _LATCHED_V or count > self._targets[n]
            (self._high_ua if too_high else self._low_ua)[n] = current_ua
        self._next()

    def _judge(self, currents_ua: list[float], counts: list[int]) -> None:
        missed = [
            f"detector {n} counts {count} at {current_ua} uA, not {target:g}"
            for n, (count, target, current_ua) in enumerate(
                zip(counts, self._targets, currents_ua, strict=True), 1
            )
            if abs(count - target) > 0.2 * target + 5 * math.sqrt(target + 1)
        ]
        self._ended(None if missed else currents_ua, "; ".join(missed))
