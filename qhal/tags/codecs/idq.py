"""Files and streams of the ID Quantique Time Controller (ID900, ID1000)."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from qhal.tags.batch import TagBatch
from qhal.tags.codecs.codec import CodecOptions, ReadingOptions, TagEncoder
from qhal.tags.codecs.plain import Columns, Input, PlainDecoder
from qhal.tags.codecs.units import MAX_PS

_PAIR = np.dtype([("time", "<u8"), ("reference", "<u8")])


class IdqOptions(CodecOptions):
    """One file or stream is one input of a Time Controller; the file does not say which."""

    channel: Input = 1


class IdqReading(IdqOptions, ReadingOptions):
    """How to read a file of a Time Controller."""


class IdqDecoder(PlainDecoder):
    """IDQ Time Controller ``.bin``: one unsigned 64-bit time in picoseconds per event.

    Source: Time Controller Series user manual, section 6.3.4.
    """

    record: ClassVar[np.dtype[Any]] = np.dtype("<u8")

    def __init__(self, options: IdqReading | None = None, **where: Any) -> None:
        super().__init__(options, **where)
        self._channel = (options or IdqReading()).channel

    def _columns(self, records: NDArray[Any]) -> Columns:
        times = records["time"] if records.dtype.names else records
        large = np.flatnonzero(times > np.uint64(MAX_PS))
        channels = np.full(len(times), self._channel, np.uint8)
        if len(large):
            bad = int(large[0])
            return Columns(
                times[:bad].astype(np.int64), channels[:bad], bad, f"a time beyond 2^63 ps: {times[bad]} ps"
            )
        return Columns(times.astype(np.int64), channels)


class IdqReferencedDecoder(IdqDecoder):
    """IDQ Time Controller ``.bin`` with reference index: time since the reference event, and its number.

    Only files whose reference is absent or never returned have one time base: times restart at each reference
    event, whose own times the file does not hold. A second index is therefore damage to a reader of times.
    """

    record = _PAIR
    _reference: int | None = None

    def _columns(self, records: NDArray[Any]) -> Columns:
        found = super()._columns(records)
        if self._reference is None and len(records):
            self._reference = int(records["reference"][0])
        other = np.flatnonzero(records["reference"] != np.uint64(self._reference or 0))
        if len(other) and (found.bad is None or other[0] < found.bad):
            found.bad, found.why = int(other[0]), "a second reference: the file does not say when that was"
        return found


class IdqEncoder(TagEncoder):
    """Write one input as an IDQ ``.bin`` file."""

    format = "idq-bin"

    def __init__(self, options: IdqOptions | None = None) -> None:
        self.channels = frozenset({(options or IdqOptions()).channel})

    def _encode(self, batch: TagBatch) -> bytes:
        self._check_times(batch.times_ps, MAX_PS)
        return batch.times_ps.astype("<u8").tobytes()
