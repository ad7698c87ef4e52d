"""PicoQuant PTU files as batches in picoseconds. Records as they stand are in :mod:`qhal.tags.codecs.picoquant`."""

import struct
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qhal.errors import ConfigurationError, DataError
from qhal.tags.batch import TagBatch
from qhal.tags.codecs.codec import (
    CodecOptions,
    Disorder,
    Piece,
    ReadingOptions,
    TagDecoder,
    TagEncoder,
    lateness,
    order_of,
)
from qhal.tags.codecs.picoquant import LAYOUTS, MARKER_BITS, decode_words, encode_words
from qhal.tags.codecs.ptu_header import PtuHeader, build_header, longest_ps
from qhal.tags.codecs.units import MAX_PS, Times, Unit, last_tick, last_time, to_ps, to_ticks
from qhal.tags.numbering import SYNC, describe, marker

_T2_DISORDER_PS = 1_000_000
_MOST_OVERFLOWS = 1 << 24
"""Overflow words in one batch, 64 MB: more are hardly meant."""


class PtuOptions(CodecOptions):
    """How to write: the record type, its resolution, and for T3 the sync period."""

    record_type: str = "Generic T2"
    resolution_ps: Unit = Fraction(1)
    sync_period_ps: Unit = Fraction(12_500)


class PtuDecoder(TagDecoder):
    """T2 and T3 records behind a header. T3 times are those of sync and delay together.

    Delays of T3 records reach beyond a sync period, so tags of the longest delay are held back and put in order.
    """

    record = np.dtype("<u4")

    def __init__(
        self, header: PtuHeader, options: ReadingOptions | None = None, source: str = "tags"
    ) -> None:
        super().__init__(options, source, header.length, 0)
        self.header = header
        self._overflow = self._latest = self._read = 0
        layout = header.layout
        given = (options or ReadingOptions()).disorder_ps
        self._late_ps = (0 if layout.is_t3 else _T2_DISORDER_PS) if given is None else given
        longest = longest_ps(header)
        self.disorder_ps = self._late_ps + longest
        self._last_tick = min(last_tick(header.tick_ps, MAX_PS - longest), 2**63 - 1)

    def _decode(self, records: NDArray[Any], head: int) -> Piece:
        header = self.header
        surplus = 0 < header.count < self._read + len(records)
        if surplus:
            records = records[: header.count - self._read]
        self._read += len(records)
        tolerance = int(self._late_ps / header.tick_ps)
        found = decode_words(
            records, header.layout, self._overflow, self._latest, tolerance, head, self._last_tick
        )
        self._overflow = found.overflow
        if len(found.ticks) > head:
            self._latest = max(
                self._latest, int(found.ticks[head:].max() if not found.ordered else found.ticks[-1])
            )
        times = to_ps(found.ticks, header.tick_ps)
        disorder = Disorder() if found.ordered else lateness(times[head:], self._reached_ps or 0)
        ordered = found.ordered
        if header.layout.is_t3:
            times = times + to_ps(found.dtimes.astype(np.int64), header.dtime_ps)
            ordered = order_of(times[head:], self.disorder_ps, self._reached_ps)[0]
        reached = int(to_ps(np.array([max(self._latest, self._overflow)]), header.tick_ps)[0])
        piece = Piece(
            times_ps=times,
            channels=found.channels,
            reached_ps=reached,
            ordered=ordered and not head,
            gaps=(),
            bad=found.bad,
            why="",
            disorder=disorder,
        )
        if found.bad is not None:
            piece.why = self._reason(int(records[found.bad]))
        elif surplus:
            piece.bad, piece.why = len(records), f"the header counts {header.count} records, and more follow"
        return piece

    def _reason(self, word: int) -> str:
        name = self.header.layout.name
        return (
            f"word 0x{word:08x} is not a record of a {name}, more than disorder_ps={self._late_ps} early, "
            "or beyond 2^63 ps"
        )

    def _missing(self) -> str:
        if self._read < self.header.count:
            return f"{self._read} of {self.header.count} records that the header counts: the rest is missing"
        return ""


