"""PicoQuant PTU files as batches in picoseconds. Records as they stand are in :mod:`qhal.tags.codecs.picoquant`."""

import struct
from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from qhal.errors import ConfigurationError, DataError
from qhal.tags.batch import TagBatch
from qhal.tags.codecs.codec import CodecOptions, Piece, TagDecoder, TagEncoder, Times, order_of
from qhal.tags.codecs.picoquant import LAYOUTS, Records, decode_words, encode_words
from qhal.tags.codecs.ptu_header import PtuHeader, build_header
from qhal.tags.numbering import SYNC, describe, marker

_T2_DISORDER_PS = 1_000_000


class PtuOptions(CodecOptions):
    """How to write: the record type, its resolution, and for T3 the sync period."""

    record_type: str = "Generic T2"
    resolution_ps: Annotated[Fraction, Field(gt=0)] = Fraction(1)
    sync_period_ps: Annotated[Fraction, Field(gt=0)] = Fraction(12_500)


class PtuDecoder(TagDecoder):
    """T2 and T3 records behind a header. T3 times are those of sync and delay together.

    Delays of T3 records reach beyond a sync period, so tags of the longest delay are held back and put in order.
    """

    record = np.dtype("<u4")

    def __init__(self, header: PtuHeader, source: str = "tags") -> None:
        super().__init__(source, header.length, 0)
        self.header = header
        self._overflow = self._latest = 0
        layout = header.layout
        longest = int(header.dtime_ps * ((1 << layout.dtime_bits) - 1))
        self.disorder_ps = longest if layout.is_t3 else _T2_DISORDER_PS

    def _decode(self, records: NDArray[Any], head: int) -> Piece:
        layout, t3 = self.header.layout, self.header.layout.is_t3
        tolerance = 0 if t3 else int(_T2_DISORDER_PS / self.header.tick_ps)
        found = decode_words(records, layout, self._overflow, self._latest, tolerance, head)
        self._overflow = found.overflow
        if len(found.ticks) > head:
            self._latest = max(
                self._latest, int(found.ticks[head:].max() if not found.ordered else found.ticks[-1])
            )
        times = self._in_ps(found, head)
        ordered = found.ordered if not t3 else order_of(times[head:], self.disorder_ps, self._reached_ps)[0]
        reached = _scaled(np.array([max(self._latest, self._overflow)]), self.header.tick_ps)
        why = (
            ""
            if found.bad is None
            else f"word 0x{int(records[found.bad]):08x} is no record of a {layout.name}"
        )
        return Piece(times, found.channels, int(reached[0]), ordered and not head, (), found.bad, why)

    def _in_ps(self, found: Records, head: int) -> Times:
        header, times = self.header, found.ticks
        if header.tick_ps != 1:
            times = _scaled(times, header.tick_ps)
        if header.layout.is_t3:
            times += _scaled(found.dtimes.astype(np.int64), header.dtime_ps)
        return times


def _scaled(ticks: Times, unit: Fraction) -> Times:
    """Return ``ticks * unit`` rounded down, exactly, for times up to some weeks."""
    whole, rest = divmod(unit, 1)
    times = ticks * int(whole)
    if rest:
        # ticks = a * denominator + b keeps every product small.
        many, few = np.divmod(ticks, rest.denominator)
        times += many * rest.numerator + few * rest.numerator // rest.denominator
    return times


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
        sync = () if self._layout.is_t3 else (SYNC,)
        markers = range(marker(1), marker(15) + 1)
        self.channels = frozenset((*sync, *self._layout.inputs, *markers))
        self._overflow, self._written, self._count_at = 0, 0, 0

    def begin(self) -> bytes:
        """Return the header; :meth:`amend` fills in the number of records."""
        options = self._options
        tick = options.sync_period_ps if self._layout.is_t3 else options.resolution_ps
        header, self._count_at = build_header(self._layout, tick, options.resolution_ps)
        return header

    def amend(self) -> Sequence[tuple[int, bytes]]:
        """Return the number of records for the header."""
        return ((self._count_at, struct.pack("<q", self._written)),)

    def _encode(self, batch: TagBatch) -> bytes:
        options, layout = self._options, self._layout
        times = batch.times_ps
        if len(times) and times[0] < 0:
            raise DataError(f"ptu: {times[0]} ps is before the measurement")
        dtimes = np.zeros(0, np.uint16)
        if layout.is_t3:
            ticks = _ticks(times, options.sync_period_ps, exact=False)
            rest = times - _scaled(ticks, options.sync_period_ps)
            delays = _ticks(rest, options.resolution_ps)
            longest = (1 << layout.dtime_bits) - 1
            if len(delays) and delays.max() > longest:
                place = int(delays.argmax())
                raise DataError(
                    f"ptu: {describe(int(batch.channels[place]))} comes {rest[place]} ps after its sync; "
                    f"{layout.name} with {float(options.resolution_ps):g} ps holds {longest} steps"
                )
            dtimes = np.where(batch.channels >= marker(1), 0, delays).astype(np.uint16)
        else:
            ticks = _ticks(times, options.resolution_ps)
        words, self._overflow = encode_words(ticks, batch.channels, dtimes, layout, self._overflow)
        self._written += len(words)
        return words.tobytes()


def _ticks(times: Times, unit: Fraction, *, exact: bool = True) -> Times:
    """Return the ticks of which ``_scaled`` makes these times (``exact``), or those that end before them."""
    if unit == 1:
        return times
    many, few = np.divmod(times, unit.numerator)
    # Rounding up finds the tick whose whole picoseconds these are; what lies between two ticks is rounded down.
    up = many * unit.denominator - (-few * unit.denominator // unit.numerator)
    fits = _scaled(up, unit) == times if exact else np.zeros(len(times), bool)
    down = many * unit.denominator + few * unit.denominator // unit.numerator
    ticks: Times = np.where(fits, up, down)
    return ticks
