from dataclasses import replace

import numpy as np
import pytest

from qhal.errors import OutOfRange
from qhal.link.acquisition import PatternFinder, phase_sigma
from qhal.link.link_errors import NotEnoughCounts, SynchronisationFailed
from qhal.link.pattern import bb84_pattern
from qhal.link.skew import Deskewer, Receiver, estimate_skews_ps
from qhal.link.symbol_tags import ClockEventKind, SymbolTags
from qhal.link.sync import SymbolClock
from qhal.tags.batch import Gap, Loss, TagBatch
from tests.link.link_clicks import Link, cut, ideal_response, with_gap

PATTERN = bb84_pattern(11)
MS = 1_000_000_000
LINK = Link(PATTERN, ideal_response(), frequency_offset=0.9e-6, first_symbol=50_123.4)


def true_symbols(link, times_ps):
    """The symbol coordinate of times of the tagger."""
    return link.first_symbol + times_ps * (1 + link.frequency_offset) / link.pattern.period_ps


def without_joints(parts):
    """Join what belongs together, so that only gaps part it."""
    runs = []
    for part in parts:
        if runs and part.start == runs[-1][-1].stop:
            runs[-1].append(part)
        else:
            runs.append([part])
    return [SymbolTags.joined(run) for run in runs]


def assert_on_the_pattern(parts, link, times_ps, sigma_ps=30.0):
    """Each tag has the right symbol, and the pulses are in the middle of the window.

    The first tags of a stream may be missing, the last may not.
    """
    symbols = np.concatenate([part.symbols for part in parts])
    offsets = np.concatenate([part.offsets_ps for part in parts])
    coordinate = true_symbols(link, times_ps[-len(symbols) :])
    error = (symbols - coordinate) * link.pattern.period_ps + offsets
    shift = np.round(error / link.pattern.duration_ps) * link.pattern.duration_ps
    assert np.abs(error - shift + 50).max() < 4 * sigma_ps + 50  # 50 ps: mean of the tagger's rounding
    assert len(np.unique(shift)) == 1


