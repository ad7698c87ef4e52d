"""What every codec of time tags does: bytes in pieces of any size in, batches out, and back.

A decoder keeps what is incomplete for the next piece, holds back tags that a later record could still precede,
and names the byte at which data are damaged after it has delivered everything before it.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from qhal.errors import DataError
from qhal.tags.batch import Gap, Loss, TagBatch
from qhal.tags.codecs.channel_map import ChannelMap, Mapped, Skipped
from qhal.tags.codecs.units import MAX_PS, Times
from qhal.tags.numbering import describe_all, ranges

Channels = NDArray[np.uint8]

_MOST_HELD = 1 << 24
"""Tags that are held back at most: 150 MB."""
_SMALLEST = -(2**63)


class CodecOptions(BaseModel):
    """What a format leaves open; every field has a default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ReadingOptions(CodecOptions):
    """What every reader of a tagger's records can be asked.

    ``disorder_ps``: how much earlier than a record a later one may be, up to 1 s (default: what files of the format
    keep). ``map``: channels of numbers in the file, ``101..118:1``. ``skip``: numbers to leave out, or ``others``.
    """

    disorder_ps: Annotated[int, Field(ge=0, le=10**12)] | None = None
    map: Mapped = Field(default_factory=dict)
    skip: Skipped = frozenset()


@dataclass(slots=True)
class Disorder:
    """How far from ascending order the records were: how many came late, and by how much at most."""

    late: int = 0
    furthest_ps: int = 0

    def add(self, other: "Disorder") -> None:
        """Take in what another piece shows."""
        self.late += other.late
        self.furthest_ps = max(self.furthest_ps, other.furthest_ps)


@dataclass(slots=True)
class Piece:
    """Decoded records: tags, the time they prove to be covered, losses, and the first damaged record if any.

    ``ordered``: whether times ascend. ``bad``: index of a record that cannot be, with the reason in ``why``.
    ``strange``: index of the first record whose channel means nothing.
    """

    times_ps: Times
    channels: Channels
    reached_ps: int
    ordered: bool = True
    gaps: Sequence[Gap] = ()
    bad: int | None = None
    why: str = ""
    disorder: Disorder = dataclass_field(default_factory=Disorder)
    strange: int | None = None


