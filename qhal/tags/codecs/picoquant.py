"""PicoQuant T2 and T3 records: twelve record types, one table.

Source: PicoQuant's description of the TTTR records. T2 words carry a time, T3 words the number of the last sync
pulse and the delay since then (dtime). A special word counts overflows of the time field, or is a marker event.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qhal.tags.codecs import compiled
from qhal.tags.codecs.codec import Channels
from qhal.tags.codecs.units import Times
from qhal.tags.numbering import SYNC, marker

Dtimes = NDArray[np.uint16]
MARKER_BITS = 15


@dataclass(frozen=True, slots=True)
class RecordLayout:
    """How one record type uses its 32 bits.

    Channel above, then (T3) dtime, time or sync number at the bottom. ``special_channel``: from which value of the
    channel field on, the device's special bit included, a word is special. ``offset``: from field to input number.
    ``wrap``: ticks per overflow; ``counted``: whether one word may count several.
    """

    name: str
    type_code: int
    time_bits: int
    dtime_bits: int
    channel_shift: int
    special_channel: int
    lowest: int
    highest: int
    offset: int
    wrap: int
    counted: bool

    @property
    def is_t3(self) -> bool:
        """Whether records have a sync number and a dtime."""
        return self.dtime_bits > 0

    @property
    def inputs(self) -> range:
        """The inputs that the channel field can name."""
        return range(max(1, self.lowest + self.offset), self.highest + self.offset + 1)


def _hydraharp(name: str, code: int, *, t3: bool, wrap: int, counted: bool = True) -> RecordLayout:
    time_bits, dtime_bits = (10, 15) if t3 else (25, 0)
    return RecordLayout(
        name,
        code,
        time_bits,
        dtime_bits,
        channel_shift=25,
        special_channel=64,
        lowest=0,
        highest=63,
        offset=1,
        wrap=wrap,
        counted=counted,
    )


LAYOUTS = {
    layout.type_code: layout
    for layout in (
        RecordLayout(
            "PicoHarp 300 T2",
            0x00010203,
            28,
            0,
            channel_shift=28,
            special_channel=15,
            lowest=0,
            highest=4,
            offset=0,
            wrap=210_698_240,
            counted=False,
        ),
        RecordLayout(
            "PicoHarp 300 T3",
            0x00010303,
            16,
            12,
            channel_shift=28,
            special_channel=15,
            lowest=1,
            highest=4,
            offset=0,
            wrap=65_536,
            counted=False,
        ),
        _hydraharp("HydraHarp V1 T2", 0x00010204, t3=False, wrap=33_552_000, counted=False),
        _hydraharp("HydraHarp V1 T3", 0x00010304, t3=True, wrap=1024, counted=False),
        _hydraharp("HydraHarp V2 T2", 0x01010204, t3=False, wrap=33_554_432),
        _hydraharp("HydraHarp V2 T3", 0x01010304, t3=True, wrap=1024),
        _hydraharp("TimeHarp 260 N T2", 0x00010205, t3=False, wrap=33_554_432),
        _hydraharp("TimeHarp 260 N T3", 0x00010305, t3=True, wrap=1024),
        _hydraharp("TimeHarp 260 P T2", 0x00010206, t3=False, wrap=33_554_432),
        _hydraharp("TimeHarp 260 P T3", 0x00010306, t3=True, wrap=1024),
        _hydraharp("Generic T2", 0x00010207, t3=False, wrap=33_554_432),
        _hydraharp("Generic T3", 0x00010307, t3=True, wrap=1024),
    )
}
"""Record types by ``TTResultFormat_TTTRRecType``."""


@dataclass(slots=True)
class Records:
    """Decoded words: ticks (T2: of the tagger, T3: of the sync), channels by our numbering, dtimes (T3).

    ``overflow``: ticks that later words follow; ``ordered``: whether ticks ascend; ``bad``: index of the first word
    that cannot be.
    """

    ticks: Times
    channels: Channels
    dtimes: Dtimes
    overflow: int
    ordered: bool = True
    bad: int | None = None


def decode_words(
    words: NDArray[np.uint32],
    layout: RecordLayout,
    overflow: int = 0,
    latest: int = 0,
    tolerance: int = 0,
    head: int = 0,
    limit: int = 2**63 - 1,
) -> Records:
    """Decode words that follow ``overflow`` ticks, and records up to ``latest``.

    A tick more than ``tolerance`` before an earlier one, or beyond ``limit``, cannot be. The first
    ``head`` places stay free.
    """
    ticks, channels = np.empty(head + len(words), np.int64), np.empty(head + len(words), np.uint8)
    dtimes = np.empty(head + len(words) if layout.is_t3 else 0, np.uint16)
    decode = _decode_plainly if compiled.kernels is None else compiled.kernels.decode_picoquant
    filled, overflow, ordered, bad = decode(
        words, layout.time_bits, layout.dtime_bits, layout.channel_shift, layout.special_channel,
        layout.lowest, layout.highest, layout.offset, layout.wrap, layout.counted, overflow, latest, tolerance,
        limit, ticks[head:], channels[head:], dtimes[head:],
    )  # fmt: skip
    end = head + filled
    place = None if bad < 0 else int(bad)
    return Records(
        ticks=ticks[:end],
        channels=channels[:end],
        dtimes=dtimes[:end],
        overflow=int(overflow),
        ordered=bool(ordered),
        bad=place,
    )


def _decode_plainly(
    words: NDArray[np.uint32],
    time_bits: int,
    dtime_bits: int,
    channel_shift: int,
    special_channel: int,
    lowest: int,
    highest: int,
    offset: int,
    wrap: int,
    counted: bool,
    overflow: int,
    latest: int,
    tolerance: int,
    limit: int,
    ticks: Times,
    channels: Channels,
    dtimes: Dtimes,
) -> tuple[int, int, bool, int]:
    """Do in numpy what the kernel does."""
    t3 = dtime_bits > 0
    time = (words & np.uint32((1 << time_bits) - 1)).astype(np.int64)
    field = (words >> np.uint32(channel_shift)).astype(np.int64)
    dtime = (words >> np.uint32(time_bits)).astype(np.int64) & ((1 << dtime_bits) - 1)
    special = field >= special_channel
    if special_channel == MARKER_BITS:
        bits = dtime if t3 else time & MARKER_BITS
        wraps = special & (bits == 0)
        bad = special & (bits > MARKER_BITS)
        time = np.where(special & (not t3), time & ~MARKER_BITS, time)
    else:
        bits = field - special_channel
        wraps = special & (bits == 63)
        bad = special & ~wraps & ((bits > MARKER_BITS) | (t3 & (bits == 0)))
    number = np.where(special, np.where(bits > 0, marker(1) - 1 + bits, SYNC), field + offset)
    bad |= ~special & ((field < lowest) | (field > highest))
    steps = np.where(wraps, np.maximum(time, 1) if counted else 1, 0)
    # As many overflows as fit; a sum of some thousand words more cannot leave 64 bits, and is cut before it counts.
    most = (limit - overflow) // wrap
    periods = np.cumsum(np.minimum(steps, most + 1))
    beyond = periods > most
    passed = overflow + np.minimum(periods, most) * wrap
    beyond |= ~wraps & (passed > limit - time)
    bad |= beyond
    kept = np.flatnonzero(~wraps)
    found = (passed + np.where(beyond, 0, time))[kept]
    highest_before = np.maximum.accumulate(np.concatenate(([latest], found)))[:-1]
    bad[kept] |= found < highest_before - tolerance
    first = int(np.flatnonzero(bad)[0]) if bad.any() else -1
    end = len(words) if first < 0 else first
    kept = kept[kept < end]
    filled = len(kept)
    ticks[:filled], channels[:filled] = found[:filled], number[kept]
    if t3:
        dtimes[:filled] = np.where(special, 0, dtime)[kept]
    ordered = not (found[:filled] < highest_before[:filled]).any()
    return filled, int(passed[end - 1]) if end else overflow, ordered, first


def encode_words(
    ticks: Times, channels: Channels, dtimes: Dtimes, layout: RecordLayout, overflow: int = 0
) -> tuple[NDArray[np.uint32], int]:
    """Return the words of these records, overflow words included, and the overflow after them (ticks)."""
    periods, time = np.divmod(ticks, layout.wrap)
    numbers = channels.astype(np.int64)
    is_marker = numbers > marker(1) - 1
    bits = numbers - (marker(1) - 1)
    delays = dtimes.astype(np.int64) if layout.is_t3 else np.zeros(1, np.int64)
    if layout.special_channel == MARKER_BITS:
        field = np.where(is_marker, layout.special_channel, numbers - layout.offset)
        time = np.where(is_marker & (not layout.is_t3), time & ~MARKER_BITS | bits, time)
        dtime = np.where(is_marker, bits, delays) if layout.is_t3 else delays
    else:
        special = layout.special_channel
        field = np.where(
            is_marker, special + bits, np.where(numbers == SYNC, special, numbers - layout.offset)
        )
        dtime = np.where(is_marker, 0, delays)
    words = field << layout.channel_shift | dtime << layout.time_bits | time
    missing = np.diff(periods, prepend=overflow // layout.wrap)
    most = (1 << layout.time_bits) - 1 if layout.counted else 1
    pieces = -(-missing // most)
    place = np.repeat(np.arange(len(words)), pieces)
    within = np.arange(len(place)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    count = np.minimum(missing[place] - within * most, most)
    special = layout.special_channel if layout.special_channel == MARKER_BITS else layout.special_channel + 63
    wraps = special << layout.channel_shift | (count if layout.counted else 0)
    last = int(periods[-1]) * layout.wrap if len(periods) else overflow
    return np.insert(words, place, wraps).astype(np.uint32), last