class PtuEncoder(TagEncoder):
    """Write T2 or T3 records of any of the twelve types."""

    format = "ptu"

    def __init__(self, options: PtuOptions | None = None) -> None:
        self._options = options or PtuOptions()
        known = {layout.name: layout for layout in LAYOUTS.values()}
        if self._options.record_type not in known:
            raise ConfigurationError(
                f"ptu: record_type {self._options.record_type!r}; known are {', '.join(known)}"
            )
        self._layout = known[self._options.record_type]
        options = self._options
        self._tick_ps = options.sync_period_ps if self._layout.is_t3 else options.resolution_ps
        self._header, self._count_at = build_header(self._layout, self._tick_ps, options.resolution_ps)
        self._longest_ps = self._check_header()
        sync = () if self._layout.is_t3 else (SYNC,)
        markers = range(marker(1), marker(15) + 1)
        self.channels = frozenset((*sync, *self._layout.inputs, *markers))
        self._overflow = self._written = 0

    def begin(self) -> bytes:
        """Return the header; :meth:`amend` fills in the number of records."""
        return self._header

    def _check_header(self) -> int:
        """Return the longest delay; raise ConfigurationError for resolutions that a reader would take for others."""
        try:
            found = PtuHeader.parse(self._header, "ptu")
        except DataError as error:
            raise ConfigurationError(str(error)) from error
        for name, asked, read in (
            ("sync_period_ps" if found.layout.is_t3 else "resolution_ps", self._tick_ps, found.tick_ps),
            (
                "resolution_ps",
                self._options.resolution_ps if found.layout.is_t3 else found.dtime_ps,
                found.dtime_ps,
            ),
        ):
            if asked != read:
                raise ConfigurationError(
                    f"ptu: {name} {asked}: a header holds a rounded number, read as {read}"
                )
        return longest_ps(found)

    def amend(self) -> Sequence[tuple[int, bytes]]:
        """Return the number of records for the header."""
        return ((self._count_at, struct.pack("<q", self._written)),)

    def _encode(self, batch: TagBatch) -> bytes:
        options, layout = self._options, self._layout
        times = batch.times_ps
        dtimes = np.zeros(0, np.uint16)
        self._check_times(times, min(last_time(self._tick_ps), MAX_PS - self._longest_ps))
        if layout.is_t3:
            ticks, dtimes = self._delays(times, batch)
            self._note_rounding(
                times, to_ps(ticks, self._tick_ps) + to_ps(dtimes.astype(np.int64), options.resolution_ps)
            )
        else:
            ticks = to_ticks(times, options.resolution_ps)
            if layout.special_channel == MARKER_BITS:  # these bits of the time say which marker it is
                ticks = np.where(batch.channels >= marker(1), ticks & ~MARKER_BITS, ticks)
            self._note_rounding(times, to_ps(ticks, self._tick_ps))
        self._check_overflows(int(ticks[-1]) if len(ticks) else 0)
        words, self._overflow = encode_words(ticks, batch.channels, dtimes, layout, self._overflow)
        self._written += len(words)
        return words.tobytes()

    def _delays(self, times: Times, batch: TagBatch) -> tuple[Times, NDArray[np.uint16]]:
        """Return the sync pulses before these times, and the delays since then."""
        options, layout = self._options, self._layout
        syncs = to_ticks(times, options.sync_period_ps)
        rest = times - to_ps(syncs, options.sync_period_ps)
        delays = to_ticks(rest, options.resolution_ps)
        longest = (1 << layout.dtime_bits) - 1
        if len(delays) and delays.max() > longest:
            place = int(delays.argmax())
            raise DataError(
                f"ptu: {describe(int(batch.channels[place]))} comes {rest[place]} ps after its sync; "
                f"{layout.name} with {float(options.resolution_ps):g} ps holds {longest} steps"
            )
        return syncs, np.where(batch.channels >= marker(1), 0, delays).astype(np.uint16)

    def _check_overflows(self, last: int) -> None:
        layout = self._layout
        words = (
            (last - self._overflow) // layout.wrap // ((1 << layout.time_bits) - 1 if layout.counted else 1)
        )
        if words > _MOST_OVERFLOWS:
            raise DataError(
                f"ptu: up to {words} overflow words before tags at tick {last}; {layout.name} is not meant for that"
            )
