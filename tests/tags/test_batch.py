"""Tag batches: live time is what rates are taken over."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qhal.tags.batch import Gap, Loss, TagBatch


def batch(times, channels, start, stop, **more):
    return TagBatch(np.array(times, np.int64), np.array(channels, np.uint8), start, stop, **more)


def test_rates_use_live_time_of_the_channel():
    gaps = (Gap(0, 250_000_000_000), Gap(100_000_000_000, 500_000_000_000, 7, Loss.EXACT, (2,)))
    tags = batch([600_000_000_000, 700_000_000_000], [1, 2], 0, 10**12, gaps=gaps)
    assert tags.live_time_s() == pytest.approx(0.5)
    assert tags.live_time_s(1) == pytest.approx(0.75)
    assert tags.rates_hz() == {1: pytest.approx(1 / 0.75), 2: pytest.approx(2.0)}
    assert tags.missed == 7
    assert not tags.complete


@given(st.lists(st.tuples(st.integers(-50, 1050), st.integers(0, 300)), max_size=12))
def test_live_time_is_what_no_gap_covers(spans):
    gaps = tuple(Gap(start, start + length) for start, length in spans)
    dead = {t for start, length in spans for t in range(max(0, start), min(1000, start + length))}
    assert batch([], [], 0, 1000, gaps=gaps).live_time_s() == pytest.approx((1000 - len(dead)) * 1e-12)


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 1000))
def test_splitting_loses_no_gap(one, two, at):
    gap = Gap(min(one, two), max(one, two), 5, Loss.EXACT)
    whole = batch([], [], 0, 1000, gaps=(gap,))
    parts = whole.split(at)
    assert sum(part.missed for part in parts) == 5
    assert sum(part.live_time_s() for part in parts) == pytest.approx(whole.live_time_s())


def test_only_adjacent_batches_of_one_epoch_are_joined():
    first, second = batch([1], [1], 0, 10), batch([12], [2], 10, 20, gaps=(Gap(15, 16),))
    joined = TagBatch.concatenate([first, second])
    assert joined.times_ps.tolist() == [1, 12]
    assert (joined.start_ps, joined.stop_ps, len(joined.gaps)) == (0, 20, 1)
    assert joined.counts() == {1: 1, 2: 1}
    for wrong in (batch([], [], 11, 20), batch([], [], 10, 20, epoch=1)):
        with pytest.raises(ValueError, match="is followed by"):
            TagBatch.concatenate([first, wrong])
    with pytest.raises(ValueError, match="no batches"):
        TagBatch.concatenate([])
