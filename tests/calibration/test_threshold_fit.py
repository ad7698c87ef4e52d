"""Counts against threshold where the curve is not as usual."""

import numpy as np
import pytest
from scipy import special

from qhal.calibration.fitting.threshold_fit import Steps, fit_steps
from qhal.link.link_errors import NotEnoughCounts

LEVELS_V = np.round(np.arange(0.1, 0.8, 0.01), 3)


def steps(expected, seed=1):
    counts = np.random.default_rng(seed).poisson(expected).astype(float)
    return Steps(LEVELS_V, counts, np.ones(len(LEVELS_V)), np.zeros(len(LEVELS_V), int))


def test_equal_heights_lie_between_two_thresholds():
    found = fit_steps(steps(np.where(LEVELS_V < 0.403, 1e4, 0.0)), 1)
    assert found.height_v.nominal_value == pytest.approx(0.405)
    assert found.height_v.std_dev == pytest.approx(0.005 / 3**0.5)
    assert (found.spread_v, found.noise) == (None, None)
    assert [remark.split(": ")[1] for remark in found.remarks] == [
        "no noise seen down to 0.1 V",
        "heights differ by less than a step of the threshold",
    ]


def test_noise_at_one_level_is_left_out():
    expected = 1e4 * special.ndtr((0.4 - LEVELS_V) / 0.03)
    expected[0] += 5e4
    found = fit_steps(steps(expected), 2)
    assert found.noise is None
    assert "channel 2: noise seen, too little to be fitted, down to 0.1 V" in found.remarks
    assert found.lowest_v == pytest.approx(0.11)
    assert not found.fit.poor
    assert found.height_v.nominal_value == pytest.approx(0.4, abs=4 * found.height_v.std_dev)


def test_thresholds_must_reach_above_the_pulses():
    with pytest.raises(NotEnoughCounts, match=r"channel 3: 0.1 to 0.79 V do not reach"):
        fit_steps(steps(np.full(len(LEVELS_V), 1e4)), 3)
