"""The events at any block of a Time Controller, followed through its links.

Pulses have no width here: both edges of an event are at one time, and AND finds events that are at most
``_OVERLAP_PS`` apart. A window is open when its last opening is later than its last closing; without a window OPOUt
applies, which alone the vendor's filter example sets then.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qhal_simulators.instruments.idquantique.blocks import INPUTS

if TYPE_CHECKING:
    from qhal_simulators.instruments.idquantique.id900 import Id900

Times = NDArray[np.int64]

LATEST_PS = 2_000_000
"""So much later the last click of a span has happened, whatever its cable and jitter."""
KEPT_PS = 10_000_000
"""Tags are kept so long for what happens later by delays; the unit guarantees 4 us."""
_OVERLAP_PS = 4_000
_DEEPEST = 16
_NONE: Times = np.empty(0, np.int64)


class Tags:
    """Hands the tags of the port to several readers; the port keeps tags while there are any."""

    def __init__(self, unit: "Id900") -> None:
        self._unit = unit
        self._readers: dict[object, list[tuple[Times, NDArray[np.uint8]]]] = {}

    def open(self, reader: object) -> None:
        """Begin to keep tags for a reader, from now on."""
        self._unit.readings.recording = True
        self._hand_out()
        self._readers[reader] = []

    def close(self, reader: object) -> None:
        """Keep no more for a reader."""
        self._readers.pop(reader, None)
        self._unit.readings.recording = bool(self._readers)

    def take(self, reader: object) -> tuple[Times, NDArray[np.uint8]]:
        """Return what came since the last call."""
        self._hand_out()
        pieces, self._readers[reader] = self._readers[reader], []
        times = np.concatenate([_NONE, *(times for times, _ in pieces)])
        return times, np.concatenate([np.empty(0, np.uint8), *(inputs for _, inputs in pieces)])

    def _hand_out(self) -> None:
        found = self._unit.readings.take_tags()
        for pieces in self._readers.values():
            if len(found[0]):
                pieces.append(found)


class History:
    """The tags of one reader, ascending, as long as they may matter."""

    def __init__(self, unit: "Id900") -> None:
        self._unit = unit
        self._times, self._inputs = _NONE, np.empty(0, np.uint8)
        unit.tags.open(self)

    def __len__(self) -> int:
        return len(self._times)

    def close(self) -> None:
        """End the reading."""
        self._unit.tags.close(self)

    def signals(self, start_ps: int, stop_ps: int) -> "Signals":
        """Return the events of a span that is over."""
        times, inputs = self._unit.tags.take(self)
        times, inputs = np.concatenate((self._times, times)), np.concatenate((self._inputs, inputs))
        order = np.argsort(times, kind="stable")
        self._times, self._inputs = times[order], inputs[order]
        return Signals(self._unit, self._times, self._inputs, start_ps, stop_ps)

    def forget_before(self, time_ps: int) -> None:
        """Drop tags that no later span needs."""
        first = np.searchsorted(self._times, time_ps - KEPT_PS)
        self._times, self._inputs = self._times[first:], self._inputs[first:]


class Signals:
    """Events in a span of the unit's clock."""

    def __init__(
        self, unit: "Id900", times: Times, inputs: NDArray[np.uint8], start_ps: int, stop_ps: int
    ) -> None:
        self._unit = unit
        self._times = times
        self._inputs = inputs
        self._span = start_ps, stop_ps
        self._known: dict[str, Times] = {}

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
        if link not in self._known:
            if depth > _DEEPEST:  # links in a circle
                return _NONE
            block = link.rstrip("0123456789")
            follow = self._blocks.get(block)
            number = int(link[len(block) :] or 1)
            self._known[link] = _NONE if follow is None else follow(self, number, depth + 1)
        return self._known[link]

    def _input(self, n: int, depth: int) -> Times:
        unit = self._unit
        if unit.value("INPU", n, "SELE") == "OUTPUT":
            on = unit.value("OUTP", n, "ENAB") == "ON"  # the vendor's example leaves the input itself off
            return self._events(unit.value("OUTP", n, "LINK"), depth) if on else _NONE
        times: Times = self._times[self._inputs == n] - unit.port.settings.delay_ps[n - 1]
        return times

    def _start(self, n: int, depth: int) -> Times:
        period_ps = self._unit.options.start_period_ps
        if period_ps is None or self._unit.value("STAR", 1, "ENAB") != "ON":
            return _NONE
        start_ps, stop_ps = self._span
        first = -(-(start_ps - KEPT_PS) // period_ps)
        return np.arange(first, -(-stop_ps // period_ps)) * period_ps + self._unit.picoseconds(
            "STAR", 1, "DELA"
        )

    def _delay(self, n: int, depth: int) -> Times:
        link = self._unit.value("DELA", n, "LINK")
        return self._events(link, depth) + self._unit.picoseconds("DELA", n, "VALU")

    def _generator(self, n: int, depth: int) -> Times:
        start_ps, stop_ps = self._span
        link = self._unit.value("GEN", n, "TRIG:LINK")
        return self._unit.generators[n].events(start_ps - KEPT_PS, stop_ps, lambda: self._events(link, depth))

    def _record(self, n: int, depth: int) -> Times:
        start_ps = self._unit.recorder.start_ps
        return _NONE if start_ps is None else np.array([start_ps], np.int64)

    def _combiner(self, n: int, depth: int) -> Times:
        unit = self._unit
        outside = self._operation(n, "OPOU", depth)
        if unit.value("TSCO", n, "WIND:ENAB") != "ON":
            return outside
        inside = self._operation(n, "OPIN", depth)
        opened, closed = (
            self._events(unit.value("TSCO", n, f"WIND:{side}:LINK"), depth)
            + unit.picoseconds("TSCO", n, f"WIND:{side}:DELA")
            for side in ("BEGI", "END")
        )
        return _merged(inside[_is_open(inside, opened, closed)], outside[~_is_open(outside, opened, closed)])

    def _operation(self, n: int, key: str, depth: int) -> Times:
        unit, operation = self._unit, self._unit.value("TSCO", n, key)
        first, second = (unit.value("TSCO", n, f"{side}:LINK") for side in ("FIR", "SEC"))
        if operation == "MUTE":
            return _NONE
        if operation in ("ONLYFIR", "ONLYSEC"):
            return self._events(first if operation == "ONLYFIR" else second, depth)
        ones, others = self._events(first, depth), self._events(second, depth)
        return _merged(ones, others) if operation == "OR" else _together(ones, others)

    _blocks = {
        "INPU": _input, "STAR": _start, "DELA": _delay, "GEN": _generator, "REC": _record, "TSCO": _combiner,
    }  # fmt: skip


def plain_input(unit: "Id900", n: int) -> bool:
    """Tell whether an input shows what is at its connector."""
    return 1 <= n <= INPUTS and unit.value("INPU", n, "SELE") != "OUTPUT"


def since(references: Times, times: Times, *, itself: bool) -> tuple[Times, Times]:
    """Return times since the last reference, and its number; times before the first are left out.

    ``itself``: the references are the same events, and each is measured from the one before.
    """
    indices = np.searchsorted(references, times, side="left" if itself else "right")
    times, indices = times[indices > 0], indices[indices > 0]
    return times - references[indices - 1], indices


def _merged(ones: Times, others: Times) -> Times:
    return (
        np.sort(np.concatenate((ones, others)), kind="stable")
        if len(ones) and len(others)
        else (ones if len(ones) else others)
    )


def _together(ones: Times, others: Times) -> Times:
    """Return when both are there: the later of two events that are close."""
    if not len(ones) or not len(others):
        return _NONE
    before = np.clip(np.searchsorted(others, ones, side="right") - 1, 0, None)
    after = np.clip(before + 1, None, len(others) - 1)
    found = [
        np.maximum(ones, others[near])[np.abs(ones - others[near]) <= _OVERLAP_PS] for near in (before, after)
    ]
    return np.unique(np.concatenate(found))


def _is_open(times: Times, opened: Times, closed: Times) -> NDArray[np.bool_]:
    far = np.iinfo(np.int64).min
    last_opened = np.concatenate(([far], opened))[np.searchsorted(opened, times, side="right")]
    last_closed = np.concatenate(([far], closed))[np.searchsorted(closed, times, side="right")]
    return last_opened > last_closed
