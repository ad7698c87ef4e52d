import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from qhal.errors import OutOfRange
from qhal.link.decoy import (
    asymptotic_key_rate,
    background_yield_lower_bound,
    binary_entropy,
    decoy_bounds,
    gllp_rate_per_signal,
    single_photon_error_upper_bound,
    single_photon_yield_lower_bound,
)
from qhal.link.intensities import Intensities
from qhal.link.link_errors import NotEnoughCounts
from qhal.records.uncertain import nominal, standard_uncertainty, statistical, systematic

EXTINCTIONS_DB = [20.0, 25.0, 30.0, math.inf]
PHOTONS = 40  # terms of the Poisson sums
MEANS = Intensities(0.5, 0.1, 5e-4)


def observed(yields, errors, mean):
    """Gain and error rate of phase-randomised pulses whose n-photon part has these yields and error rates."""
    weights = [math.exp(-mean) * mean**n / math.factorial(n) for n in range(PHOTONS)]
    gain = sum(w * y for w, y in zip(weights, yields, strict=True))
    wrong = sum(w * y * e for w, y, e in zip(weights, yields, errors, strict=True))
    return gain, wrong / gain


def all_observed(yields, errors, means):
    """Gains and error rates of all intensities."""
    each = [observed(yields, errors, mean) for mean in means]
    return (Intensities(*column) for column in zip(*each, strict=True))


def threshold_detector(background, transmission, optical_error):
    yields = [1 - (1 - background) * (1 - transmission) ** n for n in range(PHOTONS)]
    lit = [1 - (1 - transmission) ** n for n in range(PHOTONS)]
    wrong = [0.5 * background * (1 - x) + optical_error * x for x in lit]
    return yields, [w / y if y else 0.5 for w, y in zip(wrong, yields, strict=True)]


def assert_bounds_hold(yields, errors, means):
    gains, rates = all_observed(yields, errors, means)
    assert background_yield_lower_bound(means, gains) <= yields[0] * (1 + 1e-9) + 1e-15
    single = single_photon_yield_lower_bound(means, gains)
    assert single <= yields[1] * (1 + 1e-9) + 1e-12
    if single > 1e-9:
        try:
            bound = single_photon_error_upper_bound(means, gains, rates)
        except NotEnoughCounts:
            assert yields[1] * errors[1] < 1e-9  # rounding about zero
        else:
            assert bound >= errors[1] * (1 - 1e-6) - 1e-9


@pytest.mark.parametrize("extinction_db", EXTINCTIONS_DB)
@given(
    signal=st.floats(0.2, 0.9),
    ratio=st.floats(0.05, 0.5),
    background=st.floats(1e-7, 1e-2),
    transmission=st.floats(1e-4, 0.5),
    optical_error=st.floats(0.0, 0.1),
)
def test_bounds_are_never_better_than_a_real_link(
    extinction_db, signal, ratio, background, transmission, optical_error
):
    means = Intensities(signal, signal * ratio, signal * 10 ** (-extinction_db / 10))
    assume(means.decoy > 2 * means.vacuum)
    assert_bounds_hold(*threshold_detector(background, transmission, optical_error), means)


@pytest.mark.parametrize("extinction_db", EXTINCTIONS_DB)
@given(
    yields=st.lists(st.floats(1e-4, 1), min_size=6, max_size=6),
    errors=st.lists(st.floats(0, 1), min_size=6, max_size=6),
    signal=st.floats(0.2, 0.9),
    ratio=st.floats(0.1, 0.5),
)
def test_bounds_hold_whatever_an_eavesdropper_does_to_each_photon_number(
    extinction_db, yields, errors, signal, ratio
):
    means = Intensities(signal, signal * ratio, signal * 10 ** (-extinction_db / 10))
    tail = PHOTONS - 6
    assert_bounds_hold(yields + [yields[-1]] * tail, errors + [errors[-1]] * tail, means)


def test_taking_the_vacuum_gain_for_the_background_would_overstate_the_key():
    """The trap that the general form avoids: 1.11 % against a true 1.20 %."""
    means = MEANS
    yields, errors = threshold_detector(1.2e-6, 0.059, 0.012)
    gains, rates = all_observed(yields, errors, means)
    naive = (rates.decoy * gains.decoy * math.exp(0.1) - 0.5 * gains.vacuum) / (0.1 * yields[1])
    assert naive < errors[1] < single_photon_error_upper_bound(means, gains, rates)


