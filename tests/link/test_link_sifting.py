from dataclasses import replace

import numpy as np
import pytest

from qhal.errors import OutOfRange
from qhal.link.link_errors import NotEnoughCounts
from qhal.link.pattern import Intensity, bb84_pattern
from qhal.link.sifting import Sifter, StraightClock
from qhal.link.symbol_kernels import random_bit
from qhal.link.symbol_tags import SymbolTags
from qhal.link.sync import SymbolClock
from qhal.tags.batch import Gap
from qhal.tags.codecs.sfifteen import TDC1_CONSOLIDATED, TDC2, TIMESTAMP3
from tests.link.link_clicks import Link, cut, ideal_response, with_gap

PATTERN = bb84_pattern(21)
MS = 1_000_000_000
LINK = Link(PATTERN, ideal_response(), frequency_offset=-1.1e-6, first_symbol=777.7, background_hz=2e4)
FIELDS = ("live", "clicked", "sifted_by_basis", "errors_by_basis", "cross_basis", "same_basis", "clicks")
SHAPES = {"sifted_by_basis": (3, 2), "errors_by_basis": (3, 2), "clicks": (3, 4, 4)}


def tags_of(clicks, start, stop, window_ps=3000.0):
    """Symbol tags from (symbol, detector, offset) triples."""
    s, d, o = zip(*clicks, strict=True) if clicks else ((), (), ())
    return SymbolTags(
        np.array(s, np.int64), np.array(d, np.uint8), np.array(o, np.float32), start, stop, window_ps
    )


