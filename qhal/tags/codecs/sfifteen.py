"""Event words of S-Fifteen Instruments and their ancestors: a time above, a pattern of detectors below.

A word with several pattern bits is several detectors within one time step, and becomes one tag for each; a dummy
word only says that time went on. Times wrap; a dummy at least every half period makes every wrap visible.
Sources: vendor's and authors' readers (readevents4, readevents7, filespec), field by field in each layout.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from qhal.tags.batch import TagBatch
from qhal.tags.codecs import compiled
from qhal.tags.codecs.codec import Channels, CodecOptions, Piece, TagDecoder, TagEncoder, Times

_DUMMY = 16
_TDC1_TIME_BITS = 27
_DISORDER_PS = 1_000_000


@dataclass(frozen=True, slots=True)
class WordLayout:
    """A 64-bit event word. Picoseconds are ``ticks * factor >> halvings``; all bits of ``constant`` are always set.

    ``dummy``: the bit that marks a word without an event, 0 when there is none.
    """

    name: str
    time_shift: int
    time_bits: int
    factor: int
    halvings: int
    constant: int = 0
    dummy: int = _DUMMY

    @property
    def wrap_ps(self) -> int:
        """The period after which times begin anew."""
        return (self.factor << self.time_bits) >> self.halvings


TDC2 = WordLayout("tdc2", 10, 54, 125, 5, constant=0x300)
"""1/256 ns (timestamp7 and TDC2 with ``-a1``); bits 9 and 8 are always 1."""
TDC1_CONSOLIDATED = WordLayout("tdc1-64", 19, 45, 2000, 0)
"""2 ns, as readevents4 writes it with ``-a1``."""
TIMESTAMP3 = WordLayout("timestamp3", 15, 49, 125, 0, dummy=0)
"""1/8 ns, the older cards; two 32-bit halves, the upper one first."""
_TDC1 = WordLayout("tdc1", 5, _TDC1_TIME_BITS, 2000, 0)


class WordOptions(CodecOptions):
    """``swapped``: whether the upper 32-bit half comes first (legacy order)."""

    swapped: bool = False


class _Words(TagDecoder):
    record: ClassVar[np.dtype[Any]] = np.dtype("<u8")
    disorder_ps = _DISORDER_PS
    layout: ClassVar[WordLayout]
    swapped: ClassVar[bool] = False

    def __init__(self, options: WordOptions | None = None, **where: Any) -> None:
        super().__init__(**where)
        self._swapped = (options or WordOptions()).swapped != self.swapped
        self._before = 0
        self._base_ps = 0

    def _decode(self, records: NDArray[Any], head: int) -> Piece:
        words: NDArray[np.uint64] = records
        if self._swapped:
            words = (words << np.uint64(32)) | (words >> np.uint64(32))
        return self._decode_words(words, head)

    def _decode_words(self, words: NDArray[np.uint64], head: int) -> Piece:
        layout = self.layout
        tolerance = (_DISORDER_PS << layout.halvings) // layout.factor
        parts: list[tuple[Times, Channels]] = []
        place, ordered, bad, why = 0, head == 0, None, ""
        while place < len(words):
            room = head + (len(words) - place) * 5 // 4 + 4 * 512
            times, channels = np.empty(room, np.int64), np.empty(room, np.uint8)
            decode = _decode_plainly if compiled.kernels is None else compiled.kernels.decode_patterns
            place, filled, before, in_order, stuck = decode(
                words, place, np.uint64(self._before), layout.time_shift, layout.factor, layout.halvings,
                np.uint64(layout.dummy), np.uint64(layout.constant), np.uint64(tolerance), times, channels, head,
            )  # fmt: skip
            place, self._before, ordered = int(place), int(before), ordered and bool(in_order)
            if self._base_ps:
                times[head:filled] += self._base_ps
            parts.append((times[:filled], channels[:filled]))
            head = 0
            if stuck:
                ticks = int(words[place]) >> layout.time_shift
                if self._before - ticks > 1 << (layout.time_bits - 1):
                    self._base_ps += layout.wrap_ps
                    self._before, ordered = 0, False
                    continue
                bad, why = place, f"word 0x{int(words[place]):016x} is no event of {layout.name}"
                if int(words[place]) & layout.constant == layout.constant:
                    why = f"time goes back by {(self._before - ticks) * layout.factor >> layout.halvings} ps"
                break
        if not parts:
            parts.append((np.empty(head, np.int64), np.empty(head, np.uint8)))
        times, channels = (np.concatenate(c) if len(parts) > 1 else c[0] for c in zip(*parts, strict=True))
        reached = self._base_ps + ((self._before * layout.factor) >> layout.halvings)
        return Piece(times, channels, reached, ordered, (), bad, why)


class Tdc2Decoder(_Words):
    """S-Fifteen TDC2 and timestamp7 events."""

    layout = TDC2


class ConsolidatedTdc1Decoder(_Words):
    """TDC1 events as readevents4 consolidates them."""

    layout = TDC1_CONSOLIDATED


class Timestamp3Decoder(_Words):
    """Events of the timestamp3 cards."""

    layout = TIMESTAMP3
    swapped = True


class Tdc1Decoder(_Words):
    """S-Fifteen TDC1 stream: 32-bit words whose time wraps every 268 ms; a wrap is where its top bit falls."""

    record = np.dtype("<u4")
    layout = _TDC1

    def __init__(self, options: CodecOptions | None = None, **where: Any) -> None:
        super().__init__(**where)
        self._wraps = 0
        self._top = 0

    def _decode(self, records: NDArray[Any], head: int) -> Piece:
        top = np.concatenate(([self._top], (records >> 31).astype(np.int8)))
        wraps = self._wraps + np.cumsum(np.diff(top) < 0)
        if len(records):
            self._wraps, self._top = int(wraps[-1]), int(top[-1])
        return self._decode_words(
            records.astype(np.uint64) + (wraps.astype(np.uint64) << np.uint64(32)), head
        )


def _decode_plainly(
    words: NDArray[np.uint64],
    begin: int,
    before: np.uint64,
    time_shift: int,
    factor: int,
    halvings: int,
    dummy: np.uint64,
    constant: np.uint64,
    tolerance: np.uint64,
    times: Times,
    channels: Channels,
    head: int,
) -> tuple[int, int, int, bool, bool]:
    """Do in numpy what the kernel does."""
    words = words[begin : begin + max(1, (len(times) - head) // 4)]
    ticks = (words >> np.uint64(time_shift)).astype(np.int64)
    latest = np.maximum.accumulate(np.concatenate(([int(before)], ticks)))
    back = latest[:-1] - ticks
    wrong = np.flatnonzero((back > int(tolerance)) | (words & constant != constant))
    end = int(wrong[0]) if len(wrong) else len(words)
    live = np.flatnonzero(words[:end] & dummy == 0)
    bits = (words[live, None] >> np.arange(4, dtype=np.uint64) & np.uint64(1)).astype(bool)
    rows, detectors = np.nonzero(bits)
    filled = head + len(rows)
    times[head:filled] = ticks[live[rows]] * factor >> halvings
    channels[head:filled] = detectors + 1
    ordered = not (back[:end] > 0).any()
    return begin + end, filled, int(latest[end]), ordered, bool(len(wrong))


class _WordEncoder(TagEncoder):
    channels = frozenset((1, 2, 3, 4))
    layout: ClassVar[WordLayout]
    swapped: ClassVar[bool] = False

    def __init__(self, options: WordOptions | None = None) -> None:
        self._swapped = (options or WordOptions()).swapped != self.swapped

    def begin(self) -> bytes:
        """Return nothing: there is no header."""
        return b""

    def _encode(self, batch: TagBatch) -> bytes:
        words = self._words(batch.times_ps, batch.channels)
        return (words << 32 | words >> 32 if self._swapped else words).tobytes()

    def _words(self, times: Times, channels: Channels) -> NDArray[np.uint64]:
        layout = self.layout
        # The smallest tick whose whole picoseconds are this time; a time between two ticks goes to the earlier.
        up = -((-times << layout.halvings) // layout.factor)
        fits = (up * layout.factor) >> layout.halvings == times
        ticks = np.where(fits, up, (times << layout.halvings) // layout.factor)
        steps, place = np.unique(ticks, return_inverse=True)
        pattern = np.zeros(len(steps), np.uint64)
        np.bitwise_or.at(pattern, place, np.uint64(1) << (channels - 1).astype(np.uint64))
        wrapped = steps.astype(np.uint64) & np.uint64((1 << layout.time_bits) - 1)
        words: NDArray[np.uint64] = (
            wrapped << np.uint64(layout.time_shift) | np.uint64(layout.constant) | pattern
        )
        return words


class Tdc2Encoder(_WordEncoder):
    """Write TDC2 events."""

    format = "tdc2"
    layout = TDC2


class ConsolidatedTdc1Encoder(_WordEncoder):
    """Write TDC1 events in 64 bits."""

    format = "tdc1-64"
    layout = TDC1_CONSOLIDATED


class Timestamp3Encoder(_WordEncoder):
    """Write timestamp3 events."""

    format = "timestamp3"
    layout = TIMESTAMP3
    swapped = True


class Tdc1Encoder(_WordEncoder):
    """Write a TDC1 stream, with the dummy words that make each wrap visible."""

    format = "tdc1"
    layout = _TDC1

    def __init__(self, options: CodecOptions | None = None) -> None:
        super().__init__()
        self._half = 0

    def _encode(self, batch: TagBatch) -> bytes:
        words = self._words(batch.times_ps, batch.channels)
        halves = np.unique(batch.times_ps // self.layout.factor >> (_TDC1_TIME_BITS - 1), return_index=True)[
            0
        ]
        last = int(halves[-1]) if len(halves) else self._half
        between = np.arange(self._half + 1, last + 1)
        dummies = (between.astype(np.uint64) << np.uint64(31) & np.uint64(0xFFFFFFFF)) | np.uint64(_DUMMY)
        ticks = np.unique(batch.times_ps // self.layout.factor)
        place = np.searchsorted(ticks, between << (_TDC1_TIME_BITS - 1))
        self._half = last
        return np.insert(words, place, dummies).astype("<u4").tobytes()
