"""Files and streams of the ID Quantique Time Controller (ID900, ID1000)."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from qhal.tags.batch import TagBatch
from qhal.tags.codecs.codec import Channels, CodecOptions, TagEncoder, Times
from qhal.tags.codecs.plain import Input, PlainDecoder

_PAIR = np.dtype([("time", "<u8"), ("reference", "<u8")])


class IdqOptions(CodecOptions):
    """One file or stream is one input of a Time Controller; the file does not say which."""

    channel: Input = 1


class IdqDecoder(PlainDecoder):
    """IDQ Time Controller ``.bin``: one unsigned 64-bit time in picoseconds per event.

    Source: Time Controller Series user manual, section 6.3.4.
    """

    record: ClassVar[np.dtype[Any]] = np.dtype("<u8")

    def __init__(self, options: IdqOptions | None = None, **where: Any) -> None:
        super().__init__(**where)
        self._channel = (options or IdqOptions()).channel

    def _columns(self, records: NDArray[Any]) -> tuple[Times, Channels, int | None, str]:
        times = records["time"] if records.dtype.names else records
        large = np.flatnonzero(times > np.uint64(2**63 - 1))
        bad = int(large[0]) if len(large) else None
        channels = np.full(len(times), self._channel, np.uint8)
        return times.astype(np.int64), channels, bad, "a time beyond 2^63 ps"


class IdqReferencedDecoder(IdqDecoder):
    """IDQ Time Controller ``.bin`` with reference index: time since the reference event, and its number.

    Only files whose reference is absent or never returned have one time base: times begin anew at each reference
    event, whose own times the file does not hold. A second index is therefore damage to a reader of times.
    """

    record = _PAIR

    def _columns(self, records: NDArray[Any]) -> tuple[Times, Channels, int | None, str]:
        times, channels, bad, why = super()._columns(records)
        other = np.flatnonzero(records["reference"] != records["reference"][:1])
        if len(other) and (bad is None or other[0] < bad):
            return times, channels, int(other[0]), "a second reference: the file does not say when that was"
        return times, channels, bad, why


class IdqEncoder(TagEncoder):
    """Write one input as an IDQ ``.bin`` file."""

    format = "idq-bin"

    def __init__(self, options: IdqOptions | None = None) -> None:
        self.channels = frozenset({(options or IdqOptions()).channel})

    def begin(self) -> bytes:
        """Return nothing: there is no header."""
        return b""

    def _encode(self, batch: TagBatch) -> bytes:
        return batch.times_ps.astype("<u8").tobytes()
