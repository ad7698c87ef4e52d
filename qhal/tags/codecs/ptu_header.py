"""The header of a PTU file: tags of 48 bytes, some with data behind them, up to ``Header_End``.

Source: PicoQuant's description of the unified TTTR file format.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

from qhal.errors import DataError
from qhal.tags.codecs.picoquant import LAYOUTS, RecordLayout
from qhal.tags.codecs.units import meant

MAGIC = b"PQTTTR\0\0"
_VERSIONS = (b"1.0.00\0\0", b"00.0.1\0\0")
_TAG = struct.Struct("<32siIq")
_EMPTY, _BOOL, _INT, _BITS, _COLOR = 0xFFFF0008, 0x00000008, 0x10000008, 0x11000008, 0x12000008
_FLOAT, _DATE = 0x20000008, 0x21000008
_FLOATS, _ANSI, _WIDE, _BLOB = 0x2001FFFF, 0x4001FFFF, 0x4002FFFF, 0xFFFFFFFF
_DAY_0 = datetime(1899, 12, 30, tzinfo=UTC)
_TEN_MEGABYTES = 10_000_000
_SHORTEST_S = 1e-15
LONGEST_TICK_S = 1e-8
"""Of T2: the coarsest product has 1 ns; a sync period here would make hours of seconds."""
_LONGEST_DTIME_S = 1e-3
_LONGEST_SYNC_S = 1.0
_END = "Header_End"
_BITS_PER_RECORD = "TTResultFormat_BitsPerRecord"
MOST_BYTES = 64_000_000
"""Of a header: pictures and settings in it are some kilobytes."""

TYPE, COUNT, TICK_S, DTIME_S = (
    "TTResultFormat_TTTRRecType",
    "TTResult_NumberOfRecords",
    "MeasDesc_GlobalResolution",
    "MeasDesc_Resolution",
)


class Incomplete(Exception):
    """The bytes end before the header does."""


@dataclass(frozen=True, slots=True)
class PtuHeader:
    """What a reader of records needs, and all tags as they stand (an array element as ``name[index]``).

    ``tick_ps``: T2 the resolution, T3 the sync period. ``dtime_ps``: T3 the resolution of the delay.
    ``count``: number of records, 0 when it does not count them. ``length``: bytes of the header.
    """

    layout: RecordLayout
    tick_ps: Fraction
    dtime_ps: Fraction
    length: int
    count: int = 0
    tags: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, data: bytes, source: str = "tags") -> "PtuHeader":
        """Read a header. Raises Incomplete when more bytes are needed, DataError when it is none or damaged."""
        if not MAGIC.startswith(data[:8]):
            raise DataError(f"{source}: no PTU file, it begins with {data[:8]!r}", 0)
        if len(data) < 16:
            raise Incomplete
        if data[8:16] not in _VERSIONS:
            raise DataError(f"{source}: no known version of the format: {data[8:16]!r}", 8)
        tags: dict[str, Any] = {}
        place = 16
        while True:
            name, value, following = _read_tag(data, place, source)
            place = following
            if name == _END:
                break
            tags[name] = value
        layout = _layout(tags, source)
        longest_s = _LONGEST_SYNC_S if layout.is_t3 else LONGEST_TICK_S
        return cls(
            layout,
            _in_ps(tags, TICK_S, longest_s, source),
            _in_ps(tags, DTIME_S, _LONGEST_DTIME_S, source) if layout.is_t3 else Fraction(0),
            place,
            _count(tags, source),
            tags,
        )


def _layout(tags: Mapping[str, Any], source: str) -> RecordLayout:
    code = tags.get(TYPE)
    if (bits := tags.get(_BITS_PER_RECORD, 32)) != 32:
        raise DataError(f"{source}: {_BITS_PER_RECORD} is {bits!r}; records of 32 bits are known")
    if type(code) is not int or code not in LAYOUTS:
        known = ", ".join(f"0x{each:08x} {layout.name}" for each, layout in LAYOUTS.items())
        shown = (
            f"0x{code & 0xFFFFFFFF:08x}" if type(code) is int else "missing" if code is None else repr(code)
        )
        raise DataError(f"{source}: record type {shown}; known are {known}")
    return LAYOUTS[code]


def _count(tags: Mapping[str, Any], source: str) -> int:
    count = tags.get(COUNT)
    if count is None:
        return 0
    if type(count) is not int or count < 0:
        raise DataError(f"{source}: {COUNT} is {count!r}, which is not a number of records")
    return count


def _in_ps(tags: Mapping[str, Any], name: str, longest_s: float, source: str) -> Fraction:
    seconds = tags.get(name)
    if not isinstance(seconds, float) or not _SHORTEST_S <= seconds <= longest_s:
        raise DataError(f"{source}: {name} is {seconds!r}; {_SHORTEST_S:g} s to {longest_s:g} s can be")
    # Resolutions are stored as doubles of round numbers of picoseconds: 4e-12 s is meant as 4 ps.
    return meant(seconds)


def _read_tag(data: bytes, place: int, source: str) -> tuple[str, Any, int]:
    if len(data) < place + _TAG.size:
        raise Incomplete
    ident, index, kind, value = _TAG.unpack_from(data, place)
    name = ident.partition(b"\0")[0].decode("latin-1")
    if not name.isprintable() or not name:
        raise DataError(f"{source}: damaged header, a tag named {ident!r}", place)
    if index >= 0:
        name = f"{name}[{index}]"
    after = place + _TAG.size
    raw = struct.pack("<q", value)
    if kind in (_INT, _BITS, _COLOR):
        return name, value, after
    if kind in (_FLOAT, _DATE):
        return name, struct.unpack("<d", raw)[0], after
    if kind == _BOOL:
        return name, bool(value), after
    if kind == _EMPTY:
        return name, None, after
    if kind not in (_FLOATS, _ANSI, _WIDE, _BLOB):
        raise DataError(f"{source}: damaged header, tag {name} has type 0x{kind:08x}", place + 36)
    if not 0 <= value <= _TEN_MEGABYTES:
        raise DataError(f"{source}: damaged header, tag {name} has {value} bytes", place + 40)
    if len(data) < after + value:
        raise Incomplete
    content = bytes(data[after : after + value])
    return name, _content(kind, content), after + value


def _content(kind: int, content: bytes) -> Any:
    if kind == _ANSI:
        return content.partition(b"\0")[0].decode("latin-1")
    if kind == _WIDE:
        return content.decode("utf-16-le", "replace").partition("\0")[0]
    if kind == _FLOATS:
        return struct.unpack(f"<{len(content) // 8}d", content[: len(content) // 8 * 8])
    return content


def longest_ps(header: PtuHeader) -> int:
    """Return the longest delay that a record holds."""
    return int(header.dtime_ps * ((1 << header.layout.dtime_bits) - 1))


def build_header(layout: RecordLayout, tick_ps: Fraction, dtime_ps: Fraction) -> tuple[bytes, int]:
    """Return a header with a number of records of 0, and the byte at which that number stands."""
    sync_rate = round(1e12 / tick_ps) if layout.is_t3 else 0
    created = (datetime.now(UTC) - _DAY_0) / timedelta(days=1)
    lines: list[tuple[str, int, int | float]] = [
        ("File_GUID", _ANSI, 0),
        ("File_CreatingTime", _DATE, created),
        ("CreatorSW_Name", _ANSI, 0),
        ("CreatorSW_Version", _ANSI, 0),
        ("Measurement_Mode", _INT, 3 if layout.is_t3 else 2),
        ("Measurement_SubMode", _INT, 0),
        (TYPE, _INT, layout.type_code),
        (_BITS_PER_RECORD, _INT, 32),
        (TICK_S, _FLOAT, float(tick_ps / 10**12)),
        (DTIME_S, _FLOAT, float((dtime_ps if layout.is_t3 else tick_ps) / 10**12)),
        ("MeasDesc_AcquisitionTime", _INT, 0),
        ("HW_Type", _ANSI, 0),
        ("HW_InpChannels", _INT, len(layout.inputs)),
        ("TTResult_SyncRate", _INT, sync_rate),
        (COUNT, _INT, 0),
        (_END, _EMPTY, 0),
    ]
    texts = {
        "File_GUID": "{00000000-0000-0000-0000-000000000000}",
        "CreatorSW_Name": "qhal",
        "CreatorSW_Version": "1",
        "HW_Type": layout.name,
    }
    header, count_at = MAGIC + _VERSIONS[0], 0
    for name, kind, value in lines:
        text = texts.get(name, "").encode() + b"\0"
        text += b"\0" * (-len(text) % 8)
        number = len(text) if kind == _ANSI else value
        if name == COUNT:
            count_at = len(header) + 40
        raw = struct.pack("<d" if kind in (_FLOAT, _DATE) else "<q", number)
        header += struct.pack("<32siI", name.encode(), -1, kind) + raw + (text if kind == _ANSI else b"")
    return header, count_at