# Gobby, Yuan and Shields parameters: 0.21 dB/km, e_d 3.3 %, Y0 1.7e-6, receiver 0.045, f 1.22, q 1/2.
@pytest.mark.parametrize(
    ("length_km", "gain", "error", "y1", "e1", "rate"),
    [
        (0, 2.1370e-2, 0.0330, 4.4385e-2, 0.0352, 2.4142e-3),
        (50, 1.9250e-3, 0.0334, 3.9548e-3, 0.0354, 2.0962e-4),
        (100, 1.7326e-4, 0.0376, 3.5399e-4, 0.0375, 1.6020e-5),
        (140, 2.6500e-5, 0.0630, 5.2615e-5, 0.0506, 7.378e-8),
    ],
)
def test_published_vacuum_and_weak_decoy_vectors(length_km, gain, error, y1, e1, rate):
    transmission, background = 0.045 * 10 ** (-0.021 * length_km), 1.7e-6
    means = Intensities(0.48, 0.05, 0.0)
    lit = [1 - math.exp(-transmission * mean) for mean in means]
    gains = Intensities(*(background + x for x in lit))
    rates = Intensities(*((background / 2 + 0.033 * x) / q for x, q in zip(lit, gains, strict=True)))
    single = single_photon_yield_lower_bound(means, gains)
    bound = single_photon_error_upper_bound(means, gains, rates)
    assert (gains[0], single) == pytest.approx((gain, y1), rel=1e-4)
    assert (rates[0], bound) == pytest.approx((error, e1), abs=6e-5)
    assert gllp_rate_per_signal(
        0.48, gains[0], rates[0], single, bound, correction_efficiency=1.22
    ) == pytest.approx(rate, rel=1e-3)


def test_published_reach_of_vacuum_and_weak_decoy():
    """140.55 km with mu 0.48 and nu 0.05."""

    def rate(length_km):
        transmission, background = 0.045 * 10 ** (-0.021 * length_km), 1.7e-6
        means = Intensities(0.48, 0.05, 0.0)
        lit = [1 - math.exp(-transmission * mean) for mean in means]
        gains = Intensities(*(background + x for x in lit))
        rates = Intensities(*((background / 2 + 0.033 * x) / q for x, q in zip(lit, gains, strict=True)))
        single = single_photon_yield_lower_bound(means, gains)
        bound = single_photon_error_upper_bound(means, gains, rates)
        return gllp_rate_per_signal(0.48, gains[0], rates[0], single, bound, correction_efficiency=1.22)

    assert rate(140.25) > 0 > rate(140.85)


@pytest.mark.parametrize(
    ("background", "gains", "e1_true", "e1_bound", "rate_kb_s"),
    [
        (1.20e-6, (2.908e-2, 5.887e-3, 3.07e-5), 1.20e-2, 1.36e-2, 310),
        (1.986e-4, (2.928e-2, 6.083e-3, 2.28e-4), 1.36e-2, 1.54e-2, 289),
        (7.87e-4, (2.985e-2, 6.668e-3, 8.17e-4), 1.84e-2, 2.06e-2, 231),
    ],
)
def test_metropolitan_link_at_three_levels_of_raman_noise(background, gains, e1_true, e1_bound, rate_kb_s):
    """Rates per second of the clock: half signal, half of that sifted; dead time is not taken off."""
    means, transmission = MEANS, 0.0599 * 0.985
    lit = [1 - math.exp(-transmission * mean) for mean in means]
    exact = [1 - (1 - background) * (1 - x) for x in lit]
    wrong = [background / 2 + 0.012 * x for x in lit]
    assert exact == pytest.approx(gains, rel=3e-3)
    q, e = Intensities(*exact), Intensities(*(w / x for w, x in zip(wrong, exact, strict=True)))
    bounds = decoy_bounds(means, q, e)
    rate = asymptotic_key_rate(means, q, e, symbol_rate_hz=100e6, signal_fraction=0.5)
    y1 = background + transmission - background * transmission
    assert (background / 2 + 0.012 * transmission) / y1 == pytest.approx(e1_true, abs=6e-5)
    assert bounds.single_photon_error == pytest.approx(e1_bound, abs=6e-5)
    assert rate / 1e3 == pytest.approx(rate_kb_s, abs=0.6)


SCALE, RATIOS, EXACT = 0.02, (0.0, 0.004, 0.05), (0.0, 0.0, 0.0)
"""Relative standard uncertainties of the power meter's scale, and of each intensity against the signal."""