class TagDecoder(ABC):
    """A streaming decoder of one format.

    ``source`` names the file or device in errors; ``offset`` is the byte at which the records begin;
    ``start_ps`` the time at which the measurement began, None to take that of its first tag.
    ``disorder``: how far from ascending order the records were so far; tags are handed out in order.
    """

    record: ClassVar[np.dtype[Any]]
    usual_disorder_ps: ClassVar[int] = 0
    """How late records of real files are."""
    own_numbers: ClassVar[bool] = False
    """Whether the format's channel numbers are not ours, and its decoder maps them."""

    def __init__(
        self,
        options: ReadingOptions | None = None,
        source: str = "tags",
        offset: int = 0,
        start_ps: int | None = None,
    ) -> None:
        reading = options or ReadingOptions()
        self.disorder_ps = self.usual_disorder_ps if reading.disorder_ps is None else reading.disorder_ps
        self.disorder = Disorder()
        self._map = ChannelMap(reading.map, reading.skip)
        self._source = source
        self._offset = offset
        self._stop_ps = start_ps
        self._reached_ps: int | None = start_ps
        self._rest = b""
        self._held: tuple[Times, Channels, tuple[Gap, ...]] = (
            np.empty(0, np.int64),
            np.empty(0, np.uint8),
            (),
        )
        self._error: DataError | None = None
        self._strange_at: int | None = None

    def feed(self, data: bytes | memoryview) -> TagBatch:
        """Return the batch that these bytes complete. Raises DataError once all before the damage was returned.

        Before the first tag is settled batches are empty, and may begin later than the first that is not.
        """
        if self._error is not None:
            raise self._error
        joined = memoryview(self._rest + bytes(data)) if self._rest else memoryview(data)
        count, rest = divmod(len(joined), self.record.itemsize)
        records = np.frombuffer(joined, self.record, count)
        self._rest = bytes(joined[len(joined) - rest :]) if rest else b""
        head = len(self._held[0])
        piece = self._decode(records, head)
        if self._map and not self.own_numbers:
            self._apply_map(piece, head)
        if piece.bad is not None:
            self._error = DataError(f"{self._source}: {piece.why}", self._place(piece.bad))
        if piece.strange is not None and self._strange_at is None:
            self._strange_at = self._place(piece.strange)
        self._offset += count * self.record.itemsize
        self.disorder.add(piece.disorder)
        return self._batch(piece)

    def finish(self) -> TagBatch:
        """Return what was held back; :meth:`verify` then raises unless the data ended well."""
        times, channels, gaps = self._held
        self._held = (times[:0], channels[:0], ())
        start = self._stop_ps if self._stop_ps is not None else int(times[0]) if len(times) else 0
        self._stop_ps = max(start, self._covered_ps, _after(times))
        return TagBatch(times, channels, start, self._stop_ps, gaps=gaps)

    def verify(self) -> None:
        """Raise DataError when the data were damaged, end within a record, or held channels that mean nothing."""
        if self._error is None and self._rest:
            size = self.record.itemsize
            why = f"cut after {len(self._rest)} of {size} bytes of a record"
            self._error = DataError(f"{self._source}: {why}", self._offset)
        if self._error is None and (missing := self._missing()):
            self._error = DataError(f"{self._source}: {missing}", self._offset)
        if self._error is None and self._strange_at is not None:
            why = f"{self._map.told()}; a number that means nothing here wants map= or skip="
            self._error = DataError(f"{self._source}: {why}", self._strange_at)
        if self._error is not None:
            raise self._error

    @abstractmethod
    def _decode(self, records: NDArray[Any], head: int) -> Piece:
        """Decode whole records into new arrays whose first ``head`` places stay free."""

    def _missing(self) -> str:
        """Tell what a header promised and did not come, nothing when all did."""
        return ""

    @property
    def _covered_ps(self) -> int:
        """The time up to which the records go."""
        return self._reached_ps or 0

    def _place(self, record: int) -> int:
        """Return the byte at which a record of the piece stands that is being decoded."""
        return self._offset + record * self.record.itemsize

    def _apply_map(self, piece: Piece, head: int) -> None:
        channels = piece.channels[head:]
        kept, _ = self._map.apply(channels.copy(), channels, None)
        if kept is not None and not kept.all():
            kept = np.concatenate((np.ones(head, bool), kept))
            piece.times_ps, piece.channels = piece.times_ps[kept], piece.channels[kept]

    def _batch(self, piece: Piece) -> TagBatch:
        times, channels = piece.times_ps, piece.channels
        held, held_channels, held_gaps = self._held
        times[: len(held)], channels[: len(held)] = held, held_channels
        if not piece.ordered:
            order = np.argsort(times, kind="stable")
            times, channels = times[order], channels[order]
        reached = max(piece.reached_ps, piece.reached_ps if self._reached_ps is None else self._reached_ps)
        start = self._stop_ps if self._stop_ps is not None else int(times[0]) if len(times) else reached
        stop = max(start, reached - self.disorder_ps)
        if len(times) - int(np.searchsorted(times, stop)) > _MOST_HELD and self._error is None:
            why = f"more than {_MOST_HELD} tags within {self.disorder_ps} ps, which may be out of order"
            self._error = DataError(f"{self._source}: {why}", self._offset)
        if self._error is not None:  # nothing will come that could belong before these
            stop = max(stop, _after(times))
        end = max(stop, reached, _after(times))
        whole = TagBatch(times, channels, start, end, gaps=(*held_gaps, *piece.gaps))
        batch, rest = whole.split(stop)
        self._held = (rest.times_ps.copy(), rest.channels.copy(), rest.gaps)
        if self._stop_ps is not None or len(batch) or batch.gaps:
            self._stop_ps = stop
        self._reached_ps = reached
        return batch


def _after(times: Times) -> int:
    """Return the end of the span of times that ascend, 0 when there is none."""
    return int(times[-1]) + 1 if len(times) else 0


