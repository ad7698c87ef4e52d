"""Staircases on data made by hand."""

import numpy as np
import pytest

from qhal.calibration.optics import staircase
from qhal.calibration.optics.staircase import BINS, Staircase
from qhal.calibration.transmitter.modulator import ModulatorPlan
from qhal.link.link_errors import NotEnoughCounts
from qhal.tags.batch import Gap, Loss, TagBatch


def test_fold_counts_every_bin_equally_long():
    period = 1_000_000
    times = np.arange(0, 10 * period, 1000)  # one tag in each thousand picoseconds, evenly
    gaps = (Gap(2_300_000, 2_900_000, 0, Loss.PAUSED), Gap(6_100_000, 6_100_500, 0, Loss.PAUSED))
    kept = np.ones(len(times), bool)
    for gap in gaps:
        kept &= (times < gap.start_ps) | (times >= gap.stop_ps)
    times = times[kept]
    batch = TagBatch(times, np.full(len(times), 2, np.uint8), 0, 10 * period, 0, gaps)
    counts, bin_s = staircase.fold(batch, 3, period, 2)
    assert counts[[0, 2]].sum() == 0
    # Two whole periods before the first gap, three between them, three behind.
    assert set(counts[1].tolist()) == {8 * 1000 // (2 * BINS)}
    assert bin_s == pytest.approx(8 * period * 1e-12 / (2 * BINS))


@pytest.mark.parametrize("seed", range(20))
def test_finds_where_a_staircase_begins(seed):
    rng = np.random.default_rng(seed)
    steps = Staircase.over(-2.25, 2.25, 25, 40e-6)
    v0, vpi = rng.uniform(-1.5, 1.5), rng.uniform(1.4, 2.2)
    passed = np.cos(np.pi * (steps.levels_v - v0) / (2 * vpi)) ** 2 + 1e-3
    shift, late = int(rng.integers(25)), int(rng.integers(BINS))
    fine = np.roll(np.repeat(passed, BINS), shift * BINS + late)
    folded = rng.poisson(np.outer((40, 100), fine))
    counts = staircase.by_level(folded)
    found = staircase.find_start(counts.sum(axis=0), steps.levels_v, np.geomspace(0.6, 4.5, 60))
    levels = np.roll(counts, -found.shift, axis=1).sum(axis=0)
    assert np.corrcoef(levels, passed)[0, 1] > 0.99
    assert found.vpi_v == pytest.approx(vpi, rel=0.1)
    assert np.abs(np.remainder(found.v0_v - v0 + vpi, 2 * vpi) - vpi) < 0.1


def test_refuses_light_that_follows_no_staircase():
    rng = np.random.default_rng(1)
    with pytest.raises(NotEnoughCounts, match="is this the modulator's channel"):
        staircase.find_start(rng.poisson(100, 25), np.linspace(-2, 2, 25), np.array([2.0]))
    with pytest.raises(NotEnoughCounts, match="0 clicks"):
        staircase.find_start(np.zeros(25, int), np.linspace(-2, 2, 25), np.array([2.0]))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"low_v": 1.0, "high_v": 0.0}, "high_v must be above"), ({"held_v": {4: 0.0}}, "the modulator's own")],
)
def test_refuses_plans_that_do_not_fit(wrong, message):
    with pytest.raises(ValueError, match=message):
        ModulatorPlan(**wrong)
