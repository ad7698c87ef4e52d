"""Counting symbols against a loop that looks at one symbol after the other."""

import numpy as np

from qhal.calibration.fitting.symbol_counts import count_symbols
from qhal.link.pattern import bb84_pattern
from qhal.link.symbol_tags import SymbolTags

PERIOD, WINDOW, QUIET, HOLD = 10_000.0, 3000.0, 2500.0, 4


def slowly(parts, pattern):
    live, clicked, quiet_live, quiet = (np.zeros(shape, int) for shape in ((3, 3), (3, 3), (3,), (3,)))
    length = len(pattern)
    for tags in parts:
        dead_to = tags.start - 1 + HOLD
        for symbol in range(tags.start, tags.stop):
            offsets = tags.offsets_ps[tags.symbols == symbol]
            now, before, after = (int(pattern.intensity[(symbol + n) % length]) for n in (0, -1, 1))
            if symbol > dead_to:
                hit = bool((np.abs(offsets) <= WINDOW / 2).any())
                live[now, before] += 1
                clicked[now, before] += hit
                if after == 2 and not hit:
                    quiet_live[now] += 1
                    quiet[now] += bool((offsets >= PERIOD - WINDOW / 2 - QUIET).any())
            if len(offsets):
                dead_to = symbol + HOLD
    return live, clicked, quiet_live, quiet


def test_counts_are_those_of_a_loop():
    pattern = bb84_pattern(3, 64, period_ps=PERIOD)
    rng = np.random.default_rng(5)
    parts = []
    for start, stop in ((7, 500), (500, 501), (640, 1733)):
        symbols = np.sort(rng.integers(start, stop + 1, (stop - start) // 8))
        offsets = rng.uniform(-WINDOW / 2, PERIOD - WINDOW / 2, len(symbols)).astype(np.float32)
        detectors = np.zeros(len(symbols), np.uint8)
        parts.append(SymbolTags(symbols, detectors, offsets, start, stop, WINDOW))
    found = count_symbols(parts, pattern, HOLD, QUIET)
    for name, expected in zip(
        ("live", "clicked", "quiet_live", "quiet"), slowly(parts, pattern), strict=True
    ):
        assert getattr(found, name).tolist() == expected.tolist(), name
    assert found.quiet.sum() > 0