class TagEncoder(ABC):
    """A streaming encoder of one format.

    ``channels``: the numbers it can hold; ``drop_gaps``: leave out gaps that it cannot hold. ``paused_ps``: pauses of
    the tagger in what was written, which no format of a tagger says. ``rounded_ps``: how much earlier than its tag a
    time is written at most, where the format has coarser steps.
    """

    channels: frozenset[int]
    format: ClassVar[str]
    holds_gaps: ClassVar[bool] = False
    drop_gaps: bool = False
    paused_ps: int = 0
    rounded_ps: int = 0
    _epoch: int | None = None

    def begin(self) -> bytes:
        """Return the header, empty in most formats."""
        return b""

    def encode(self, batch: TagBatch) -> bytes:
        """Return the records of a batch.

        Raises DataError for a channel, a time, a gap or a further epoch that the format cannot hold. Batches are in
        order: :meth:`TagBatch.check`.
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
        if not self.holds_gaps:
            self._leave_out(batch.gaps)
        self._note_pauses(batch.gaps)
        return self._encode(batch)

    @abstractmethod
    def _encode(self, batch: TagBatch) -> bytes: ...

    def amend(self) -> Sequence[tuple[int, bytes]]:
        """Return what to write over at the end: (byte, content), for headers that count the records."""
        return ()

    def _leave_out(self, gaps: Sequence[Gap], kind: str = "gaps") -> None:
        lost = [gap for gap in gaps if gap.loss != Loss.PAUSED]
        if lost and not self.drop_gaps:
            raise DataError(
                f"{self.format} holds no {kind}, and tags from {lost[0].start_ps} to {lost[0].stop_ps} ps are "
                "missing; written without its gaps (--drop-gaps, drop_gaps=True) the file looks complete"
            )

    def _note_pauses(self, gaps: Sequence[Gap]) -> None:
        self.paused_ps += sum(gap.stop_ps - gap.start_ps for gap in gaps if gap.loss == Loss.PAUSED)

    def _note_rounding(self, times: Times, written: Times) -> None:
        self.rounded_ps = max(self.rounded_ps, int((times - written).max(initial=0)))

    def _check_times(self, times: Times, last_ps: int, first_ps: int = 0) -> None:
        """Raise DataError unless ascending times lie between the first and the last that a record holds."""
        for outside in (times[:1][times[:1] < first_ps], times[-1:][times[-1:] > last_ps]):
            if len(outside):
                raise DataError(
                    f"{self.format} holds times of {first_ps} to {last_ps} ps, not {outside[0]} ps"
                )


def lateness(times: Times, before_ps: int) -> Disorder:
    """Return how far out of ascending order times behind ``before_ps`` are."""
    behind = np.maximum(np.maximum.accumulate(times), before_ps) - times
    return Disorder(int(np.count_nonzero(behind)), int(behind.max(initial=0)))


def order_of(times: Times, disorder_ps: int, before_ps: int | None) -> tuple[bool, int | None, Disorder, str]:
    """Tell whether times ascend, the first that cannot be and why, and how far out of order those before it are.

    A time cannot be when it is more than ``disorder_ps`` before one ahead of it, or beyond ``MAX_PS``, or so far
    after the first that the difference does not fit in 64 bits.
    """
    if not len(times):
        return True, None, Disorder(), ""
    floor = int(times[0]) if before_ps is None else before_ps
    latest = min(floor + MAX_PS, MAX_PS)
    if times[0] >= floor and not (times[1:] < times[:-1]).any() and times[-1] <= latest:
        return True, None, Disorder(), ""
    highest = np.maximum(np.maximum.accumulate(times), floor)
    early = times < np.maximum(highest, _SMALLEST + disorder_ps) - disorder_ps
    wrong = np.flatnonzero(early | (times > latest))
    bad = int(wrong[0]) if len(wrong) else None
    disorder = lateness(times[:bad], floor)
    why = ""
    if bad is not None:
        time, back = int(times[bad]), int(highest[bad]) - int(times[bad])
        why = f"time {time} ps is {back} ps before an earlier record, more than disorder_ps={disorder_ps}"
        if not early[bad]:
            why = (
                f"a time beyond 2^63 ps: {time} ps"
                if floor >= 0
                else f"time {time} ps is 2^63 ps after {floor} ps"
            )
    return not disorder.late, bad, disorder, why
