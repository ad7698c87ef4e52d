"""Clicks of a known pattern by intensity and by what came before, in the time in which the detectors could click."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qhal.link.pattern import SymbolPattern
from qhal.link.symbol_tags import SymbolTags

Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False, slots=True)
class SymbolCounts:
    """Counts of symbols by intensity (row) and intensity of the symbol before (column), each (3, 3).

    ``live``: no detector clicked in the ``hold`` symbols before. ``clicked``: of these, with a click in the window.
    ``quiet``: counts (3), by intensity of the symbol, of live symbols without a click in the window, with a vacuum
    behind them, that have a click in the quiet time; ``quiet_live``: of how many.
    """

    live: Counts
    clicked: Counts
    quiet_live: Counts
    quiet: Counts


def count_symbols(
    parts: Sequence[SymbolTags], pattern: SymbolPattern, hold: int, quiet_ps: float
) -> SymbolCounts:
    """Count the symbols of pieces of a stream.

    After a click, in or out of the window, the next ``hold`` symbols do not count, and as many at the start of a piece.
    The quiet time is the last ``quiet_ps`` before the next symbol's window, when a vacuum has settled already.
    """
    length, now = len(pattern), pattern.intensity.astype(np.int64)
    live, clicked, quiet, quiet_live = (np.zeros(length, np.int64) for _ in range(4))
    for tags in parts:
        kept = tags.symbols < tags.stop
        symbols, offsets = tags.symbols[kept], tags.offsets_ps[kept]
        every = np.unique(symbols)
        # As after a click in the last symbol before the piece.
        before = np.concatenate(([tags.start - 1], every))
        alive = every[np.diff(before) > hold]
        ends = np.append(every, tags.stop - 1)
        live += _places(np.array([tags.start]), np.array([tags.stop]), length)
        live -= _places(before + 1, np.minimum(before + hold, ends) + 1, length)
        pulses = np.intersect1d(symbols[np.abs(offsets) <= tags.window_ps / 2], alive)
        window_starts = pattern.period_ps - tags.window_ps / 2
        late = np.intersect1d(symbols[offsets >= window_starts - quiet_ps], np.setdiff1d(alive, pulses))
        clicked += np.bincount(pulses % length, minlength=length)
        quiet += np.bincount(late % length, minlength=length)
    quiet_live = live - clicked
    code = now * 3 + np.roll(now, 1)
    followed = np.roll(now, -1) == 2
    return SymbolCounts(
        _by(code, live, 9).reshape(3, 3),
        _by(code, clicked, 9).reshape(3, 3),
        _by(now[followed], quiet_live[followed], 3),
        _by(now[followed], quiet[followed], 3),
    )


def _places(starts: Counts, stops: Counts, length: int) -> Counts:
    """Return how often each position in the pattern lies in spans [start, stop) of symbols."""
    edges = np.bincount(starts % length, minlength=length) - np.bincount(stops % length, minlength=length)
    turns = int((stops // length - starts // length).sum())
    covered: Counts = np.cumsum(edges) + turns
    return covered


def _by(code: Counts, counts: Counts, kinds: int) -> Counts:
    summed: Counts = np.rint(np.bincount(code, counts, kinds)).astype(np.int64)
    return summed
