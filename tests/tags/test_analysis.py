"""Analysis of tag streams: exact against brute force, and the same however the stream is cut."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qhal.errors import DataError, OutOfRange
from qhal.tags.analysis.correction import DeadTime, merged, with_delays
from qhal.tags.analysis.correlation import CrossCorrelation, PairCounter, StartStop, TupleCounter
from qhal.tags.analysis.rates import RateMeter
from qhal.tags.batch import Gap, Loss, TagBatch

STOP = 400
ANY = settings(max_examples=150, deadline=None)
TAGS = st.lists(st.tuples(st.integers(0, STOP - 1), st.integers(1, 4)), max_size=60).map(sorted)
CUTS = st.lists(st.integers(0, STOP), max_size=6)
LOWS, SPANS = st.integers(-50, 30), st.integers(0, 60)


def batch(tags, start=0, stop=STOP, **more):
    times, channels = zip(*tags, strict=True) if tags else ((), ())
    return TagBatch(np.array(times, np.int64), np.array(channels, np.uint8), start, stop, **more)


def cut(whole, places):
    parts = []
    for place in sorted(places):
        part, whole = whole.split(place)
        parts.append(part)
    return [*parts, whole]


def fed(measure, parts):
    for part in parts:
        measure.add(part)
    return measure


def of(tags, channel):
    return [time for time, number in tags if number == channel]


@ANY
@given(TAGS, CUTS, LOWS, SPANS)
def test_pairs(tags, cuts, low, span):
    found = fed(PairCounter(1, 2, low, low + span), cut(batch(tags), cuts))
    expected = sum(low <= b - a <= low + span for a in of(tags, 1) for b in of(tags, 2))
    assert found.pairs == expected
    assert found.counts == {1: len(of(tags, 1)), 2: len(of(tags, 2))}


@ANY
@given(TAGS, CUTS, LOWS, st.integers(1, 9), st.integers(1, 9), st.sampled_from([(1, 2), (1, 1)]))
def test_cross_correlation(tags, cuts, low, bin_ps, bins, channels):
    a, b = channels
    found = fed(CrossCorrelation(a, b, bin_ps, bins, low), cut(batch(tags), cuts))
    expected = np.zeros(bins, int)
    for (n, (s, one)), (m, (t, two)) in itertools.product(enumerate(tags), repeat=2):
        if one == a and two == b and n != m and 0 <= t - s - low < bins * bin_ps:
            expected[(t - s - low) // bin_ps] += 1
    np.testing.assert_array_equal(found.histogram, expected)


@ANY
@given(
    TAGS, CUTS, st.integers(-40, 0), st.integers(0, 40), st.sampled_from([(1, 2), (3, 1, 2), (4, 2, 3, 1)])
)
def test_tuples(tags, cuts, low, high, channels):
    counter = fed(TupleCounter(channels, low, high), cut(batch(tags), cuts))
    expected = 0
    for reference in of(tags, channels[0]):
        expected += np.prod(
            [sum(low <= t - reference <= high for t in of(tags, c)) for c in channels[1:]], dtype=int
        )
    assert counter.tuples <= expected
    assert counter.finish() == expected == counter.finish()


@ANY
@given(TAGS, CUTS, st.integers(1, 20), st.integers(1, 20))
def test_start_stop(tags, cuts, bin_ps, bins):
    found = fed(StartStop(1, (3, 2), bin_ps, bins), cut(batch(tags), cuts))
    expected = np.zeros((2, bins), int)
    last = None
    for time, channel in tags:
        if channel == 1:
            last = time
        elif channel in (2, 3) and last is not None and time - last < bin_ps * bins:
            expected[3 - channel, (time - last) // bin_ps] += 1
    np.testing.assert_array_equal(found.histogram, expected)


@ANY
@given(TAGS, CUTS, st.integers(0, 40), st.booleans())
def test_dead_time(tags, cuts, dead_ps, extending):
    filter_ = DeadTime({1: dead_ps, 2: dead_ps // 2}, extending=extending)
    found = TagBatch.concatenate([filter_.apply(part) for part in cut(batch(tags), cuts)])
    kept, last = [], {}
    for time, channel in tags:
        dead = {1: dead_ps, 2: dead_ps // 2}.get(channel, 0)
        passes = channel not in last or time - last[channel] >= dead
        if passes:
            kept.append((time, channel))
        if passes or extending:
            last[channel] = time
    assert list(zip(found.times_ps, found.channels, strict=True)) == kept


@ANY
@given(TAGS, CUTS, st.dictionaries(st.integers(1, 4), st.integers(-60, 60)))
def test_delays(tags, cuts, delays):
    parts = list(with_delays(cut(batch(tags), cuts), delays))
    for before, after in itertools.pairwise(parts):
        assert before.stop_ps == after.start_ps
    found = TagBatch.concatenate(parts)
    shifted = sorted((time + delays.get(channel, 0), channel) for time, channel in tags)
    assert sorted(zip(found.times_ps.tolist(), found.channels.tolist(), strict=True)) == shifted
    assert (np.diff(found.times_ps) >= 0).all()
    assert found.start_ps <= min([t for t, _ in shifted], default=found.start_ps)
    assert found.stop_ps > max([t for t, _ in shifted], default=found.start_ps - 1)


def test_delays_move_gaps_with_their_channels():
    gaps = (Gap(100, 150, 3, Loss.EXACT, (2,)), Gap(200, 250))
    found = TagBatch.concatenate(with_delays(cut(batch([], gaps=gaps), [120]), {2: 40, 3: -10}))
    assert found.live_time_s(2) == pytest.approx((STOP + 50 - 50 - 100) * 1e-12)
    assert found.live_time_s(1) == pytest.approx((STOP + 50 - 100) * 1e-12)
    assert found.missed == 3


@ANY
@given(TAGS, TAGS, TAGS, CUTS, CUTS)
def test_merged(one, two, three, cuts, more_cuts):
    streams = [cut(batch(one), cuts), cut(batch(two), more_cuts), [batch(three)]]
    found = TagBatch.concatenate(merged(*streams))
    assert (found.start_ps, found.stop_ps) == (0, STOP)
    assert sorted(zip(found.times_ps, found.channels, strict=True)) == sorted(one + two + three)
    assert (np.diff(found.times_ps) >= 0).all()


def test_streams_of_different_epochs_are_not_merged():
    with pytest.raises(DataError, match=r"different epochs: \[0, 1\]"):
        list(merged([batch([])], [batch([], epoch=1)]))


@ANY
@given(TAGS, CUTS, st.integers(1, 100), st.integers(0, STOP), st.integers(0, STOP))
def test_rates(tags, cuts, bin_ps, one, two):
    gaps = (Gap(min(one, two), max(one, two), 5, Loss.EXACT, (2,)),)
    whole = batch(tags, gaps=gaps)
    meter = fed(RateMeter(bin_ps * 1e-12), cut(whole, cuts))
    assert meter.counts == whole.counts()
    assert meter.missed == 5
    for channel, rate in meter.rates_hz().items():
        live_s = whole.live_time_s(channel)
        assert rate == (pytest.approx(meter.counts[channel] / live_s) if live_s else np.inf)
    for bins in (1, 3):
        times, rates, sigmas = meter.over_time(1, bins=bins)
        assert len(times) == len(rates) == -(-STOP // (bin_ps * bins))
        assert np.nansum(rates) * bin_ps * bins * 1e-12 >= len(of(tags, 1)) - 1e-6
        counts = (rates / sigmas) ** 2  # Poisson
        assert np.nansum(counts) == pytest.approx(len(of(tags, 1)), rel=1e-9)


def test_pairs_do_not_reach_across_epochs():
    counter = fed(PairCounter(1, 2, 0, 50), [batch([(390, 1)]), batch([(395, 2)], epoch=1)])
    assert counter.pairs == 0
    tuples = fed(TupleCounter((1, 2), 0, 50), [batch([(390, 1)]), batch([(395, 2)], epoch=1)])
    assert tuples.finish() == 0


def test_unrelated_tags_have_a_correlation_of_one():
    rng = np.random.default_rng(5)
    times = np.sort(rng.integers(0, 10**9, 200_000))
    tags = TagBatch(times, rng.integers(1, 3, len(times)).astype(np.uint8), 0, 10**9)
    found = fed(CrossCorrelation(1, 2, 100, 100), [tags])
    expected = found.accidentals_per_ps * 100
    pulls = (found.histogram - expected) / np.sqrt(expected)
    assert abs(pulls.mean()) < 4 / np.sqrt(100)
    assert 0.7 < pulls.std() < 1.3
    assert found.g2().mean() == pytest.approx(1, abs=0.01)
    assert found.lags_ps[[0, -1]] == pytest.approx([-4950.5, 4949.5])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PairCounter(1, 300, 0, 1), "channel 300: there are 0..255"),
        (lambda: PairCounter(1, 2, 5, 4), "the first must not be larger"),
        (lambda: CrossCorrelation(1, 2, 0, 10), "10 bins of 0 ps"),
        (lambda: TupleCounter((1, 1), 0, 1), "give two or more different ones"),
        (lambda: TupleCounter((1, 2), 1, 2), "0 must be among them"),
        (lambda: StartStop(1, (1,), 1, 1), "give different channels"),
        (lambda: DeadTime(-1), "must not be negative"),
        (lambda: RateMeter(0), "give a positive time"),
        (lambda: CrossCorrelation(1, 2, 1, 1).g2(), "no tags to relate"),
    ],
)
def test_wrong_requests(make, message):
    with pytest.raises(OutOfRange, match=message):
        make()
