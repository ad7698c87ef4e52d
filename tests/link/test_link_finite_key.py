"""Finite-key bounds against published vectors, and against blocks whose photon numbers are known."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from qhal.errors import OutOfRange
from qhal.link.channel_model import ThresholdLink, repeaterless_bound
from qhal.link.decoy import gllp_rate_per_signal
from qhal.link.estimates import SiftedCounts
from qhal.link.finite_key import BlockCounts, IntensityDistribution, Security, key_bounds
from qhal.link.link_errors import NotEnoughCounts
from qhal.link.planning import best_plan, best_signal, expected_plan
from qhal.records.uncertain import nominal, standard_uncertainty, systematic

SECURITY = Security(secrecy=1e-9, correctness=1e-15, correction_efficiency=1.16)
PER_BIT = 1e-15


def lim(length_km):
    """The link of Lim et al. 2014: 0.2 dB/km, receiver 10 %, two detectors behind an active choice."""
    return ThresholdLink(
        0.1 * 10 ** (-0.02 * length_km), 6e-7, 5e-3, detectors=2, afterpulse_probability=0.04
    )


def test_golden_vector_at_100_km():
    chosen = IntensityDistribution((0.4475, 0.1712, 2e-4), (0.7618, 0.1767, 1 - 0.7618 - 0.1767))
    plan = expected_plan(lim(100), chosen, 0.9386, 1e9, SECURITY, PER_BIT)
    assert plan.pulses == pytest.approx(2.9314e12, rel=1e-3)
    assert plan.bounds.length == pytest.approx(2.580e8, rel=1e-3)
    assert plan.bounds.phase_error == pytest.approx(0.0444, abs=5e-5)
    assert plan.bounds.single_photon_events == pytest.approx(6.180e8, rel=1e-3)


@pytest.mark.parametrize(
    ("block_bits", "length_km", "rate"),
    [
        (1e9, 100, 8.80e-5),
        (1e5, 100, 1.19e-5),
        *(
            pytest.param(*each, marks=pytest.mark.long)
            for each in ((1e9, 0, 9.93e-3), (1e9, 150, 5.86e-6), (1e7, 100, 5.16e-5), (1e4, 0, 2.91e-4))
        ),
    ],
)
def test_the_best_plan_reaches_the_recomputed_rates(block_bits, length_km, rate):
    plan = best_plan(lim(length_km), block_bits, SECURITY, secrecy_per_bit=PER_BIT)
    assert plan.rate_per_pulse == pytest.approx(rate, rel=0.01)
    assert plan.rate_per_pulse < repeaterless_bound(lim(length_km).transmission)
    again = expected_plan(
        lim(length_km), plan.intensities, plan.key_basis_probability, block_bits, SECURITY, PER_BIT
    )
    assert again == plan


def test_published_ratio_and_reach():
    """Lim 2014: 1.75 between blocks of 1e9 and 1e7 at 100 km; blocks of 1e4 reach 135 km (recomputed: 125)."""
    ratio = [best_plan(lim(100), n, SECURITY, secrecy_per_bit=PER_BIT).rate_per_pulse for n in (1e9, 1e7)]
    assert ratio[0] / ratio[1] == pytest.approx(1.75, rel=0.03)
    assert best_plan(lim(120), 1e4, SECURITY, secrecy_per_bit=PER_BIT).rate_per_pulse > 0
    with pytest.raises(NotEnoughCounts, match="no intensities give key from blocks of 10000 bits"):
        best_plan(lim(140), 1e4, SECURITY, secrecy_per_bit=PER_BIT)


def test_one_decoy_gives_less_from_large_blocks_and_never_more_than_infinite_ones():
    two = best_plan(lim(50), 1e8, SECURITY).rate_per_pulse
    one = best_plan(lim(50), 1e8, SECURITY, decoys=1)
    assert 0.5 * two < one.rate_per_pulse < two
    link = lim(50)
    signal = one.intensities.mean_photon_numbers[0]
    most = gllp_rate_per_signal(
        signal, link.gain(signal), link.error_gain(signal) / link.gain(signal), link.photon_yield(1),
        link.single_photon_error, sifting=1.0,
    )  # fmt: skip
    assert one.rate_per_pulse < most


PULSES = 10**9


def block_of(rng, link, intensities, share):
    """Counts of a block drawn photon number by photon number, and its true single-photon events and phase error."""
    photons = 12
    yields = [link.photon_yield(n) for n in range(photons)]
    wrong = [
        (0.5 * link.background_yield * (1 - link.transmission) ** n
         + link.optical_error * (1 - (1 - link.transmission) ** n)) / yields[n]
        for n in range(photons)
    ]  # fmt: skip
    tables = {}
    for name, fraction in (("key", share**2), ("test", (1 - share) ** 2)):
        clicks, errors = np.zeros((2, len(intensities.probabilities), photons))
        for k, (mu, p) in enumerate(
            zip(intensities.mean_photon_numbers, intensities.probabilities, strict=True)
        ):
            for n in range(photons):
                sent = rng.binomial(
                    PULSES, min(1.0, fraction * p * math.exp(-mu) * mu**n / math.factorial(n))
                )
                clicks[k, n] = rng.binomial(sent, min(yields[n], 1.0))
                errors[k, n] = rng.binomial(int(clicks[k, n]), min(wrong[n], 1.0))
        tables[name] = clicks, errors
    sums = [tuple(map(float, table.sum(axis=1))) for name in ("key", "test") for table in tables[name]]
    key = tables["key"][0].sum(axis=0)
    single_errors = tables["test"][1][:, 1].sum() / max(tables["test"][0][:, 1].sum(), 1)
    return BlockCounts(*sums), key[0], key[1], single_errors


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    decoys=st.sampled_from([1, 2]),
    extinction_db=st.sampled_from([20.0, 25.0, 30.0, math.inf]),
    transmission=st.floats(1e-4, 0.3),
    background=st.floats(1e-8, 1e-4),
    optical_error=st.floats(0.0, 0.05),
    signal=st.floats(0.3, 0.8),
    ratio=st.floats(0.1, 0.5),
    share=st.floats(0.5, 0.95),
)
def test_bounds_are_never_better_than_the_truth_of_a_block(
    seed, decoys, extinction_db, transmission, background, optical_error, signal, ratio, share
):
    link = ThresholdLink(transmission, background, optical_error, detectors=4)
    weakest = signal * 10 ** (-extinction_db / 10)
    decoy = ratio * signal
    assume(decoys == 1 or (decoy > weakest and signal > decoy + weakest))
    chosen = (
        IntensityDistribution((signal, decoy), (0.6, 0.4))
        if decoys == 1
        else IntensityDistribution((signal, decoy, weakest), (0.5, 0.3, 0.2))
    )
    counts, vacuum, single, phase_error = block_of(np.random.default_rng(seed), link, chosen, share)
    try:
        bounds = key_bounds(chosen, counts, SECURITY)
    except NotEnoughCounts:
        return
    assert bounds.vacuum_events <= vacuum
    assert bounds.single_photon_events <= single
    assert bounds.phase_error >= phase_error
    # Counts without fluctuations, and nothing spent on them: as in an endless run.
    endless = key_bounds(chosen, counts, replace(SECURITY, secrecy=0.999999))
    assert endless.length >= bounds.length


def test_optimal_signal_and_reach_of_gobby_yuan_and_shields():
    """Published: 0.54 and 0.48; infinite decoys reach 142.05 km, vacuum and weak decoy is in test_link_decoy."""
    assert best_signal(0.033, 1.0) == pytest.approx(0.5441, abs=5e-4)
    assert best_signal(0.033, 1.22) == pytest.approx(0.4789, abs=5e-4)

    def rate(length_km):
        link = ThresholdLink(0.045 * 10 ** (-0.021 * length_km), 0.85e-6, 0.033, detectors=2)
        assert link.background_yield == pytest.approx(1.7e-6, rel=1e-5)
        gain = link.gain(0.48)
        return gllp_rate_per_signal(
            0.48, gain, link.error_gain(0.48) / gain, link.photon_yield(1), link.single_photon_error,
            correction_efficiency=1.22,
        )  # fmt: skip

    assert rate(0) == pytest.approx(2.555e-3, rel=1e-3)
    assert rate(141.75) > 0 > rate(142.35)


def test_background_counts_all_detectors():
    assert ThresholdLink(0.0, 1e-6, 0.0, detectors=4).background_yield == pytest.approx(4e-6, rel=1e-5)
    assert ThresholdLink(0.0, 1e-6, 0.0, detectors=4).gain(0.5) == pytest.approx(4e-6, rel=1e-5)


def test_a_block_from_the_counts_of_a_link():
    table = np.arange(6).reshape(3, 2)
    counts = SiftedCounts(*[np.zeros(3, np.int64)] * 2, 10 * table, table, *[np.zeros(3, np.int64)] * 3)
    assert counts.block(1) == BlockCounts(
        (10.0, 30.0, 50.0), (1.0, 3.0, 5.0), (0.0, 20.0, 40.0), (0.0, 2.0, 4.0)
    )
    with pytest.raises(OutOfRange, match="basis 2: there are 0 and 1"):
        counts.block(2)


GOOD = IntensityDistribution((0.5, 0.1, 0.0), (0.5, 0.25, 0.25))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: IntensityDistribution((0.5,), (1.0,)), "give 2 or 3 of each"),
        (lambda: IntensityDistribution((0.5, 0.4, 0.2), (0.5, 0.3, 0.2)), r"need mu1 > mu2 \+ mu3"),
        (lambda: IntensityDistribution((0.1, 0.5), (0.5, 0.5)), "need mu1 > mu2 > 0"),
        (lambda: IntensityDistribution((0.5, 0.1), (0.5, 0.6)), "with the sum 1"),
        (lambda: Security(secrecy=0.0), "between 0 and 1"),
        (lambda: Security(correction_efficiency=0.9), "Shannon"),
        (lambda: ThresholdLink(1.2, 0, 0), "between 0 and 1"),
        (
            lambda: key_bounds(GOOD, BlockCounts((1, 2), (0, 0), (1, 2), (0, 0)), SECURITY),
            "need 3 that are not",
        ),
        (lambda: expected_plan(lim(0), GOOD, 1.0, 1e6, SECURITY), "key basis with probability 1.0"),
        (lambda: best_plan(lim(0), 1e6, decoys=3), "there are bounds for 1 and 2"),
    ],
)
def test_wrong_requests(make, message):
    with pytest.raises(OutOfRange, match=message):
        make()


def test_too_few_counts_bound_nothing():
    tiny = (10.0, 5.0, 1.0)
    with pytest.raises(NotEnoughCounts, match="single photons"):
        key_bounds(GOOD, BlockCounts(tiny, (0, 0, 0), tiny, (0, 0, 0)), SECURITY)
    with pytest.raises(NotEnoughCounts, match="leaves no key"):
        best_signal(0.2)


def test_uncertain_mean_photon_numbers_make_the_key_uncertain_as_a_monte_carlo_does():
    link, security = lim(20), Security()
    plan = expected_plan(link, GOOD, 0.9, 1e8, security)
    key, test = plan.pulses * 0.9**2, plan.pulses * 0.1**2
    gains = [p * link.gain(mu) for mu, p in zip(GOOD.mean_photon_numbers, GOOD.probabilities, strict=True)]
    wrong = [
        p * link.error_gain(mu) for mu, p in zip(GOOD.mean_photon_numbers, GOOD.probabilities, strict=True)
    ]
    counts = BlockCounts(
        *(tuple(f * each for each in rates) for f in (key, test) for rates in (gains, wrong))
    )

    def bounds(scale):
        means = tuple(mean * scale for mean in GOOD.mean_photon_numbers)
        return key_bounds(IntensityDistribution(means, GOOD.probabilities), counts, security)

    known = bounds(systematic("scale of the power meter", 1.0, 0.02))
    draws = [bounds(scale) for scale in np.random.default_rng(2).normal(1.0, 0.02, 1000)]
    for name in ("single_photon_events", "phase_error", "length"):
        spread = np.std([getattr(each, name) for each in draws])
        assert standard_uncertainty(getattr(known, name)) == pytest.approx(spread, rel=0.1)
        assert nominal(getattr(known, name)) == pytest.approx(getattr(plan.bounds, name), rel=1e-9)
