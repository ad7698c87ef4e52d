"""Formats whose records are one tag each."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from qhal.tags.codecs.codec import Channels, Piece, TagDecoder, order_of
from qhal.tags.codecs.units import Times
from qhal.tags.numbering import LAST_INPUT

Input = Annotated[int, Field(ge=1, le=LAST_INPUT)]


@dataclass(slots=True)
class Columns:
    """What records say: times, channels, and the first that cannot be with the reason.

    ``numbers``: the channels as they stand in the file, ``known``: whether they mean one; None where all do.
    """

    times_ps: Times
    channels: Channels
    bad: int | None = None
    why: str = ""
    numbers: NDArray[Any] | None = None
    known: NDArray[np.bool_] | None = None


class PlainDecoder(TagDecoder):
    """Records that are one tag each; late ones are what inputs with cables and buffers of their own show."""

    usual_disorder_ps: ClassVar[int] = 1_000_000

    def _decode(self, records: NDArray[Any], head: int) -> Piece:
        found = self._columns(records)
        times, channels = found.times_ps[: found.bad], found.channels[: found.bad]
        places, strange = None, None
        if found.numbers is not None:
            known = None if found.known is None else found.known[: found.bad]
            kept, strange = self._map.apply(found.numbers[: found.bad], channels, known)
            if kept is not None:
                places = np.flatnonzero(kept)
                times, channels = times[places], channels[places]
        ordered, bad, disorder, why = order_of(times, self.disorder_ps, self._reached_ps)
        if bad is not None:
            times, channels = times[:bad], channels[:bad]
            found.bad, found.why = bad if places is None else int(places[bad]), why
        out = np.empty(head + len(times), np.int64), np.empty(head + len(times), np.uint8)
        out[0][head:], out[1][head:] = times, channels
        reached = int(times.max()) if len(times) else self._reached_ps or 0
        return Piece(
            times_ps=out[0],
            channels=out[1],
            reached_ps=reached,
            ordered=ordered and not head,
            bad=found.bad,
            why=found.why,
            disorder=disorder,
            strange=strange,
        )

    def _columns(self, records: NDArray[Any]) -> Columns:
        """Return what the records say."""
        raise NotImplementedError
