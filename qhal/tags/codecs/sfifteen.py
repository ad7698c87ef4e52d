"""Event words of S-Fifteen Instruments and their ancestors: a time above, a pattern of detectors below.

A word with several pattern bits is several detectors within one time step, and becomes one tag for each; a dummy
word only says that time went on, and orders no events. Times wrap; a dummy at least every half period makes every wrap
visible: a time ahead by up to three quarters of a period is ahead, else it is late.
Sources: vendor's and authors' readers (readevents4, readevents7, filespec), field by field in each layout.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from qhal.errors import DataError
from qhal.tags.batch import TagBatch
from qhal.tags.codecs import compiled
from qhal.tags.codecs.codec import (
    Channels,
    CodecOptions,
    Disorder,
    Piece,
    ReadingOptions,
    TagDecoder,
    TagEncoder,
    lateness,
)
from qhal.tags.codecs.units import MAX_PS, Times, to_ps, to_ticks

_DUMMY = 16
_MOST_DUMMIES = 1 << 26
"""Dummy words in a row that an encoder writes: 100 days of a TDC1."""
_WHY = (
    "",
    "no event of {name}",
    "{back} ps before an earlier event, more than disorder_ps={disorder}",
    "beyond 2^63 ps",
)


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
        """The period after which times restart."""
        return (self.factor << self.time_bits) >> self.halvings

    @property
    def unit(self) -> Fraction:
        """Picoseconds of a tick."""
        return Fraction(self.factor, 1 << self.halvings)


TDC2 = WordLayout("tdc2", 10, 54, 125, halvings=5, constant=0x300)
"""1/256 ns (timestamp7 and TDC2 with ``-a1``); bits 9 and 8 are always 1."""
TDC1_CONSOLIDATED = WordLayout("tdc1-64", 19, 45, 2000, halvings=0)
"""2 ns, as readevents4 writes it with ``-a1``."""
TIMESTAMP3 = WordLayout("timestamp3", 15, 49, 125, halvings=0, dummy=0)
"""1/8 ns, the older cards; two 32-bit halves, the upper one first."""
TDC1 = WordLayout("tdc1", 5, 27, 2000, halvings=0)
"""2 ns, as the unit sends it, in 32 bits."""


class WordOptions(CodecOptions):
    """``swapped``: whether the upper 32-bit half comes first (legacy order)."""

    swapped: bool = False


class WordReading(WordOptions, ReadingOptions):
    """How to read 64-bit words."""


class _Words(TagDecoder):
    record: ClassVar[np.dtype[Any]] = np.dtype("<u8")
    # The unit's firmware sorts within blocks only: a maker's own recordings go back by up to 97 us.
    usual_disorder_ps = 1_000_000_000
    layout: ClassVar[WordLayout]
    swapped: ClassVar[bool] = False

    def __init__(self, options: ReadingOptions | None = None, **where: Any) -> None:
        super().__init__(options, **where)
        self._swapped = getattr(options, "swapped", False) != self.swapped
        # What is further back than this is taken for a wrap.
        self.disorder_ps = min(self.disorder_ps, self.layout.wrap_ps // 4 - 1)
        self._before: int | None = None
        self._base_ps = 0
        self._latest_ps = -self.layout.wrap_ps

    def _decode(self, records: NDArray[Any], head: int) -> Piece:
        words: NDArray[np.uint64] = records.astype(np.uint64, copy=False)
        if self._swapped:
            words = (words << np.uint64(32)) | (words >> np.uint64(32))
        layout, latest = self.layout, self._latest_ps
        if self._before is None and len(words):
            self._before = int(words[0]) >> layout.time_shift
        before, base = self._before or 0, self._base_ps
        parts: list[tuple[Times, Channels]] = []
        place, ordered, stuck, free = 0, head == 0, 0, head
        while place < len(words) and not stuck:
            room = free + (len(words) - place) * 5 // 4 + 4 * 512
            times, channels = np.empty(room, np.int64), np.empty(room, np.uint8)
            decode = _decode_plainly if compiled.kernels is None else compiled.kernels.decode_patterns
            place, filled, before, base, latest, in_order, stuck = decode(
                words, place, before, base, latest, layout.time_shift, layout.time_bits, layout.factor,
                layout.halvings, np.uint64(layout.dummy), np.uint64(layout.constant), self.disorder_ps, MAX_PS,
                times, channels, free,
            )  # fmt: skip
            ordered = ordered and bool(in_order)
            parts.append((times[:filled], channels[:filled]))
            free = 0
        if not parts:
            parts.append((np.empty(head, np.int64), np.empty(head, np.uint8)))
        times, channels = (np.concatenate(c) if len(parts) > 1 else c[0] for c in zip(*parts, strict=True))
        disorder = Disorder() if ordered else lateness(times[head:], self._latest_ps)
        self._before, self._base_ps, self._latest_ps = int(before), int(base), int(latest)
        reached = self._latest_ps
        if reached == -layout.wrap_ps:  # no event yet
            reached = self._reached_ps or 0
        piece = Piece(
            times_ps=times,
            channels=channels,
            reached_ps=reached,
            ordered=ordered,
            gaps=(),
            bad=None,
            why="",
            disorder=disorder,
        )
        if stuck:
            piece.bad, piece.why = int(place), self._reason(int(words[place]), int(stuck))
        return piece

    def _reason(self, word: int, kind: int) -> str:
        layout = self.layout
        time = self._base_ps + ((word >> layout.time_shift) * layout.factor >> layout.halvings)
        told = _WHY[kind].format(name=layout.name, back=self._latest_ps - time, disorder=self.disorder_ps)
        return f"word 0x{word:0{2 * self.record.itemsize}x} is {told}"

    @property
    def _covered_ps(self) -> int:
        """The time of the last word, be it an event or a dummy."""
        return self._base_ps + ((self._before or 0) * self.layout.factor >> self.layout.halvings)


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
    """S-Fifteen TDC1 stream: 32-bit words whose time wraps every 268 ms."""

    record = np.dtype("<u4")
    layout = TDC1


def _decode_plainly(
    words: NDArray[np.uint64],
    begin: int,
    before: int,
    base: int,
    latest: int,
    time_shift: int,
    time_bits: int,
    factor: int,
    halvings: int,
    dummy: np.uint64,
    constant: np.uint64,
    tolerance: int,
    limit: int,
    times: Times,
    channels: Channels,
    head: int,
) -> tuple[int, int, int, int, int, bool, int]:
    """Do in numpy what the kernel does."""
    words = words[begin : begin + max(1, (len(times) - head) // 4)]
    wrap, mask, most = (factor << time_bits) >> halvings, (1 << time_bits) - 1, (3 << time_bits) >> 2
    ticks = (words >> np.uint64(time_shift)).astype(np.int64)
    ahead = np.concatenate(([before], ticks[:-1]))
    forward = (ticks - ahead) & mask <= most
    wraps = base // wrap + np.cumsum(
        (forward & (ticks < ahead)).astype(np.int64) - (~forward & (ticks > ahead))
    )
    inside = ticks * factor >> halvings
    outside = (wraps < -1) | (wraps > (limit - inside) // wrap)
    absolute = np.where(outside, 0, wraps * wrap + inside)
    live = (words & dummy == 0) & (words & np.uint64(15) != 0)
    highest = np.maximum.accumulate(np.concatenate(([latest], np.where(live & ~outside, absolute, latest))))
    early = live & (absolute < highest[:-1] - tolerance)
    kinds = np.where(words & constant != constant, 1, np.where(outside, 3, np.where(early, 2, 0)))
    wrong = np.flatnonzero(kinds)
    end = int(wrong[0]) if len(wrong) else len(words)
    events = np.flatnonzero(live[:end])
    bits = (words[events, None] >> np.arange(4, dtype=np.uint64) & np.uint64(1)).astype(bool)
    rows, detectors = np.nonzero(bits)
    filled = head + len(rows)
    times[head:filled] = absolute[events[rows]]
    channels[head:filled] = detectors + 1
    ordered = not (absolute[events] < highest[events]).any()
    if end:
        before, base = int(ticks[end - 1]), int(wraps[end - 1]) * wrap
    return begin + end, filled, before, base, int(highest[end]), ordered, int(kinds[end]) if len(wrong) else 0


def _patterns(ticks: Times, channels: Channels) -> tuple[Times, NDArray[np.uint64]]:
    """Return the words of ascending ticks: a time step and the detectors in it.

    A detector that clicks more than once within a step has a word for each.
    """
    bits = np.uint64(1) << (channels - 1).astype(np.uint64)
    order = np.lexsort((channels, ticks))
    same = np.diff(ticks[order], prepend=-1) == 0
    same &= np.diff(channels[order].astype(np.int64), prepend=-1) == 0
    again = np.zeros(len(ticks), np.int64)
    again[order] = _run_lengths(same)
    if not again.any():
        steps, index = np.unique(ticks, return_inverse=True)
    else:
        words, index = np.unique(np.column_stack((ticks, again)), axis=0, return_inverse=True)
        steps = words[:, 0]
    pattern = np.zeros(len(steps), np.uint64)
    np.bitwise_or.at(pattern, index.ravel(), bits)
    return steps, pattern


def _run_lengths(same: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return for each value how many before it are the same in a row."""
    index = np.arange(len(same))
    return index - np.maximum.accumulate(np.where(same, 0, index))


