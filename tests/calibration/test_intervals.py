"""Intervals between tags: what is counted, and the likelihood of a dead time."""

import numpy as np
import pytest

from qhal.calibration.fitting.hazard_fit import HazardFit
from qhal.calibration.fitting.intervals import cumulated_decay, cumulated_edge, histogram, read
from qhal.link.link_errors import NotEnoughCounts
from qhal.records.record import Table
from qhal.tags.batch import Gap, Loss, TagBatch


def test_an_interval_with_a_pause_is_none():
    times = np.array([0, 300, 1000, 5000, 5400], np.int64)
    batch = TagBatch(times, np.ones(5, np.uint8), 0, 6000, gaps=(Gap(2000, 2500, loss=Loss.PAUSED),))
    counts, beyond, beyond_ns = histogram(batch, 1, 100, 5)
    assert counts.tolist() == [0, 0, 0, 1, 1]
    assert (beyond, beyond_ns) == (1, pytest.approx((7 - 5 + 0.5) * 0.1))


def test_integrals_are_those_of_the_smeared_curves():
    fine = np.linspace(-2, 30, 320_001)
    step = fine[1] - fine[0]
    smeared_edge = np.diff(cumulated_edge(fine, 0.3)) / step
    smeared_decay = np.diff(cumulated_decay(fine, 4.0, 0.3)) / step
    for at, edge, decay in ((-1.9, 0.0, 0.0), (20.0, 1.0, np.exp(-20 / 4 + 0.3**2 / 2 / 4**2))):
        place = np.searchsorted(fine, at)
        assert smeared_edge[place] == pytest.approx(edge, abs=1e-6)
        assert smeared_decay[place] == pytest.approx(decay, abs=1e-6)
    assert smeared_edge[np.searchsorted(fine, 0.0)] == pytest.approx(0.5, abs=1e-3)
    assert cumulated_decay(np.array([1e3]), 4.0, 0.3)[0] == pytest.approx(4.0)


def test_the_uncertainty_of_a_dead_time_is_that_of_its_scatter():
    # Of the maximum, with the curvature there, it is not: its pulls have a tail to late dead times.
    generator, pulls = np.random.default_rng(5), []
    for _ in range(16):
        dead_ns = generator.uniform(20, 60)
        fit = HazardFit(read(sampled(generator, dead_ns, 1e-3, 12.0, 0.002), 0), 0.046, 40.0)
        found = fit.typical(fit.best()).values[0]
        pulls.append((found.nominal_value - dead_ns) / found.std_dev)
    assert abs(np.mean(pulls)) < 4 / np.sqrt(16)
    assert np.std(pulls) == pytest.approx(1.0, abs=4 / np.sqrt(32))
    assert np.max(np.abs(pulls)) < 4


def test_too_few_intervals_say_where():
    table = sampled(np.random.default_rng(1), 30.0, 1e-3, 10.0, 0.0, count=200)
    with pytest.raises(NotEnoughCounts, match=r"channel 1: .* 100 and 10 are needed"):
        read(table, 0)


def sampled(generator, dead_ns, rate_per_ns, recovery_ns, afterpulses, count=300_000):
    """Intervals drawn from the model itself, in bins of 100 ps up to 400 ns."""
    since = np.linspace(0, 300, 300_001)
    cumulated = rate_per_ns * (since - recovery_ns * (1 - np.exp(-since / recovery_ns)))
    drawn = generator.exponential(1.0, count)
    light = np.where(
        drawn > cumulated[-1], drawn / rate_per_ns + recovery_ns, np.interp(drawn, cumulated, since)
    )
    late = np.where(generator.random(count) < afterpulses, generator.exponential(40.0, count), np.inf)
    bins = np.floor((generator.uniform(0, 0.1, count) + dead_ns + np.minimum(light, late)) / 0.1).astype(int)
    tail = bins[bins >= 4000]
    columns = {
        "bin_ps": np.array([100]),
        "counts": np.bincount(bins[bins < 4000], minlength=4000)[None, None, :],
        "tail_counts": np.array([[len(tail)]]),
        "tail_ns": np.array([[((tail - 4000 + 0.5) * 0.1).sum()]]),
    }
    return Table(columns, {})