@pytest.mark.parametrize("ppm", [-2.0, -0.3, 0.0, 1.0, 2.0])
def test_one_block_of_half_a_millisecond_is_enough(ppm):
    finder = PatternFinder(PATTERN)
    for seed in range(12):
        rng = np.random.default_rng([seed, 3])
        aligned = rng.uniform(0, 1) < 0.5  # polarization does not matter
        link = replace(
            LINK,
            frequency_offset=ppm * 1e-6,
            first_symbol=rng.uniform(0, 1e9),
            response=ideal_response() if aligned else np.full((4, 4), 0.5),
        )
        tags = link.batch(rng, MS // 2)
        found = finder.find(tags.times_ps, 0, MS // 2)
        error = found.symbol + found.fraction - true_symbols(link, found.time_ps)
        error -= round(error / len(PATTERN)) * len(PATTERN)
        assert abs(error) < 6 * found.fraction_sigma + 0.01
        assert 17 < found.significance < 30  # the specification of the link says about 23


@pytest.mark.parametrize("what", ["dark", "unmodulated", "other pattern", "another length"])
def test_what_is_not_the_pattern_is_refused_with_what_was_seen(what):
    rng = np.random.default_rng(1)
    other = {
        "dark": replace(LINK, transmission=0.0),
        "unmodulated": replace(LINK, transmission=0.0, background_hz=4e5),
        "other pattern": replace(LINK, pattern=bb84_pattern(12)),
        "another length": replace(LINK, pattern=bb84_pattern(11, symbols=32768)),
    }[what]
    with pytest.raises(SynchronisationFailed, match=r"no pattern in 20 blocks.*tags in 0\.500 ms"):
        SymbolClock(PATTERN, patience_blocks=20).push(other.batch(rng, 12 * MS))


def test_tracking_follows_offset_and_frequency():
    rng = np.random.default_rng(2)
    tags = LINK.batch(rng, 300 * MS)
    clock = SymbolClock(PATTERN)
    parts = [part for batch in cut(tags, [100 * MS, 200 * MS]) for part in clock.push(batch)] + clock.finish()
    assert sum(map(len, parts)) > 0.99 * len(tags)
    assert_on_the_pattern(parts, LINK, tags.times_ps)
    assert abs(clock.frequency_offset - 0.9e-6) < 5 * clock.frequency_sigma
    assert clock.frequency_sigma < 3e-9
    assert clock.position_sigma_ps < 20
    assert [event.kind for event in clock.events] == [ClockEventKind.ACQUIRED]
    for before, after in zip(parts, parts[1:], strict=False):
        assert after.start == before.stop


def test_a_wandering_clock_is_followed():
    """The frequency ramps by 1e-7 in 0.2 s, thousands of times faster than a quartz that warms up."""
    rng = np.random.default_rng(3)
    tags = LINK.batch(rng, 200 * MS)
    bent = tags.times_ps + (tags.times_ps * 1e-12) ** 2 * 0.25e-6 * 1e12
    warped = replace(tags, times_ps=bent.astype(np.int64), stop_ps=tags.stop_ps + 20_000)
    clock = SymbolClock(PATTERN)
    parts = clock.push(warped) + clock.finish()
    assert len(clock.events) == 1
    assert_on_the_pattern(parts, LINK, tags.times_ps, sigma_ps=60)


@pytest.mark.parametrize("jump_ps", [3_700, -103_700, 200_000_103_700, 70_000, 655_350_000])
def test_a_jump_of_the_time_base_costs_tags_but_no_symbol_is_wrong(jump_ps):
    rng = np.random.default_rng(4)
    at = 40 * MS + 123_456_789
    tags = LINK.batch(rng, 80 * MS)
    before = tags.times_ps < at
    # Silence of the length of a backward jump keeps the tags ascending.
    keep = before | (tags.times_ps >= at + max(0, -jump_ps))
    times = np.where(before, tags.times_ps, tags.times_ps + jump_ps)[keep]
    jumped = TagBatch(times, tags.channels[keep], 0, tags.stop_ps + jump_ps)
    clock = SymbolClock(PATTERN)
    parts = clock.push(jumped) + clock.finish()
    kinds = [event.kind for event in clock.events]
    assert kinds[0] == kinds[-1] == ClockEventKind.ACQUIRED
    if jump_ps == 70_000:
        assert ClockEventKind.SLIP in kinds  # whole symbols: nothing to be seen in the phase
    elif abs(jump_ps) < MS // 2:
        assert ClockEventKind.STEP in kinds
    expected = jump_ps * (1 + LINK.frequency_offset)
    difference = clock.events[-1].shift_ps - expected
    difference -= round(difference / PATTERN.duration_ps) * PATTERN.duration_ps
    assert abs(difference) < (300 if abs(jump_ps) < MS else 2500)  # the prediction over 0.2 s is less sure
    # Tags given out are judged by the pattern: dark symbols stay dark.
    for part in parts:
        inside = np.abs(part.offsets_ps) < 1500
        shares = (
            np.bincount(PATTERN.intensity[part.symbols[inside] % len(PATTERN)], minlength=3) / inside.sum()
        )
        assert shares[2] < 0.005
        assert inside.mean() > 0.95
    assert sum(map(len, parts)) > 0.9 * len(times)


def test_gaps_of_known_and_unknown_kind():
    rng = np.random.default_rng(5)
    tags = LINK.batch(rng, 60 * MS)
    known = Gap(10 * MS + 17, 13 * MS + 5, 100, Loss.EXACT)
    unknown = Gap(30 * MS, 30 * MS + 10)
    other = Gap(50 * MS, 51 * MS, channels=(9,))
    holed = replace(with_gap(with_gap(tags, known), unknown), gaps=(known, unknown, other))
    clock = SymbolClock(PATTERN)
    parts = without_joints(clock.push(holed) + clock.finish())
    kinds = [event.kind for event in clock.events]
    acquired, gap = ClockEventKind.ACQUIRED, ClockEventKind.GAP
    assert kinds == [acquired, gap, gap, acquired]
    assert abs(clock.events[-1].shift_ps) < 200
    assert len(parts) == 3
    lost = parts[1].start - parts[0].stop
    assert lost == pytest.approx(known.stop_ps / 1e4 - known.start_ps / 1e4, abs=3)
    assert 1 <= parts[2].start - parts[1].stop <= 3


def test_a_new_epoch_has_no_common_origin():
    rng = np.random.default_rng(6)
    first = LINK.batch(rng, 20 * MS)
    second = replace(LINK, first_symbol=9_876.5).batch(rng, 20 * MS, epoch=1)
    clock = SymbolClock(PATTERN)
    parts = without_joints(clock.push(first) + clock.push(second) + clock.finish())
    assert clock.events[-1].shift_ps is None
    assert len(parts) == 2
    assert parts[1].start > parts[0].stop
    assert_on_the_pattern(parts[1:], replace(LINK, first_symbol=9_876.5), second.times_ps)
    with pytest.raises(OutOfRange, match="before the end"):
        clock.push(second)


def test_the_cut_into_batches_makes_no_difference():
    rng = np.random.default_rng(7)
    skews = (0.0, 900.0, -1300.0, 400.0)
    link = replace(LINK, skews_ps=skews)
    tags = link.batch(rng, 30 * MS)
    gap = Gap(12 * MS + 31, 12 * MS + 77_777)
    tags = with_gap(tags, gap)
    edges = [*rng.integers(13 * MS, 30 * MS, 40).tolist(), 5, 2 * MS, 2 * MS + 1, 7 * MS]
    results = []
    for batches in ([tags], cut(tags, edges)):
        clock = SymbolClock(PATTERN, Receiver(skews_ps=(0, 900, -1300, 400)))
        parts = [part for batch in batches for part in clock.push(batch)] + clock.finish()
        results.append(
            [
                np.concatenate([getattr(part, name) for part in parts])
                for name in ("symbols", "detectors", "offsets_ps")
            ]
        )
    for one, other in zip(*results, strict=True):
        assert np.array_equal(one, other)


def test_skews_are_found_from_the_phases():
    rng = np.random.default_rng(8)
    skews = np.array([0.0, 1500.0, -2200.0, 430.0])
    for ppm in (-2.0, 0.0, 1.7):
        link = replace(LINK, skews_ps=tuple(skews), frequency_offset=ppm * 1e-6)
        tags = link.batch(rng, 50 * MS)
        found, sigmas = estimate_skews_ps(tags, (1, 2, 3, 4), PATTERN.period_ps)
        assert np.all(np.abs(found - (skews - skews.mean())) < 5 * np.array(sigmas))
        assert max(sigmas) < 15
    with pytest.raises(NotEnoughCounts, match="channel 7"):
        estimate_skews_ps(tags, (1, 2, 3, 7), PATTERN.period_ps)


def test_deskewed_tags_ascend_and_other_channels_are_left_out():
    rng = np.random.default_rng(9)
    times = np.sort(rng.integers(0, 10**8, 5000))
    channels = rng.integers(1, 7, 5000).astype(np.uint8)
    skews = np.array([0, 40_000, -40_000, 7])
    deskewer = Deskewer(Receiver((6, 2, 3, 1), (0, 40_000, -40_000, 7)))
    pieces = [
        p for b in cut(TagBatch(times, channels, 0, 10**8), [10**6, 5 * 10**7]) for p in deskewer.push(b)
    ]
    got = np.concatenate([p.times_ps for p in pieces])
    lookup = {6: 0, 2: 1, 3: 2, 1: 3}
    want = sorted(t - skews[lookup[c]] for t, c in zip(times, channels, strict=True) if c in lookup)
    want = [t for t in want if pieces[0].start_ps <= t < pieces[-1].stop_ps]
    assert got.tolist() == want
    assert (pieces[0].start_ps, pieces[-1].stop_ps) == (40_000, 10**8 - 40_000)


def test_impossible_arguments_are_refused():
    with pytest.raises(OutOfRange, match="window"):
        SymbolClock(PATTERN, window_ps=10_001)
    with pytest.raises(OutOfRange, match="four different"):
        Receiver((1, 2, 2, 3))


@pytest.mark.parametrize("width", [0.005, 0.02, 0.05, 0.12, 0.2])
def test_phase_is_as_uncertain_as_it_scatters(width):
    count, repetitions = 200, 4000
    turns = np.random.default_rng(5).normal(0.0, width, (repetitions, count))
    sums = np.exp(2j * np.pi * turns).sum(axis=1)
    scatter = float(np.std(np.angle(sums))) / (2 * np.pi)
    said = float(np.median([phase_sigma(abs(each), count) for each in sums]))
    assert said == pytest.approx(scatter, rel=0.06)