class _WordEncoder(TagEncoder):
    """Write event words, and the dummy words that make each wrap visible to a reader that begins at 0."""

    channels = frozenset((1, 2, 3, 4))
    layout: ClassVar[WordLayout]
    swapped: ClassVar[bool] = False
    word: ClassVar[np.dtype[Any]] = np.dtype("<u8")

    def __init__(self, options: WordOptions | None = None) -> None:
        self._swapped = (options or WordOptions()).swapped != self.swapped
        self._half = self._tick = 0
        self._begun = False

    def _encode(self, batch: TagBatch) -> bytes:
        layout = self.layout
        self._check_times(batch.times_ps, MAX_PS)
        ticks = to_ticks(batch.times_ps, layout.unit)
        self._note_rounding(batch.times_ps, to_ps(ticks, layout.unit))
        steps, pattern = _patterns(ticks, batch.channels)
        words = self._word(steps) | pattern
        if layout.dummy:
            halves = self._halves(int(steps[-1]) if len(steps) else 0)
            dummies = self._word(halves) | np.uint64(layout.dummy)
            words = np.insert(words, np.searchsorted(steps, halves), dummies)
        else:
            self._check_steps(steps)
        return (words << 32 | words >> 32 if self._swapped else words).astype(self.word).tobytes()

    def _word(self, ticks: Times) -> NDArray[np.uint64]:
        layout = self.layout
        wrapped = (ticks & ((1 << layout.time_bits) - 1)).astype(np.uint64)
        return wrapped << np.uint64(layout.time_shift) | np.uint64(layout.constant)

    def _halves(self, last: int) -> Times:
        """Return the ticks of the half periods that begin up to the last tick, each told once."""
        half_bits = self.layout.time_bits - 1
        first, self._half = self._half + 1, max(self._half, last >> half_bits)
        if self._half - first > _MOST_DUMMIES:
            raise DataError(f"{self.format}: {self._half - first} dummy words in a row, with no tag between")
        return np.arange(first, self._half + 1) << half_bits

    def _check_steps(self, steps: Times) -> None:
        """Raise DataError where a reader without dummy words could not see that the time wrapped."""
        period = 1 << self.layout.time_bits
        if len(steps):
            ahead = int(np.diff(steps, prepend=self._tick).max())
            self._tick = int(steps[-1])
            if (steps[0] >= period and not self._begun) or ahead > (period >> 2) * 3:
                raise DataError(
                    f"{self.format} has no words for times without a tag, here {ahead * self.layout.unit} ps"
                )
            self._begun = True


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
    """Write a TDC1 stream."""

    format = "tdc1"
    layout = TDC1
    word = np.dtype("<u4")

    def __init__(self, options: CodecOptions | None = None) -> None:
        super().__init__()
