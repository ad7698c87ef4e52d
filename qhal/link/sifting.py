"""Count symbols, clicks and errors by intensity, in the time in which the detectors could click."""

import math
from collections.abc import Iterable

import numpy as np

from qhal.errors import OutOfRange
from qhal.link.estimates import SiftedCounts
from qhal.link.kernels import CURRENT, NEXT, NEXT_PLACE, sift
from qhal.link.pattern import SymbolPattern
from qhal.link.symbol_tags import SymbolTags


class Sifter:
    """Accumulates the counts of an endless stream of symbol tags.

    A symbol counts only if all four detectors were live when its slot began: after any click, in or out of
    the window, the next ``ceil(hold_off / period)`` symbols leave numerator and denominator of their
    intensity. The same holds for symbols in a gap of the stream, and for as many after it, because a click
    in the gap may have gone unseen. Without this, bright symbols (which follow clicks) look dimmer.
    Two clicks in one basis give a random bit, a hash of ``seed`` and the symbol's number; clicks in
    both bases count in the gain and are dropped from sifting.
    """

    def __init__(self, pattern: SymbolPattern, hold_off_ps: float, seed: int = 0) -> None:
        if hold_off_ps < 0 or not 0 <= seed < 2**63:
            raise OutOfRange(
                f"hold-off {hold_off_ps} ps and seed {seed} must not be negative (seed below 2^63)"
            )
        self._hold = math.ceil(hold_off_ps / pattern.period_ps)
        self._codes = pattern.intensity + 4 * pattern.states
        one_hot = pattern.intensity[:, None] == np.arange(3)
        self._cumulative = np.concatenate(
            (np.zeros((1, 3), np.int32), np.cumsum(one_hot, axis=0, dtype=np.int32))
        )
        self._seed = seed
        self._state = np.array([-1, 0, 0, 0, 0, 0], np.int64)
        self._stop: int | None = None
        self._counters = np.zeros((6, 3), np.int64)
        self._clicks = np.zeros((3, 4, 4), np.int64)

    def push(self, parts: Iterable[SymbolTags]) -> None:
        """Count the next parts of the stream. Raises OutOfRange when one goes back."""
        for tags in parts:
            if self._stop is not None and tags.start < self._stop:
                raise OutOfRange(f"symbols from {tags.start} were counted already, up to {self._stop}")
            if tags.start != self._stop:
                self._state[CURRENT] = -1  # what was open at the gap is not complete
                self._state[NEXT] = tags.start + self._hold
                self._state[NEXT_PLACE] = self._state[NEXT] % len(self._codes)
            sift(
                tags.symbols,
                tags.detectors,
                tags.offsets_ps,
                tags.window_ps / 2,
                self._hold,
                tags.stop,
                self._codes,
                self._cumulative,
                self._seed,
                self._state,
                self._counters,
                self._clicks,
            )
            self._stop = tags.stop

    def counts(self) -> SiftedCounts:
        """Return a snapshot of the counts so far."""
        live, clicked, sifted, errors, cross_basis, same_basis = self._counters.copy()
        return SiftedCounts(live, clicked, sifted, errors, cross_basis, same_basis, self._clicks.copy())
