"""The events at any block of a Time Controller, followed through its links.

Without a window OPOUt applies, which alone the vendor's filter example sets then.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qhal_simulators.instruments.idquantique.event_times import NONE, Times, is_open, merged, together
from qhal_simulators.instruments.idquantique.generators import Generator
from qhal_simulators.instruments.idquantique.record_progress import RecordProgress
from qhal_simulators.instruments.idquantique.tag_readers import TagReaders
from qhal_simulators.instruments.idquantique.unit_settings import UnitSettings
from qhal_simulators.physics.ports import Port, TaggerSettings

LATEST_PS = 2_000_000
"""Delay after which all clicks of a span have arrived, with any cable and jitter."""
_REACH_PS = 10_000_000
"""Age up to which tags matter for later events by delays; the unit guarantees 4 us."""
_DEEPEST = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """Everything that events at a block follow from, besides tags. ``start_period_ps`` None: nothing at START."""

    settings: UnitSettings
    port: Port[TaggerSettings]
    generators: Mapping[int, Generator]
    record: RecordProgress
    start_period_ps: int | None


class History:
    """The latest tags of one reader, ascending, as far back as delays reach."""

    def __init__(self, wiring: Wiring, readers: TagReaders) -> None:
        self._wiring, self._readers = wiring, readers
        self._times, self._inputs = NONE, np.empty(0, np.uint8)
        readers.open(self)

    def __len__(self) -> int:
        return len(self._times)

    def close(self) -> None:
        """End the reading."""
        self._readers.close(self)

    def signals(self, start_ps: int, stop_ps: int) -> "Signals":
        """Return the events of a span that is over."""
        times, inputs = self._readers.take(self)
        times, inputs = np.concatenate((self._times, times)), np.concatenate((self._inputs, inputs))
        order = np.argsort(times, kind="stable")
        self._times, self._inputs = times[order], inputs[order]
        return Signals(self._wiring, self._times, self._inputs, start_ps, stop_ps)

    def forget_before(self, time_ps: int) -> None:
        """Drop tags that no later span needs."""
        first = np.searchsorted(self._times, time_ps - _REACH_PS)
        self._times, self._inputs = self._times[first:], self._inputs[first:]


class Signals:
    """Events in a span of the unit's clock."""

    def __init__(
        self, wiring: Wiring, times: Times, inputs: NDArray[np.uint8], start_ps: int, stop_ps: int
    ) -> None:
        self._wiring, self._settings = wiring, wiring.settings
        self._times = times
        self._inputs = inputs
        self._span = start_ps, stop_ps
        self._events_at: dict[str, Times] = {}

    @property
    def tags(self) -> int:
        """Number of tags of the inputs in the span."""
        first, last = np.searchsorted(self._times, self._span)
        return int(last - first)

    def at(self, link: str) -> Times:
        """Return the ascending event times of a block in the span; none for a link that leads nowhere."""
        times = self._events(link, 0)
        first, last = np.searchsorted(times, self._span)
        return times[first:last]

    def _events(self, link: str, depth: int) -> Times:
        if link not in self._events_at:
            if depth > _DEEPEST:  # links in a circle
                return NONE
            block = link.rstrip("0123456789")
            follow = self._blocks.get(block)
            number = int(link[len(block) :] or 1)
            self._events_at[link] = NONE if follow is None else follow(self, number, depth + 1)
        return self._events_at[link]

    def _input(self, n: int, depth: int) -> Times:
        settings = self._settings
        if settings.value("INPU", n, "SELE") == "OUTPUT":
            on = settings.is_on("OUTP", n, "ENAB")  # the vendor's example leaves the input itself off
            return self._events(settings.value("OUTP", n, "LINK"), depth) if on else NONE
        times: Times = self._times[self._inputs == n] - self._wiring.port.settings.delay_ps[n - 1]
        return times

    def _start(self, n: int, depth: int) -> Times:
        period_ps = self._wiring.start_period_ps
        if period_ps is None or not self._settings.is_on("STAR", 1, "ENAB"):
            return NONE
        start_ps, stop_ps = self._span
        first = -(-(start_ps - _REACH_PS) // period_ps)
        delay_ps = self._settings.picoseconds("STAR", 1, "DELA")
        return np.arange(first, -(-stop_ps // period_ps)) * period_ps + delay_ps

    def _delay(self, n: int, depth: int) -> Times:
        link = self._settings.value("DELA", n, "LINK")
        return self._events(link, depth) + self._settings.picoseconds("DELA", n, "VALU")

    def _generator(self, n: int, depth: int) -> Times:
        start_ps, stop_ps = self._span
        link = self._settings.generator(n).trigger_link
        return self._wiring.generators[n].events(
            start_ps - _REACH_PS, stop_ps, lambda: self._events(link, depth)
        )

    def _record(self, n: int, depth: int) -> Times:
        start_ps = self._wiring.record.start_ps
        return NONE if start_ps is None else np.array([start_ps], np.int64)

    def _combiner(self, n: int, depth: int) -> Times:
        settings = self._settings
        outside = self._operation(n, "OPOU", depth)
        if not settings.is_on("TSCO", n, "WIND:ENAB"):
            return outside
        inside = self._operation(n, "OPIN", depth)
        opened, closed = (
            self._events(settings.value("TSCO", n, f"WIND:{side}:LINK"), depth)
            + settings.picoseconds("TSCO", n, f"WIND:{side}:DELA")
            for side in ("BEGI", "END")
        )
        return merged(inside[is_open(inside, opened, closed)], outside[~is_open(outside, opened, closed)])

    def _operation(self, n: int, key: str, depth: int) -> Times:
        settings, operation = self._settings, self._settings.value("TSCO", n, key)
        first, second = (settings.value("TSCO", n, f"{side}:LINK") for side in ("FIR", "SEC"))
        if operation == "MUTE":
            return NONE
        if operation in ("ONLYFIR", "ONLYSEC"):
            return self._events(first if operation == "ONLYFIR" else second, depth)
        ones, others = self._events(first, depth), self._events(second, depth)
        return merged(ones, others) if operation == "OR" else together(ones, others)

    _blocks = {
        "INPU": _input, "STAR": _start, "DELA": _delay, "GEN": _generator, "REC": _record, "TSCO": _combiner,
    }  # fmt: skip
