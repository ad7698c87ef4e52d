"""Files of qutools quTAG and quTAU (and of the IDQ ID800, which is the same instrument)."""

from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from qhal.tags.batch import TagBatch
from qhal.tags.codecs.codec import Channels, CodecOptions, TagEncoder, Times
from qhal.tags.codecs.plain import PlainDecoder
from qhal.tags.numbering import LAST_INPUT, marker

_RECORD = np.dtype([("time", "<i8"), ("channel", "<i2")])


class QutagOptions(CodecOptions):
    """What the manuals leave open: the unit, the number of the first input, and that of marker 1."""

    unit_ps: Fraction = Fraction(1)
    first_channel: int = 0
    first_marker: int = 100


class QutagDecoder(PlainDecoder):
    """quTAG ``RAW``: 10 bytes per record, time and channel. Source: quTAU/quPSI manual V4.0, page 25."""

    record = _RECORD

    def __init__(self, options: QutagOptions | None = None, **where: Any) -> None:
        super().__init__(**where)
        self._options = options or QutagOptions()

    def _columns(self, records: NDArray[Any]) -> tuple[Times, Channels, int | None, str]:
        options, raw = self._options, records["channel"].astype(np.int64)
        markers = raw >= options.first_marker
        numbers = np.where(markers, marker(1) + raw - options.first_marker, 1 + raw - options.first_channel)
        last = np.where(markers, marker(15), LAST_INPUT)
        wrong = np.flatnonzero((numbers < 1) | (numbers > last))
        bad = int(wrong[0]) if len(wrong) else None
        why = f"no channel {raw[bad]}" if bad is not None else ""
        unit, times = options.unit_ps, records["time"].astype(np.int64)
        if unit != 1:
            times = times * unit.numerator // unit.denominator
        return times, (numbers & 0xFF).astype(np.uint8), bad, why


class QutagBinaryDecoder(QutagDecoder):
    """quTAG ``BINARY``: as ``RAW``, behind a header of 40 bytes whose content nobody documents."""

    header_bytes: ClassVar[int] = 40


class QutagEncoder(TagEncoder):
    """Write quTAG ``RAW`` records."""

    format = "qutag-raw"
    channels = frozenset((*range(1, LAST_INPUT + 1), *range(marker(1), marker(15) + 1)))

    def __init__(self, options: QutagOptions | None = None) -> None:
        self._options = options or QutagOptions()

    def begin(self) -> bytes:
        """Return nothing: there is no header."""
        return b""

    def _encode(self, batch: TagBatch) -> bytes:
        unit, numbers = self._options.unit_ps, batch.channels.astype(np.int64)
        records = np.empty(len(batch), _RECORD)
        # The smallest tick whose time in whole picoseconds is this one again.
        records["time"] = -((-batch.times_ps * unit.denominator) // unit.numerator)
        is_marker = numbers >= marker(1)
        records["channel"] = np.where(
            is_marker,
            numbers - marker(1) + self._options.first_marker,
            numbers - 1 + self._options.first_channel,
        )
        return records.tobytes()
