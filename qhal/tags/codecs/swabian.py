"""Raw dumps of Swabian Instruments time taggers."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qhal.errors import DataError
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
from qhal.tags.numbering import LAST_INPUT, falling, input_of

_RECORD = np.dtype(
    [("type", "u1"), ("reserved", "u1"), ("missed", "<u2"), ("channel", "<i4"), ("time", "<i8")]
)


class SwabianOptions(CodecOptions):
    """Numbers of the record types, in the order tag, error, overflow begins, ends, missed events."""

    types: tuple[int, int, int, int, int] = (0, 1, 2, 3, 4)


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
        return Piece(times, numbers, reached, ordered, gaps, bad, why, disorder, strange)

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
                gaps.append(Gap(start, time, int(note["missed"]), Loss.EXACT, (channel,)))
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


class SwabianEncoder(TagEncoder):
    """Write a Swabian raw dump; gaps of known size become overflows with missed events."""

    format = "swabian-dump"
    holds_gaps = True
    channels = frozenset((*range(1, LAST_INPUT + 1), *range(falling(1), falling(LAST_INPUT) + 1)))

    def __init__(self, options: SwabianOptions | None = None) -> None:
        self._types = (options or SwabianOptions()).types

    def begin(self) -> bytes:
        """Return nothing: there is no header."""
        return b""

    def _encode(self, batch: TagBatch) -> bytes:
        self._check_times(batch.times_ps, MAX_PS, -MAX_PS)
        tags = np.zeros(len(batch), _RECORD)
        tags["type"], tags["time"] = self._types[0], batch.times_ps
        numbers = batch.channels.astype(np.int32)
        tags["channel"] = np.where(numbers > LAST_INPUT, falling(1) - 1 - numbers, numbers)
        notes = self._notes(batch.gaps)
        if not notes:
            return tags.tobytes()
        every = np.concatenate((tags, np.array(notes, _RECORD)))
        _, error, begins, ends, missed = self._types
        rank = np.array(
            [{error: 0, begins: 1, missed: 2, ends: 3}.get(int(kind), 4) for kind in every["type"]]
        )
        return every[np.lexsort((rank, every["time"]))].tobytes()

    def _notes(self, gaps: Sequence[Gap]) -> Sequence[tuple[int, int, int, int, int]]:
        """Return the records of the gaps: overlapping ones are one overflow, each with its missed events."""
        _, error, begins, ends, missed = self._types
        lines, reach = [], None
        for gap in sorted(gaps, key=lambda gap: gap.start_ps):
            if gap.loss in (Loss.UNKNOWN, Loss.PAUSED):
                lines.append((error, 0, 0, 0, gap.stop_ps))
                continue
            if gap.missed and len(gap.channels) != 1:
                raise DataError(f"{self.format} counts missed events by channel, {gap} does not")
            if reach is None or gap.start_ps > reach:
                if reach is not None:
                    lines.append((ends, 0, 0, 0, reach))
                lines.append((begins, 0, 0, 0, gap.start_ps))
            reach = gap.stop_ps if reach is None else max(reach, gap.stop_ps)
            if gap.missed:
                channel = gap.channels[0]
                number = -(input_of(channel) or 0) if channel > LAST_INPUT else channel
                parts = [65535] * (gap.missed // 65535) + [gap.missed % 65535]
                lines += [(missed, 0, part, number, gap.stop_ps) for part in parts]
        return lines if reach is None else [*lines, (ends, 0, 0, 0, reach)]
