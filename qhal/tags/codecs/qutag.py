"""Files of qutools quTAG and quTAU (and of the IDQ ID800, which is the same instrument)."""

from fractions import Fraction
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from qhal.tags.batch import TagBatch
from qhal.tags.codecs.codec import CodecOptions, ReadingOptions, TagEncoder
from qhal.tags.codecs.plain import Columns, PlainDecoder
from qhal.tags.codecs.units import Unit, beyond, last_time, to_ps, to_ticks
from qhal.tags.numbering import LAST_INPUT, marker

_RECORD = np.dtype([("time", "<i8"), ("channel", "<i2")])


class QutagOptions(CodecOptions):
    """What the manuals leave open: the unit, the number of the first input, and that of marker 1."""

    unit_ps: Unit = Fraction(1)
    first_channel: Annotated[int, Field(ge=0, le=100)] = 0
    first_marker: Annotated[int, Field(ge=8, le=30_000)] = 100

    @model_validator(mode="after")
    def _first_input_before_markers(self) -> Self:
        if self.first_channel >= self.first_marker:
            raise ValueError(
                f"first_channel={self.first_channel} must be less than first_marker={self.first_marker}"
            )
        return self

    @property
    def inputs(self) -> range:
        """The inputs whose numbers are below those of the markers."""
        return range(1, min(LAST_INPUT, self.first_marker - self.first_channel) + 1)


class QutagReading(QutagOptions, ReadingOptions):
    """How to read quTAG records."""


class QutagDecoder(PlainDecoder):
    """quTAG ``RAW``: 10 bytes per record, time and channel. Source: quTAU/quPSI manual V4.0, page 25."""

    record = _RECORD
    own_numbers = True

    def __init__(self, options: QutagReading | None = None, **where: Any) -> None:
        super().__init__(options, **where)
        self._options = options or QutagReading()

    def _columns(self, records: NDArray[Any]) -> Columns:
        options, raw = self._options, records["channel"].astype(np.int32)
        markers = raw >= options.first_marker
        numbers = np.where(markers, marker(1) + raw - options.first_marker, 1 + raw - options.first_channel)
        last = np.where(markers, marker(15), LAST_INPUT)
        known = (numbers >= 1) & (numbers <= last)
        ticks = records["time"].astype(np.int64)
        bad = beyond(ticks, options.unit_ps)
        why = "" if bad is None else f"a time beyond 2^63 ps: {ticks[bad]} ticks of {options.unit_ps} ps"
        times, channels = to_ps(ticks[:bad], options.unit_ps), numbers[:bad].astype(np.uint8)
        return Columns(
            times_ps=times,
            channels=channels,
            bad=bad,
            why=why,
            numbers=raw[:bad],
            known=None if known[:bad].all() else known[:bad],
        )


class QutagBinaryDecoder(QutagDecoder):
    """quTAG ``BINARY``: as ``RAW``, behind a header of 40 bytes whose content is not documented."""

    header_bytes: ClassVar[int] = 40


class QutagEncoder(TagEncoder):
    """Write quTAG ``RAW`` records."""

    format = "qutag-raw"

    def __init__(self, options: QutagOptions | None = None) -> None:
        self._options = options or QutagOptions()
        self.channels = frozenset((*self._options.inputs, *range(marker(1), marker(15) + 1)))

    def _encode(self, batch: TagBatch) -> bytes:
        unit, numbers = self._options.unit_ps, batch.channels.astype(np.int64)
        self._check_times(batch.times_ps, last_time(unit), -last_time(unit))
        records = np.empty(len(batch), _RECORD)
        records["time"] = ticks = to_ticks(batch.times_ps, unit)
        self._note_rounding(batch.times_ps, to_ps(ticks, unit))
        is_marker = numbers >= marker(1)
        records["channel"] = np.where(
            is_marker,
            numbers - marker(1) + self._options.first_marker,
            numbers - 1 + self._options.first_channel,
        )
        return records.tobytes()
