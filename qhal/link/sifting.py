"""Counts of symbols, clicks and errors by intensity, while all detectors are live."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qhal.errors import OutOfRange
from qhal.link.estimates import SiftedCounts
from qhal.link.pattern import SymbolPattern
from qhal.link.symbol_kernels import LIVE_SYMBOLS, bad_luck, sift, sift_words
from qhal.link.symbol_tags import SymbolTags
from qhal.tags.codecs.sfifteen import WordLayout

_EDGE_ROOM = 2**31 - 1
"""Tags after which the edges at one symbol of the pattern might overflow 32 bits."""


@dataclass(frozen=True, slots=True)
class StraightClock:
    """A clock of constant rate: the pulse of symbol n arrives where ``symbol + fraction + (t - time_ps) rate`` is n.

    ``rate``: symbols per picosecond of the tagger.
    """

    time_ps: int
    symbol: int
    fraction: float
    rate: float


class Sifter:
    """Counts an endless stream of symbol tags.

    A symbol counts only if all four detectors were live when its slot began: after any click, in or out of the window,
    the next ``ceil(hold_off / period)`` symbols are excluded from numerator and denominator. So are the symbols of a
    gap in the stream, and as many after it, because a click in the gap may be lost. Without this, bright symbols
    (which follow clicks) look dimmer. Two clicks in one basis give a random bit, a hash of ``seed`` and the symbol's
    number; clicks in both bases count in the gain and are dropped from sifting.

    Parameters
    ----------
    pattern
        Pattern of the sender.
    hold_off_ps
        Dead time of a detector after a click.
    seed
        Seed of the random bits.

    Raises
    ------
    OutOfRange
        For a negative number.
    """

    def __init__(self, pattern: SymbolPattern, hold_off_ps: float, seed: int = 0) -> None:
        if hold_off_ps < 0 or not 0 <= seed < 2**63:
            raise OutOfRange(
                f"hold-off {hold_off_ps} ps and seed {seed} must not be negative (seed below 2^63)"
            )
        self._hold = math.ceil(hold_off_ps / pattern.period_ps)
        self._period_ps = pattern.period_ps
        self._codes = pattern.intensity + 4 * pattern.states
        one_hot = pattern.intensity[:, None] == np.arange(3)
        self._cumulative = np.concatenate((np.zeros((1, 3), np.int64), np.cumsum(one_hot, axis=0)))
        self._seed = seed
        self._stop: int | None = None
        self._state = np.zeros(5, np.int64)
        self._outcomes = np.zeros((16, 16), np.int64)
        self._edges = np.zeros(len(pattern), np.int64)
        self._room = _EDGE_ROOM
        self._luck = np.zeros((3, 2), np.int64)
        self._live = np.zeros(3, np.int64)

    def push(self, parts: Iterable[SymbolTags]) -> None:
        """Count the next parts of the stream. Raises OutOfRange for one that goes back."""
        for tags in parts:
            self._begin(tags.start, tags.stop, len(tags))
            ascending = sift(
                tags.symbols,
                tags.detectors,
                tags.offsets_ps,
                tags.window_ps / 2,
                self._hold,
                self._codes,
                self._seed,
                self._state,
                self._outcomes,
                self._edges,
                self._luck,
            )
            self._check(ascending, range(tags.start, tags.stop))

    def push_words(
        self,
        words: NDArray[np.uint64],
        layout: WordLayout,
        clock: StraightClock,
        symbols: range,
        window_ps: float,
        detector_of: Sequence[int] = (0, 1, 2, 3),
    ) -> None:
        """Count a tagger's own words, in one pass: for rates at which separate steps do not keep up.

        ``clock`` places the words' times, which must not wrap; ``symbols`` are those that the words cover;
        ``detector_of``: ``2 * basis + bit`` of the four inputs. Raises OutOfRange for a window that is not part of the
        period, and as :meth:`push`.
        """
        if not 0 < window_ps <= self._period_ps:
            raise OutOfRange(f"a window of {window_ps} ps in a period of {self._period_ps} ps")
        if sorted(detector_of) != [0, 1, 2, 3]:
            raise OutOfRange(f"detectors {tuple(detector_of)} are not 0, 1, 2, 3 in some order")
        patterns, masks = np.arange(32), np.zeros(32, np.int64)
        for n, detector in enumerate(detector_of):
            masks |= (patterns >> n & 1) << detector
        masks[patterns & layout.dummy != 0] = 0
        tick_ps = layout.factor / 2**layout.halvings
        start = (clock.time_ps << layout.halvings) // layout.factor
        early_ps = clock.time_ps - start * tick_ps
        self._begin(symbols.start, symbols.stop, len(words))
        ascending = sift_words(
            words,
            layout.time_shift,
            start,
            clock.symbol,
            clock.fraction - early_ps * clock.rate,
            tick_ps * clock.rate,
            window_ps / 2 / self._period_ps,
            masks,
            self._hold,
            self._codes,
            self._seed,
            self._state,
            self._outcomes,
            self._edges,
            self._luck,
        )
        self._check(ascending, symbols)

    def counts(self) -> SiftedCounts:
        """Return a snapshot of the counts so far."""
        outcomes, luck, live = self._settled()
        by_mask = outcomes.reshape(4, 4, 16)[:, :3]  # state, intensity, mask
        states, masks = np.arange(4)[:, None], np.arange(16)[None, :]
        clicks = np.stack([by_mask[..., masks[0] >> n & 1 == 1].sum(axis=2) for n in range(4)], axis=2)
        cross = (masks & 3 > 0) & (masks >> 2 > 0)
        double = ~cross & ((masks == 3) | (masks == 12))
        own = masks >> (states & 2) & 3  # the clicks in the sender's basis
        sifted = ~cross & (own > 0)
        wrong = sifted & (own == 2 - (states & 1))

        def counted(chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
            """Return the symbols whose state and mask are chosen, by intensity and basis."""
            by_state = (by_mask * chosen[:, None, :]).sum(axis=2)
            return np.stack((by_state[:2].sum(axis=0), by_state[2:].sum(axis=0)), axis=1)

        every = np.ones((4, 16), bool)
        return SiftedCounts(
            live=live + counted(every).sum(axis=1),
            clicked=counted(every & (masks > 0)).sum(axis=1),
            sifted_by_basis=counted(sifted),
            errors_by_basis=counted(wrong) + luck,
            cross_basis=counted(every & cross).sum(axis=1),
            same_basis=counted(every & double).sum(axis=1),
            clicks=clicks.transpose(1, 0, 2),
        )

    def _begin(self, start: int, stop: int, tags: int) -> None:
        if self._stop is not None and start < self._stop:
            raise OutOfRange(f"symbols from {start} were counted already, up to {self._stop}")
        if start != self._stop:
            self._outcomes, self._luck, self._live = self._settled()
            self._edges[:] = 0
            # As after a click in the last symbol of the gap.
            before = start - 1
            self._state[:] = before, before % len(self._codes), 0, 0, 0
        self._room -= tags
        if self._room < 0:
            self._live += self._stretches()
            self._edges[:] = self._state[LIVE_SYMBOLS] = 0
            self._room = _EDGE_ROOM - tags
        self._stop = stop

    def _check(self, ascending: bool, symbols: range) -> None:
        if not ascending:
            self._stop = None  # what was counted of this piece is not whole: restart after it
            raise OutOfRange(f"symbols {symbols.start} to {symbols.stop}: the tags are not in order")

    def _settled(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return outcomes, luck and live symbols without a tag, up to where the stream has come."""
        outcomes, luck, live = self._outcomes.copy(), self._luck.copy(), self._live.copy()
        if self._stop is None:
            return outcomes, luck, live
        current, place, mask, is_live, _ = self._state.tolist()
        if current < self._stop:  # what is open at the end is not complete
            outcomes[self._codes[place], mask] += is_live
            code = int(self._codes[place])
            if is_live and mask == 3 << (code >> 2 & 2):
                luck[code & 3, code >> 3] += bad_luck(current, code >> 2, self._seed)
        first = current + self._hold + 1
        if first < self._stop:
            live += self._symbols_before(self._stop) - self._symbols_before(first)
        return outcomes, luck, live + self._stretches()

    def _stretches(self) -> NDArray[np.int64]:
        """Return the symbols of the stretches that have an end: places tell all but whole turns, their sum the rest."""
        length = len(self._codes)
        starts, places = (np.arange(length) + self._hold + 1) % length, np.arange(length)
        begins, ends = self._edges & 0xFFFFFFFF, self._edges >> 32
        turns = (self._state[LIVE_SYMBOLS] - ends @ places + begins @ starts) // length
        live: NDArray[np.int64] = ends @ self._cumulative[:-1] - begins @ self._cumulative[starts]
        live += turns * self._cumulative[-1]
        return live

    def _symbols_before(self, symbol: int) -> NDArray[np.int64]:
        """Return how many symbols of each intensity come before a symbol."""
        turns, place = divmod(symbol, len(self._codes))
        count: NDArray[np.int64] = turns * self._cumulative[-1] + self._cumulative[place]
        return count
