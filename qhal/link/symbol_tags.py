"""Tags by symbol of the sender, and the events of the clock that made them."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

import numpy as np
from numpy.typing import NDArray


class ClockEventKind(StrEnum):
    """What happened to the lock on the sender's clock."""

    ACQUIRED = "acquired"
    GAP = "gap"
    STEP = "phase step"
    SLIP = "symbol slip"
    FADED = "faded"


@dataclass(frozen=True)
class ClockEvent:
    """Something that interrupted or restored the lock, at a time of the tagger.

    ``shift_ps``: for ACQUIRED, how much later than predicted the pattern came, modulo its duration (None when
    there was no prediction); for STEP the phase seen, modulo a symbol period; else None.
    """

    kind: ClockEventKind
    time_ps: int
    shift_ps: float | None = None


@dataclass(frozen=True, eq=False)
class SymbolTags:
    """Tags by symbol, ascending, complete for the symbols ``[start, stop)``.

    A symbol's slot is one period long and begins half a ``window_ps`` before its pulse: so nothing that
    happens earlier in a slot can hide a click in its window. ``offsets_ps``: float32, tag less pulse.
    ``detectors``: uint8, ``2 * basis + bit``. Symbol numbers grow over the whole stream; modulo the length of
    the pattern they are the place in it. Tags of symbol ``stop`` may be included, its rest then follows in
    the next piece; a piece whose ``start`` is not the last one's ``stop`` comes after a gap.
    """

    symbols: NDArray[np.int64]
    detectors: NDArray[np.uint8]
    offsets_ps: NDArray[np.float32]
    start: int
    stop: int
    window_ps: float

    def __len__(self) -> int:
        return len(self.symbols)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Join pieces of which each begins where the last one stops."""
        return cls(
            np.concatenate([part.symbols for part in parts]),
            np.concatenate([part.detectors for part in parts]),
            np.concatenate([part.offsets_ps for part in parts]),
            parts[0].start,
            parts[-1].stop,
            parts[0].window_ps,
        )