def measured(mean_scale, mean_ratios):
    """Inputs of the bounds with their uncertainties; the means share the error of the power meter."""
    scale = systematic("scale of the power meter", 1.0, mean_scale)
    ratios = [systematic(f"ratio {n}", 1.0, sigma) for n, sigma in enumerate(mean_ratios)]
    gains = zip((2.928e-2, 6.083e-3, 2.28e-4), (8e-6, 5e-6, 1e-6), strict=True)
    rates = zip((0.0153, 0.0279, 0.437), (5e-5, 2e-4, 5e-3), strict=True)
    return (
        Intensities(*(mean * scale * ratio for mean, ratio in zip(MEANS, ratios, strict=True))),
        Intensities(*(statistical("clicks", *each) for each in gains)),
        Intensities(*(statistical("errors", *each) for each in rates)),
    )


def all_results(means, gains, rates):
    """Bounds on Y0, Y1 and e1, and the key rate."""
    bounds = decoy_bounds(means, gains, rates)
    rate = asymptotic_key_rate(means, gains, rates, symbol_rate_hz=1e8, signal_fraction=0.5)
    return bounds.background_yield, bounds.single_photon_yield, bounds.single_photon_error, rate


@pytest.mark.parametrize(("mean_scale", "mean_ratios"), [(0.0, EXACT), (SCALE, RATIOS), (2 * SCALE, RATIOS)])
def test_uncertainties_are_those_of_a_monte_carlo(mean_scale, mean_ratios):
    means, gains, rates = measured(mean_scale, mean_ratios)
    results = all_results(means, gains, rates)
    rng, number = np.random.default_rng(1), 4000

    def draws_of(values):
        return rng.normal(
            [nominal(v) for v in values], [standard_uncertainty(v) for v in values], (number, 3)
        )

    factors = rng.normal(1, mean_scale, (number, 1)) * rng.normal(1, mean_ratios, (number, 3))
    draws = zip(np.array(MEANS) * factors, draws_of(gains), draws_of(rates), strict=True)
    spread = np.std([all_results(*(Intensities(*each) for each in draw)) for draw in draws], axis=0)
    assert [standard_uncertainty(result) for result in results] == pytest.approx(spread, rel=0.05)


def test_uncertainties_of_mean_photon_numbers_reach_bounds_and_key_rate():
    exact, known, twice = (
        [standard_uncertainty(each) for each in all_results(*measured(*sizes))[1:]]
        for sizes in ((0.0, EXACT), (SCALE, RATIOS), (2 * SCALE, RATIOS))
    )
    for one, other, third in zip(
        exact, known, twice, strict=True
    ):  # e1 the least: it does not depend on the scale
        assert one < other < third
    # Y1 is a yield per photon: a scale that is 2 % too high makes it 2 % too low.
    single = all_results(*measured(SCALE, EXACT))[1]
    assert standard_uncertainty(single) / nominal(single) == pytest.approx(SCALE, rel=0.1)


def test_the_entropy_of_no_error_at_all_is_uncertain():
    entropy = binary_entropy(statistical("errors", 0.0, 1e-3))
    assert nominal(entropy) == 0
    assert standard_uncertainty(entropy) == pytest.approx(10 * binary_entropy(1e-4))
    assert standard_uncertainty(binary_entropy(statistical("errors", 0.5, 0.1))) == pytest.approx(0, abs=1e-9)


def test_a_vacuum_as_bright_as_the_decoy_gives_no_bound():
    with pytest.raises(NotEnoughCounts, match="single-photon yield"):
        single_photon_error_upper_bound(MEANS, Intensities(0.03, 0.006, 0.006), Intensities(0.01, 0.5, 0.5))


def test_more_errors_in_the_vacuum_than_in_the_decoy_is_chance():
    with pytest.raises(NotEnoughCounts):
        single_photon_error_upper_bound(MEANS, Intensities(0.029, 0.0059, 3e-5), Intensities(0.01, 0.0, 0.5))


@pytest.mark.parametrize("means", [(0.5, 0.5, 0.0), (0.5, 0.1, 0.1), (0.5, 0.3, 0.25), (0.5, 0.1, -0.1)])
def test_intensities_out_of_order_are_refused(means):
    with pytest.raises(OutOfRange):
        single_photon_yield_lower_bound(Intensities(*means), Intensities(0.03, 0.006, 3e-5))
