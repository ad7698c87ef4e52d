"""Formats whose records are one tag each."""

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from qhal.tags.codecs.codec import Channels, Piece, TagDecoder, Times, order_of
from qhal.tags.numbering import LAST_INPUT

Input = Annotated[int, Field(ge=1, le=LAST_INPUT)]


class PlainDecoder(TagDecoder):
    """Records that are one tag each. ``disorder_ps`` is what inputs with cables of their own may show."""

    disorder_ps = 1_000_000

    def _decode(self, records: NDArray[Any], head: int) -> Piece:
        times, channels, bad, why = self._columns(records)
        end = len(records) if bad is None else bad
        ordered, late = order_of(times[:end], self.disorder_ps, self._reached_ps)
        if late is not None:
            end = bad = late
            why = f"time {times[late]} ps is {_before(times, late, self._reached_ps)} ps before an earlier record"
        out = np.empty(head + end, np.int64), np.empty(head + end, np.uint8)
        out[0][head:], out[1][head:] = times[:end], channels[:end]
        reached = int(times[:end].max()) if end else self._reached_ps or 0
        return Piece(*out, reached, ordered and not head, (), bad, why)

    def _columns(self, records: NDArray[Any]) -> tuple[Times, Channels, int | None, str]:
        """Return times, channels, and the first impossible record with the reason."""
        raise NotImplementedError


def _before(times: Times, place: int, reached_ps: int | None) -> int:
    latest = int(times[: place + 1].max())
    return max(latest, reached_ps if reached_ps is not None else latest) - int(times[place])
