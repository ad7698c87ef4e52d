"""What every codec of time tags does: bytes in pieces of any size in, batches out, and back.

A decoder keeps what is incomplete for the next piece, holds back tags that a later record could still precede,
and names the byte at which data are damaged after it has delivered everything before it.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from qhal.errors import DataError
from qhal.tags.batch import Gap, TagBatch
from qhal.tags.numbering import describe_all, ranges

Times = NDArray[np.int64]
Channels = NDArray[np.uint8]


class CodecOptions(BaseModel):
    """What a format leaves open; every field has a default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(slots=True)
class Piece:
    """Decoded records: tags, the time they prove to be covered, losses, and the first damaged record if any.

    ``ordered``: whether times ascend. ``bad``: index of a record that cannot be, with the reason in ``why``.
    """

    times_ps: Times
    channels: Channels
    reached_ps: int
    ordered: bool = True
    gaps: Sequence[Gap] = ()
    bad: int | None = None
    why: str = ""


class TagDecoder(ABC):
    """A streaming decoder of one format.

    ``source`` names the file or device in errors; ``offset`` is the byte at which the records begin;
    ``start_ps`` the time at which the measurement began, None when only its first tag tells.
    """

    record: ClassVar[np.dtype[Any]]
    disorder_ps: int = 0
    """How much earlier than a record a later one may be; tags of the last so many picoseconds are held back."""

    def __init__(self, source: str = "tags", offset: int = 0, start_ps: int | None = None) -> None:
        self._source = source
        self._offset = offset
        self._stop_ps = start_ps
        self._reached_ps: int | None = start_ps
        self._rest = b""
        self._held: tuple[Times, Channels] = (np.empty(0, np.int64), np.empty(0, np.uint8))
        self._error: DataError | None = None

    def feed(self, data: bytes | memoryview) -> TagBatch:
        """Return the batch that these bytes complete. Raises DataError once all before the damage was returned."""
        if self._error is not None:
            raise self._error
        joined = memoryview(self._rest + bytes(data)) if self._rest else memoryview(data)
        count, rest = divmod(len(joined), self.record.itemsize)
        records = np.frombuffer(joined, self.record, count)
        self._rest = bytes(joined[len(joined) - rest :]) if rest else b""
        piece = self._decode(records, len(self._held[0]))
        if piece.bad is not None:
            place = self._offset + piece.bad * self.record.itemsize
            self._error = DataError(f"{self._source}: {piece.why}", place)
        self._offset += count * self.record.itemsize
        return self._batch(piece)

    def finish(self) -> TagBatch:
        """Return what was held back; :meth:`verify` then tells whether the data ended well."""
        times, channels = self._held
        self._held = (times[:0], channels[:0])
        start = self._stop_ps or 0
        self._stop_ps = max([start, self._reached_ps or 0, *(times[-1:] + 1).tolist()])
        return TagBatch(times, channels, start, self._stop_ps)

    def verify(self) -> None:
        """Raise DataError when the data were damaged or end within a record."""
        if self._error is None and self._rest:
            size = self.record.itemsize
            why = f"cut after {len(self._rest)} of {size} bytes of a record"
            self._error = DataError(f"{self._source}: {why}", self._offset)
        if self._error is not None:
            raise self._error

    @abstractmethod
    def _decode(self, records: NDArray[Any], head: int) -> Piece:
        """Decode whole records into new arrays whose first ``head`` places stay free."""

    def _batch(self, piece: Piece) -> TagBatch:
        times, channels = piece.times_ps, piece.channels
        held, held_channels = self._held
        times[: len(held)], channels[: len(held)] = held, held_channels
        if not piece.ordered:
            order = np.argsort(times, kind="stable")
            times, channels = times[order], channels[order]
        first = int(times[0]) if len(times) else piece.reached_ps
        start = first if self._stop_ps is None else self._stop_ps
        reached = max(piece.reached_ps, self._reached_ps or start)
        stop = max(start, reached - self.disorder_ps)
        if self._error is not None:  # nothing will come that could belong before these
            stop = max([stop, *(times[-1:] + 1).tolist()])
        cut = int(np.searchsorted(times, stop))
        self._held = (times[cut:].copy(), channels[cut:].copy())
        self._stop_ps, self._reached_ps = stop, reached
        return TagBatch(times[:cut], channels[:cut], start, stop, gaps=tuple(piece.gaps))


class TagEncoder(ABC):
    """A streaming encoder of one format. ``channels``: what it can hold; ``drop_gaps``: write as if there were none."""

    channels: frozenset[int]
    format: ClassVar[str]
    holds_gaps: ClassVar[bool] = False
    drop_gaps: bool = False
    _epoch: int | None = None

    @abstractmethod
    def begin(self) -> bytes:
        """Return what stands before the records."""

    def encode(self, batch: TagBatch) -> bytes:
        """Return the records of a batch.

        Raises DataError for a channel, a gap or a further epoch that the format cannot hold.
        """
        if foreign := set(batch.counts()) - self.channels:
            raise DataError(
                f"{self.format} holds no {describe_all(foreign)}; it holds {ranges(self.channels)}"
            )
        if self._epoch is not None and batch.epoch != self._epoch:
            raise DataError(
                f"{self.format} holds one time base, and after epoch {self._epoch} comes {batch.epoch}"
            )
        self._epoch = batch.epoch
        if batch.gaps and not (self.holds_gaps or self.drop_gaps):
            gap = batch.gaps[0]
            raise DataError(
                f"{self.format} holds no gaps, and tags from {gap.start_ps} to {gap.stop_ps} ps are missing; "
                "written without its gaps, the file would look complete"
            )
        return self._encode(batch)

    @abstractmethod
    def _encode(self, batch: TagBatch) -> bytes: ...

    def amend(self) -> Sequence[tuple[int, bytes]]:
        """Return what to write over at the end: (byte, content), for headers that count the records."""
        return ()


def order_of(times: Times, disorder_ps: int, before_ps: int | None) -> tuple[bool, int | None]:
    """Tell whether times ascend, and the first that is more than ``disorder_ps`` before one ahead of it."""
    if not len(times):
        return True, None
    floor = times[0] if before_ps is None else before_ps
    if times[0] >= floor and not (times[1:] < times[:-1]).any():
        return True, None
    late = np.flatnonzero(np.maximum(np.maximum.accumulate(times), floor) - times > disorder_ps)
    return False, int(late[0]) if len(late) else None
