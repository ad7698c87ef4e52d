import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qhal.errors import OutOfRange
from qhal.link.statistics import (
    ONE_SIGMA,
    binomial_interval,
    binomial_standard_uncertainty,
    poisson_interval,
    poisson_standard_uncertainty,
)


def test_garwood_matches_its_published_table():
    # Garwood, Biometrika 28, 437 (1936): 95 % limits for counts 0, 1 and 10.
    assert poisson_interval(0, 0.95) == pytest.approx((0.0, 3.6889), abs=1e-4)
    assert poisson_interval(1, 0.95) == pytest.approx((0.0253, 5.5716), abs=1e-4)
    assert poisson_interval(10, 0.95) == pytest.approx((4.7954, 18.3904), abs=1e-4)


def test_clopper_pearson_matches_textbook_values():
    assert binomial_interval(0, 10, 0.95) == pytest.approx((0.0, 0.30850), abs=1e-5)
    assert binomial_interval(10, 10, 0.95) == pytest.approx((0.69150, 1.0), abs=1e-5)
    assert binomial_interval(5, 10, 0.95) == pytest.approx((0.18709, 0.81291), abs=1e-5)


@given(st.integers(1, 60), st.floats(0.0, 1.0), st.floats(0.5, 0.99))
def test_clopper_pearson_covers_at_least_its_confidence(trials, probability, confidence):
    covered = sum(
        math.comb(trials, k) * probability**k * (1 - probability) ** (trials - k)
        for k in range(trials + 1)
        if (interval := binomial_interval(k, trials, confidence)).low <= probability <= interval.high
    )
    assert covered >= confidence - 1e-9


def test_uncertainties_are_the_square_root_for_large_counts_and_never_zero():
    assert poisson_standard_uncertainty(10_000) == pytest.approx(100, rel=1e-4)
    assert binomial_standard_uncertainty(300, 10_000) == pytest.approx(math.sqrt(0.03 * 0.97 / 1e4), rel=2e-3)
    assert poisson_standard_uncertainty(0) > 0
    assert binomial_standard_uncertainty(0, 100) > 0
    assert binomial_standard_uncertainty(100, 100) > 0


@pytest.mark.parametrize(("successes", "trials"), [(-1, 5), (6, 5), (0, 0)])
def test_impossible_counts_are_refused(successes, trials):
    with pytest.raises(OutOfRange):
        binomial_interval(successes, trials, ONE_SIGMA)
    with pytest.raises(OutOfRange):
        binomial_standard_uncertainty(successes, trials)


def test_impossible_confidence_is_refused():
    with pytest.raises(OutOfRange):
        poisson_interval(3, 1.0)
