"""Channel numbers of a file that are not our own: mapped, skipped, or left out and told.

Products of one maker number their inputs in ways of their own (several coupled taggers, software channels, a first
input 0). A number that means nothing to us ends no file: its records are left out, the rest is read, and an error at
the end names them.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator

from qhal.tags.numbering import ALL, ranges

Channels = NDArray[np.uint8]
_RANGE = re.compile(r"(-?\d{1,10})(?:\.\.(-?\d{1,10}))?")
_MOST = 256
"""Numbers that an option may name, and different numbers that are told."""
OTHERS = "others"


def _numbers(text: str) -> Iterator[int]:
    found = _RANGE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not a channel; give a number or a range such as 101..118")
    first, last = int(found[1]), int(found[2] or found[1])
    if not 0 <= abs(last - first) < _MOST:
        raise ValueError(f"{text!r}: at most {_MOST} channels")
    # Falling edges have negative numbers: -1..-8 goes down.
    yield from range(first, last + 1) if first <= last else range(first, last - 1, -1)


def _map(given: Any) -> dict[int, int]:
    pairs = given.items() if isinstance(given, Mapping) else _pairs(str(given))
    found = {}
    for number, channel in pairs:
        if channel not in ALL:
            raise ValueError(f"{number}: channel {channel} does not exist; allowed are {ranges(ALL)}")
        found[int(number)] = int(channel)
    return found


def _pairs(text: str) -> Iterator[tuple[int, int]]:
    for part in filter(None, text.split(",")):
        numbers, colon, channel = part.rpartition(":")
        if not colon:
            raise ValueError(f"{part!r}: give NUMBER:CHANNEL or FIRST..LAST:CHANNEL")
        (begin,) = _numbers(channel)
        yield from ((number, begin + n) for n, number in enumerate(_numbers(numbers)))


def _skip(given: Any) -> frozenset[int | str]:
    if isinstance(given, frozenset | set | list | tuple):
        return frozenset(given)
    parts = [part.strip() for part in str(given).split(",") if part.strip()]
    numbers = (number for part in parts if part != OTHERS for number in _numbers(part))
    return frozenset((*numbers, *(part for part in parts if part == OTHERS)))


Mapped = Annotated[dict[int, int], BeforeValidator(_map)]
"""An option: ``101..118:1,-201:121``, numbers in the file to channels."""
Skipped = Annotated[frozenset[int | Literal["others"]], BeforeValidator(_skip)]
"""An option: ``1001,1010..1020``, or ``others`` for all that are neither usual nor mapped."""


class ChannelMap:
    """What is done with the numbers of one file. ``left_out``: records by numbers that mean nothing here."""

    def __init__(self, mapped: Mapping[int, int], skipped: frozenset[int | str]) -> None:
        self._mapped = mapped
        self._skipped = sorted(each for each in skipped if isinstance(each, int))
        self._skips_others = OTHERS in skipped
        self.left_out: Counter[int] = Counter()
        self.uncounted = 0

    def __bool__(self) -> bool:
        return bool(self._mapped or self._skipped)

    def apply(
        self, numbers: NDArray[Any], channels: Channels, known: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.bool_] | None, int | None]:
        """Change ``channels`` by the ``numbers`` in the file.

        ``known``: which of them mean a channel anyway, None for all. Returns which are kept (None: all), and the
        first that is left out without being asked for.
        """
        if not self and known is None:
            return None, None
        kept = np.ones(len(numbers), bool) if known is None else known.copy()
        others = ~kept
        for number, channel in self._mapped.items():
            places = numbers == number
            channels[places], kept[places], others[places] = channel, True, False
        for number in self._skipped:
            places = numbers == number
            kept[places] = others[places] = False
        if self._skips_others or not others.any():
            return kept, None
        for number, count in zip(*np.unique(numbers[others], return_counts=True), strict=True):
            if number in self.left_out or len(self.left_out) < _MOST:
                self.left_out[int(number)] += int(count)
            else:
                self.uncounted += int(count)
        return kept, int(np.flatnonzero(others)[0])

    def told(self) -> str:
        """Return what was left out, in words."""
        several = self.left_out.most_common(8)
        shown = ", ".join(f"channel {number} ({count} of the records)" for number, count in several)
        more = self.left_out.total() + self.uncounted - sum(count for _, count in several)
        return f"left out: {shown}{f', others ({more} records)' if more else ''}"