def reference(pattern, parts, hold, seed):
    """The rule of the live symbols, symbol by symbol in plain Python."""
    counts = {name: np.zeros(SHAPES.get(name, 3), np.int64) for name in FIELDS}
    dead_until, last_stop = 0, None
    for part in parts:
        if part.start != last_stop:
            dead_until = part.start + hold
        last_stop = part.stop
        by_symbol = {}
        for s, d, o in zip(
            part.symbols.tolist(), part.detectors.tolist(), part.offsets_ps.tolist(), strict=True
        ):
            by_symbol.setdefault(s, []).append((d, o))
        for n in range(part.start, part.stop):
            clicks = by_symbol.get(n, [])
            live = n >= dead_until
            if clicks:
                dead_until = n + hold + 1
            if not live:
                continue
            k, basis, bit = (
                int(x[n % len(pattern)]) for x in (pattern.intensity, pattern.basis, pattern.bit)
            )
            seen = {d for d, o in clicks if abs(o) < part.window_ps / 2}
            counts["live"][k] += 1
            counts["clicked"][k] += bool(seen)
            for d in seen:
                counts["clicks"][k, 2 * basis + bit, d] += 1
            bases = {d // 2 for d in seen}
            counts["cross_basis"][k] += len(bases) == 2
            counts["same_basis"][k] += len(bases) == 1 and len(seen) == 2
            if bases == {basis}:
                value = random_bit(seed, n) if len(seen) == 2 else seen.pop() % 2
                counts["sifted_by_basis"][k, basis] += 1
                counts["errors_by_basis"][k, basis] += value != bit
    return counts


def assert_same(counts, want):
    for name in FIELDS:
        assert np.array_equal(getattr(counts, name), want[name]), name


@pytest.mark.parametrize("seed", range(6))
def test_any_clicks_are_counted_as_by_the_plain_rule(seed, monkeypatch):
    monkeypatch.setattr("qhal.link.sifting._EDGE_ROOM", 100)  # so that stretches are put away now and then
    rng = np.random.default_rng(seed)
    pattern = bb84_pattern(seed, 64)
    hold, parts, start = int(rng.integers(0, 6)), [], int(rng.integers(0, 500))
    for _ in range(8):
        stop = start + int(rng.integers(0, 700))
        number = int((stop - start) * rng.choice([0.0, 0.02, 0.4, 1.5]))
        clicks = sorted(
            zip(
                rng.integers(start, max(stop, start + 1), number).tolist() if stop > start else [],
                rng.integers(0, 4, number).tolist(),
                rng.uniform(-1500, 8500, number).tolist(),
                strict=False,
            ),
            key=lambda click: click[0],
        )
        parts.append(tags_of(clicks, start, stop))
        start = stop + int(rng.choice([0, 0, 3, 200]))
    sifter = Sifter(pattern, hold * 10_000.0, seed)
    sifter.push(parts)
    assert_same(sifter.counts(), reference(pattern, parts, hold, seed))


def test_the_cut_of_the_stream_makes_no_difference():
    rng = np.random.default_rng(1)
    tags = with_gap(LINK.batch(rng, 60 * MS), Gap(20 * MS, 20 * MS + 123_456))
    results = []
    for batches in ([tags], cut(tags, rng.integers(21 * MS, 60 * MS, 60).tolist())):
        clock, sifter = SymbolClock(PATTERN), Sifter(PATTERN, 35_000, seed=5)
        for batch in batches:
            sifter.push(clock.push(batch))
        sifter.push(clock.finish())
        results.append(sifter.counts())
    assert_same(results[0], {name: getattr(results[1], name) for name in FIELDS})


@pytest.mark.parametrize("layout", [TDC2, TDC1_CONSOLIDATED, TIMESTAMP3], ids=lambda layout: layout.name)
def test_words_in_one_pass_are_counted_as_step_by_step(layout):
    rng = np.random.default_rng(7)
    pattern = bb84_pattern(3, 256)
    symbols = np.cumsum(rng.geometric(0.2, 4000)) + 100
    tick_ps = layout.factor / 2**layout.halvings
    clock = StraightClock(10**12 + 7, 90, 0.25, (1 + 2e-6) / pattern.period_ps)
    offsets = rng.choice([-400.0, 0.0, 400.0, 4000.0, 7000.0], len(symbols))
    times = clock.time_ps + (symbols - clock.symbol - clock.fraction) / clock.rate + offsets
    ticks = np.round(times / tick_ps).astype(np.int64)
    patterns = np.where(
        rng.random(len(symbols)) < 0.1,
        rng.integers(1, 16, len(symbols)),
        1 << rng.integers(0, 4, len(symbols)),
    )
    words = ticks.astype(np.uint64) << np.uint64(layout.time_shift) | patterns.astype(np.uint64)
    if layout.dummy:
        words[::50] |= np.uint64(layout.dummy)
        patterns[::50] = 0
    wiring = (2, 0, 3, 1)
    rows, inputs = np.nonzero(patterns[:, None] >> np.arange(4) & 1)
    stop = int(symbols[-1]) + 40
    step_by_step, one_pass = Sifter(pattern, 25_000, 11), Sifter(pattern, 25_000, 11)
    step_by_step.push(
        [
            SymbolTags(
                symbols[rows],
                np.array(wiring, np.uint8)[inputs],
                offsets[rows].astype(np.float32),
                90,
                stop,
                3000.0,
            )
        ]
    )
    for part, first, last in (
        (slice(0, 1500), 90, int(symbols[1500])),
        (slice(1500, None), int(symbols[1500]), stop),
    ):
        one_pass.push_words(words[part], layout, clock, range(first, last), 3000.0, wiring)
    assert_same(one_pass.counts(), {name: getattr(step_by_step.counts(), name) for name in FIELDS})
    with pytest.raises(OutOfRange, match="a window of 20000 ps in a period of 10000"):
        one_pass.push_words(words, layout, clock, range(stop, stop + 1), 20_000)
    with pytest.raises(OutOfRange, match="are not 0, 1, 2, 3 in some order"):
        one_pass.push_words(words, layout, clock, range(stop, stop + 1), 3000, (0, 0, 1, 2))


def test_each_click_takes_the_hold_off_out_and_so_does_a_gap():
    pattern = bb84_pattern(2, 64)
    sifter = Sifter(pattern, 35_000)
    sifter.push([tags_of([(20, 0, 0.0), (22, 1, 5000.0)], 0, 40)])
    # 0..3 follow a gap; 21..24 follow the first click, 23..26 the second (outside its window).
    dead = {0, 1, 2, 3, *range(21, 27)}
    live = np.bincount([pattern.intensity[n] for n in range(40) if n not in dead], minlength=3)
    assert np.array_equal(sifter.counts().live, live)
    assert sifter.counts().clicked.sum() == 1
    sifter.push([tags_of([], 45, 64)])
    live += np.bincount(pattern.intensity[49:64], minlength=3)
    assert np.array_equal(sifter.counts().live, live)
    with pytest.raises(OutOfRange, match="counted already"):
        sifter.push([tags_of([], 60, 70)])


def test_a_symbol_open_at_a_gap_is_not_counted():
    pattern = bb84_pattern(2, 64)
    sifter = Sifter(pattern, 0)
    sifter.push([tags_of([(10, 0, 0.0)], 0, 10), tags_of([(30, 0, 0.0)], 30, 32)])
    assert sifter.counts().clicked.sum() == 1
    assert sifter.counts().live.sum() == 12


def test_gains_and_error_rates_are_unbiased_over_seeds():
    """Pulls against the truth by enumeration; with strong noise and tags outside the window."""
    link = replace(LINK, transmission=0.12)
    truth = link.truth(3000.0)
    pulls, naive = [], []
    for seed in range(40):
        rng = np.random.default_rng([seed, 9])
        tags = link.batch(rng, 100 * MS)
        clock, sifter = SymbolClock(PATTERN), Sifter(PATTERN, link.dead_time_ps, seed)
        parts = clock.push(tags) + clock.finish()
        sifter.push(parts)
        counts = sifter.counts()
        for k in Intensity:
            gain, qber = counts.gain(k), counts.qber(k)
            pulls.append((gain.value - truth["gain"][k]) / gain.standard_uncertainty)
            pulls.append((qber.value - truth["qber"][k]) / qber.standard_uncertainty)
        symbols = sum(part.stop - part.start for part in parts) / 2
        naive.append((counts.clicked[0] / symbols - truth["gain"][0]) / gain.standard_uncertainty)
    pulls = np.array(pulls).reshape(40, 6)
    assert np.all(np.abs(pulls.mean(axis=0)) < 4 / np.sqrt(40))
    assert abs(pulls.mean()) < 0.25
    assert np.all(np.abs(pulls.std(axis=0) - 1) < 0.45)
    assert abs(pulls.std() - 1) < 0.15
    assert np.mean(naive) < -10  # the mistake that the live rule avoids


def test_click_matrix_shows_the_response():
    rng = np.random.default_rng(3)
    response = np.array(
        [[0.9, 0.1, 0.3, 0.7], [0.1, 0.9, 0.7, 0.3], [0.5, 0.5, 0.8, 0.2], [0.5, 0.5, 0.2, 0.8]]
    )
    link = replace(LINK, response=response, background_hz=0.0)
    clock, sifter = SymbolClock(PATTERN), Sifter(PATTERN, 35_000)
    sifter.push(clock.push(link.batch(rng, 300 * MS)) + clock.finish())
    matrix = sifter.counts().click_matrix(Intensity.SIGNAL)
    live = sifter.counts().live[0] / 4
    expected = live * (1 - np.exp(-link.photons()[0] * 0.97259))
    assert np.all(np.abs(matrix.counts - expected) < 5 * matrix.standard_uncertainties)
    assert matrix.qber.value == pytest.approx(0.15, abs=0.01)
    assert sifter.counts().click_matrix().counts.sum() == sifter.counts().clicks.sum()


def test_counts_of_spans_add_and_subtract():
    sifter = Sifter(bb84_pattern(2, 64), 0)
    sifter.push([tags_of([(3, 0, 0.0)], 0, 50)])
    first = sifter.counts()
    sifter.push([tags_of([(60, 0, 0.0)], 50, 100)])
    later = sifter.counts() - first
    assert later.live.sum() == 50
    assert later.clicked.sum() == 1
    assert_same(first + later, {name: getattr(sifter.counts(), name) for name in FIELDS})
    assert first.gain(0).interval(0.95).high > first.gain(0).value
    with pytest.raises(NotEnoughCounts):
        (first - first).gain(0)
    with pytest.raises(NotEnoughCounts):
        (first - first).qber(0)


def test_random_bits_are_fair_and_depend_on_seed_and_symbol_only():
    bits = np.array([[random_bit(seed, n) for n in range(4000)] for seed in range(4)])
    assert np.all(np.abs(bits.mean(axis=1) - 0.5) < 4 * 0.5 / np.sqrt(4000))
    assert np.all(np.abs(np.corrcoef(bits)[np.triu_indices(4, 1)]) < 0.07)


def test_impossible_arguments_are_refused():
    with pytest.raises(OutOfRange):
        Sifter(PATTERN, -1.0)
    with pytest.raises(OutOfRange):
        Sifter(PATTERN, 1.0, seed=-1)
