"""Clock noise from phases made by hand, of known noise."""

import numpy as np
import pytest

from qhal.calibration.clock.clock_stability import allan_deviations
from qhal.calibration.fitting.clock_phase import Phases, fit_clock, phases
from qhal.link.link_errors import NotEnoughCounts

BLOCK_S, FINE = 0.05, 25
PERIOD_PS = 40_000.0


def made(rng, blocks, offset, walk_ps, clicks_ps):
    """Phases of blocks: means of a random walk that is fine compared with them, and noise."""
    steps = rng.normal(0, walk_ps * np.sqrt(BLOCK_S / FINE), blocks * FINE) - offset * 1e12 * BLOCK_S / FINE
    means = np.cumsum(steps).reshape(blocks, FINE).mean(axis=1)
    x = means + rng.normal(0, clicks_ps, blocks)
    nothing = np.zeros(1)
    return Phases(PERIOD_PS, BLOCK_S, x, np.full(blocks, clicks_ps), nothing, nothing, nothing, nothing)


@pytest.mark.parametrize(("walk_ps", "least", "most"), [(30.0, 0.77, 1.23), (1.0, 0.3, 1.0)])
def test_frequency_is_as_uncertain_as_it_says_or_less_where_noise_does_not_show(walk_ps, least, most):
    rng = np.random.default_rng(5)
    pulls = []
    for _ in range(150):
        fitted = fit_clock([made(rng, 40, 3e-10, walk_ps, 10.0) for _ in range(2)], PERIOD_PS)
        pulls.append((fitted.frequency_offset.n - 3e-10) / fitted.frequency_offset.s)
    assert abs(np.mean(pulls)) < 4 / np.sqrt(150)
    assert least < np.std(pulls) < most


def test_clicks_and_clocks_are_told_apart():
    rng = np.random.default_rng(6)
    pulls = []
    for _ in range(100):
        walk = fit_clock([made(rng, 200, 0.0, 25.0, 8.0)], PERIOD_PS).walk_ps
        pulls.append((walk.n - 25.0) / walk.s)
    assert abs(np.mean(pulls)) < 0.5
    assert abs(np.std(pulls) - 1) < 4 / np.sqrt(200)


def test_a_drift_is_no_noise():
    rng = np.random.default_rng(7)
    recording = made(rng, 200, 0.0, 25.0, 8.0)
    t = BLOCK_S * np.arange(200)
    recording.delay_ps[:] += 10.0 * t**2
    fitted = fit_clock([recording], PERIOD_PS)
    assert fitted.fit.poor
    assert fitted.fit.scaled
    assert abs(fitted.walk_ps.n - 25.0) < 4 * fitted.walk_ps.s


def test_the_period_of_the_fold_is_part_of_the_frequency():
    rng = np.random.default_rng(8)
    recording = made(rng, 100, 0.0, 1.0, 1.0)
    fitted = fit_clock([recording], PERIOD_PS * (1 + 1e-7))
    # Folded on the period of the receiver, against a nominal one that is longer: the sender is faster.
    assert fitted.frequency_offset.n == pytest.approx(1e-7, abs=4 * fitted.frequency_offset.s)


def test_detectors_that_fell_silent_are_told():
    angle = np.random.default_rng(9).normal(0.3, 0.1, (2, 30, 50))
    parts = [np.ones(angle.shape), np.cos(angle), np.sin(angle), np.cos(2 * angle), np.sin(2 * angle)]
    sums = np.stack([part.sum(axis=2) for part in parts], axis=-1)
    assert phases(sums, PERIOD_PS, BLOCK_S).delay_ps == pytest.approx(0.3 * PERIOD_PS / 2 / np.pi, rel=0.2)
    sums[:, 20:] = 0
    with pytest.raises(NotEnoughCounts, match="no clicks in 10 of 30 blocks, from 1 s on"):
        phases(sums, PERIOD_PS, BLOCK_S)


def test_too_few_blocks_are_refused():
    with pytest.raises(NotEnoughCounts, match="7 blocks in a recording, 8 are needed"):
        fit_clock([made(np.random.default_rng(9), 7, 0.0, 1.0, 1.0)], PERIOD_PS)


def test_allan_deviation_of_white_frequency_noise_scatters_as_its_degrees_of_freedom_say():
    rng = np.random.default_rng(10)
    rows = [allan_deviations([made(rng, 200, 1e-9, 25.0, 0.01)], 25.0, 0.01) for _ in range(400)]
    for column in range(1, 6):
        m, _, freedom = rows[0][column]
        variances = np.array([row[column][1] ** 2 for row in rows])
        wanted = 25.0**2 / (m * BLOCK_S) * (1 - 0.5 / m)
        assert variances.mean() == pytest.approx(wanted, rel=4 * np.sqrt(2 / freedom / 400))
        assert variances.std() / variances.mean() == pytest.approx(np.sqrt(2 / freedom), rel=0.2)
