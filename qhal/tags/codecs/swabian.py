"""Raw dumps of Swabian Instruments time taggers."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from qhal.tags.batch import Gap, Loss, TagBatch
from qhal.tags.codecs.codec import (
    Channels,
    CodecOptions,
    Piece,
    ReadingOptions,
    TagDecoder,
    TagEncoder,
    order_of,
)
from qhal.tags.codecs.units import MAX_PS
from qhal.tags.numbering import LAST_INPUT, falling

_RECORD = np.dtype(
    [("type", "u1"), ("reserved", "u1"), ("missed", "<u2"), ("channel", "<i4"), ("time", "<i8")]
)


def _all_different(types: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(types)) < len(types):
        raise ValueError("give five different numbers")
    return types


_Number = Annotated[int, Field(ge=0, le=255)]


_MOST_MISSED = 1 << 32
"""Missed events of one gap: a record counts 65,535, and a megabyte of them is enough."""


class SwabianOptions(CodecOptions):
    """Numbers of the record types, in the order tag, error, overflow begins, ends, missed events."""

    types: Annotated[tuple[_Number, _Number, _Number, _Number, _Number], AfterValidator(_all_different)] = (
        0, 1, 2, 3, 4,
    )  # fmt: skip


class SwabianReading(SwabianOptions, ReadingOptions):
    """How to read a dump: numbers of several coupled taggers, of software channels and from 0 on want ``map``."""


class SwabianDecoder(TagDecoder):
    """Swabian raw dump: 16 bytes per record; overflows become gaps with the count of missed events.

    Source: the vendor's ``Tag`` structure (type, missed events, channel, time).
    """

    record = _RECORD
    own_numbers = True

    def __init__(self, options: SwabianReading | None = None, **where: Any) -> None:
        super().__init__(options, **where)
        self._types = (options or SwabianReading()).types
        self._overflow_ps: int | None = None

    def _decode(self, records: NDArray[Any], head: int) -> Piece:
        records, bad, why = self._of_known_types(records)
        channels = _as_channels(records["channel"])
        counts = (records["type"] == self._types[0]) | (records["type"] == self._types[4])
        known = ~counts | (channels > 0)
        kept, strange = self._map.apply(records["channel"], channels, None if known.all() else known)
        places = None
        if kept is not None:
            places = np.flatnonzero(kept | ~counts)
            records, channels = records[places], channels[places]
        ordered, late, disorder, when = order_of(records["time"], self.disorder_ps, self._reached_ps)
        if late is not None:
            records, channels = records[:late], channels[:late]
            bad, why = late if places is None else int(places[late]), when
        tag = records["type"] == self._types[0]
        tags = records if tag.all() else records[tag]
        times = np.empty(head + len(tags), np.int64)
        numbers = np.empty(head + len(tags), np.uint8)
        times[head:], numbers[head:] = tags["time"], channels if tag.all() else channels[tag]
        highest = np.maximum.accumulate(records["time"])
        reached = int(highest[-1]) if len(records) else self._reached_ps or 0
        before = np.concatenate(([self._reached_ps or 0], highest[:-1]))[~tag]
        gaps = self._gaps(zip(records[~tag], channels[~tag].tolist(), before.tolist(), strict=True), reached)
        ordered = ordered and (self.disorder_ps == 0 or not head)
        return Piece(
            times_ps=times,
            channels=numbers,
            reached_ps=reached,
            ordered=ordered,
            gaps=gaps,
            bad=bad,
            why=why,
            disorder=disorder,
            strange=strange,
        )

    def _of_known_types(self, records: NDArray[Any]) -> tuple[NDArray[Any], int | None, str]:
        wrong = np.flatnonzero(~np.isin(records["type"], self._types))
        if not len(wrong):
            return records, None, ""
        bad = int(wrong[0])
        return records[:bad], bad, f"no record type {records['type'][bad]}"

    def _gaps(self, notes: Iterable[tuple[Any, int, int]], reached_ps: int) -> Sequence[Gap]:
        gaps: list[Gap] = []
        for note, channel, before in notes:
            kind, time = int(note["type"]), int(note["time"])
            before = min(before, time)
            if kind == self._types[1]:
                gaps.append(Gap(before, time))
            elif kind == self._types[2]:
                self._overflow_ps = time
            elif kind == self._types[4]:
                start = min(self._overflow_ps if self._overflow_ps is not None else time, time)
                gaps.append(
                    Gap(
                        start_ps=start,
                        stop_ps=time,
                        missed=int(note["missed"]),
                        loss=Loss.EXACT,
                        channels=(channel,),
                    )
                )
            elif self._overflow_ps is not None:
                gaps.append(Gap(min(self._overflow_ps, time), time, 0, Loss.EXACT))
                self._overflow_ps = None
        if self._overflow_ps is not None:
            gaps.append(Gap(min(self._overflow_ps, reached_ps), reached_ps, 0, Loss.EXACT))
            self._overflow_ps = reached_ps
        return gaps


def _as_channels(numbers: NDArray[np.int32]) -> Channels:
    """Return the channels that numbers mean, 0 for those that mean none."""
    wide = numbers.astype(np.int64)
    channels = np.where(wide < 0, falling(1) - 1 - wide, wide)
    channels[(wide > LAST_INPUT) | (wide < -LAST_INPUT)] = 0
    return channels.astype(np.uint8)


def _as_numbers(channels: Channels) -> NDArray[np.int32]:
    """Return the numbers of channels in a dump."""
    numbers = channels.astype(np.int32)
    return np.where(numbers > LAST_INPUT, falling(1) - 1 - numbers, numbers).astype(np.int32)


class SwabianEncoder(TagEncoder):
    """Write a Swabian raw dump; gaps become overflows, missed events of one input within them, and errors.

    An overflow concerns all inputs, and its missed events are exact. A gap of unknown size becomes an error, read as a
    gap that begins at the record before it. Other gaps are refused.
    """

    format = "swabian-dump"
    holds_gaps = True
    channels = frozenset((*range(1, LAST_INPUT + 1), *range(falling(1), falling(LAST_INPUT) + 1)))

    def __init__(self, options: SwabianOptions | None = None) -> None:
        self._types = (options or SwabianOptions()).types

    def _encode(self, batch: TagBatch) -> bytes:
        self._check_times(batch.times_ps, MAX_PS, -MAX_PS)
        tags = np.zeros(len(batch), _RECORD)
        tags["type"], tags["time"] = self._types[0], batch.times_ps
        tags["channel"] = _as_numbers(batch.channels)
        notes = self._notes(batch)
        if not notes:
            return tags.tobytes()
        every = np.concatenate((tags, np.array(notes, _RECORD)))
        _, error, begins, ends, missed = self._types
        rank = np.full(256, 4)
        rank[[error, begins, missed, ends]] = 0, 1, 2, 3
        return every[np.lexsort((rank[every["type"]], every["time"]))].tobytes()

    def _notes(self, batch: TagBatch) -> Sequence[tuple[int, int, int, int, int]]:
        """Return the records of the gaps."""
        _, error, begins, ends, missed = self._types
        lost = [gap for gap in batch.gaps if gap.loss != Loss.PAUSED]
        inside = [
            gap
            for gap in lost
            if batch.start_ps <= gap.start_ps and gap.stop_ps <= min(batch.stop_ps, MAX_PS)
        ]
        overflows = _union((gap.start_ps, gap.stop_ps) for gap in inside if _is_overflow(gap))
        starts = [start for start, _ in overflows]
        lines: list[tuple[int, int, int, int, int]] = []
        foreign = lost if len(inside) < len(lost) else []
        for start, stop in overflows:
            lines += [(begins, 0, 0, 0, start), (ends, 0, 0, 0, stop)]
        for gap in inside:
            before = bisect_right(starts, gap.start_ps) - 1
            within = before >= 0 and gap.stop_ps <= overflows[before][1]
            if _is_error(gap):
                lines.append((error, 0, 0, 0, gap.stop_ps))
            elif self._counts_missed(gap) and (within or gap.start_ps == gap.stop_ps):
                (number,) = _as_numbers(np.array(gap.channels, np.uint8)).tolist()
                full, rest = divmod(gap.missed, 65535)
                counts = [65535] * full + [rest] * (rest > 0 or not full)
                lines += [(missed, 0, count, number, gap.stop_ps) for count in counts]
            elif not _is_overflow(gap):
                foreign.append(gap)
        self._leave_out(foreign, "such gaps")
        return lines

    def _counts_missed(self, gap: Gap) -> bool:
        exact = gap.loss == Loss.EXACT and gap.missed <= _MOST_MISSED
        return exact and len(gap.channels) == 1 and gap.channels[0] in self.channels


def _is_overflow(gap: Gap) -> bool:
    return gap.loss == Loss.EXACT and not gap.channels and not gap.missed


def _is_error(gap: Gap) -> bool:
    return gap.loss == Loss.UNKNOWN and not gap.channels and not gap.missed


def _union(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the spans with those joined that overlap or touch."""
    joined: list[tuple[int, int]] = []
    for start, stop in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], stop)
        else:
            joined.append((start, stop))
    return joined
