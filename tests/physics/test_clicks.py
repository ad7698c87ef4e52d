"""The click sampler and the world: what is drawn, and that nothing but its own number decides a draw."""

import numpy as np
import pytest
from scipy import stats

from qhal.link.sifting import Sifter
from qhal.link.skew import Receiver
from qhal.link.sync import SymbolClock
from qhal.tags.batch import TagBatch
from qhal_simulators.physics.expectation import background_rates_hz, expect_link
from tests.physics.bench import PATTERN, Link, scenario

SMEAR_S = np.full(4, np.hypot(50e-12 / 2.3548, 100e-12 / 12**0.5))
WINDOW_S = 3e-9


def run_in_steps(steps):
    """Play with changes of settings on the way, advancing by the given steps."""
    link = Link(scenario(), seed=5).play()
    changes = {
        0.0123: lambda: link.world.part("polarization").port.update(angles_rad=(0.3, 1.0, 2.0)),
        0.0200: lambda: link.classical(6.0),
        0.0311: lambda: link.world.part("voa").port.update(attenuation_db=30.0),
        0.0402: lambda: link.tagger.update(delay_ps=(0, 500, 0, 0)),
    }
    for when in sorted({*changes, *steps, 0.05}):
        link.world.advance_to(when)
        if when in changes:
            changes[when]()
    return link.readings.take_tags()


def test_how_time_is_cut_changes_no_tag():
    times, inputs = run_in_steps([])
    assert len(times) > 50_000
    for seed in (1, 2):
        steps = np.random.default_rng(seed).uniform(0, 0.05, 150).tolist()
        other_times, other_inputs = run_in_steps([*steps, 0.01, 0.02])
        np.testing.assert_array_equal(other_times, times)
        np.testing.assert_array_equal(other_inputs, inputs)


def test_seeds_decide_everything():
    first, again, other = (Link(scenario(), seed=seed).play().tags(0.01)[0] for seed in (7, 7, 8))
    np.testing.assert_array_equal(first, again)
    assert len(other) != len(first) or (other != first).any()
    with pytest.raises(ValueError, match="cannot go back"):
        Link(scenario()).world.advance_to(-1.0)


def test_darks_come_as_often_as_stated():
    link = Link(scenario(detectors={"dark_count_rate_hz": [1e3, 2e3, 4e3, 8e3]}))
    _, inputs, _, _ = link.tags(4.0)
    counts = np.bincount(inputs, minlength=5)[1:]
    expected = 4.0 * np.array([1e3, 2e3, 4e3, 8e3])
    assert np.abs((counts - expected) / np.sqrt(expected)).max() < 4


def test_dead_time_is_not_extended_by_what_it_hides():
    # Mueller 1973: observed rate r / (1 + r tau).
    dead_s = 5e-6
    link = Link(
        scenario(
            detectors={"dead_time_ns": dead_s * 1e9, "dark_count_rate_hz": [1e5] * 4, "jitter_fwhm_ps": 0.0}
        )
    )
    times, inputs, _, _ = link.tags(2.0)
    for channel in range(1, 5):
        mine = times[inputs == channel]
        assert np.diff(mine).min() >= dead_s * 1e12 - 100
        observed, expected = len(mine) / 2.0, 1e5 / (1 + 1e5 * dead_s)
        assert abs(observed - expected) < 4 * np.sqrt(expected / 2.0)


def test_intervals_are_exponential_beyond_the_dead_time():
    link = Link(scenario(detectors={"dead_time_ns": 500.0, "dark_count_rate_hz": [1e5] * 4}))
    times, inputs, _, _ = link.tags(2.0)
    beyond_s = np.diff(times[inputs == 1]) * 1e-12 - 5e-7
    assert stats.kstest(beyond_s, "expon", args=(0, 1e-5)).pvalue > 1e-4
    assert stats.kstest(beyond_s, "expon", args=(0, 1.05e-5)).pvalue < 1e-6, "5 % off would be seen"


def test_more_events_than_a_buffer_holds_come_in_pieces():
    # 2e7 events per second and kind: each cell of 10 ms is three buffers long.
    fast = {"dead_time_ns": 0.0, "dark_count_rate_hz": [5e6] * 4, "jitter_fwhm_ps": 0.0}
    link = Link(scenario(detectors=fast))
    darks, duration_s = len(link.tags(0.1)[0]), 0.1
    assert abs(darks - 2e7 * duration_s) < 4 * np.sqrt(2e7 * duration_s)
    link.world.part("voa").port.update(attenuation_db=13.0)
    lit = len(link.play().tags(duration_s, settle_s=0.01)[0]) / duration_s
    (_, truth), *_ = link.truths(link.world.now_s - 0.001, link.world.now_s - 0.0005)
    signal_hz = truth.detected_per_light_s * truth.pattern.mean_transmission * truth.efficiency.mean()
    assert signal_hz > 1e7
    assert lit == pytest.approx(2e7 + signal_hz, rel=0.05), "to the polarization's chance"


@pytest.mark.timeout(20)
@pytest.mark.parametrize("crosstalk_db", [60.0, 100.0, 200.0])
def test_light_too_weak_to_click_costs_no_time(crosstalk_db):
    link = Link(scenario(channel={"switch_crosstalk_db": crosstalk_db})).play()
    link.world.part("voa").port.update(attenuation_db=60.0)
    link.world.part("switch").port.update(pairs={})
    times, _, _, _ = link.tags(0.5, settle_s=0.01)
    assert len(times) == pytest.approx(200, abs=4 * np.sqrt(200)), "darks alone"
    link.world.part("voa").port.update(attenuation_db=28.0)
    link.world.part("switch").port.update(pairs={1: 17})
    assert len(link.tags(0.01)[0]) > 3000, "the light comes back"


def test_a_common_hold_off_stops_all_four():
    link = Link(
        scenario(
            detectors={
                "common_hold_off": True,
                "dead_time_ns": 1000.0,
                "jitter_fwhm_ps": 0.0,
                "skew_ps": [0] * 4,
            }
        )
    )
    times, _, _, _ = link.play().tags(0.02)
    assert np.diff(np.sort(times)).min() >= 1e6 - 100


def test_inputs_of_the_tagger():
    off = Link(scenario()).play()
    off.tagger.update(enabled=(True, False, True, True), threshold_v=(0.1, 0.1, 0.5, 0.1))
    assert set(off.tags(0.005)[1]) == {1, 4}
    plain, delayed = Link(scenario(), seed=3).play(), Link(scenario(), seed=3).play()
    delayed.tagger.update(delay_ps=(0, 4000, 0, 0))
    (times, inputs, _, _), (later, same, _, _) = plain.tags(0.005), delayed.tags(0.005)
    second = times[inputs == 2]
    moved = later[same == 2]
    assert (moved[: len(second) - 5] - second[: len(moved)][: len(second) - 5] == 4000).all()


def test_light_takes_its_time_through_the_fibre():
    link = Link(scenario(detectors={"dark_count_rate_hz": [5.0] * 4}))
    link.world.advance_to(0.001)
    link.play()
    link.readings.take_tags()
    link.world.advance_to(0.001 + link.world.fibre.delay_s * 0.99)
    assert len(link.readings.take_tags()[0]) <= 1
    link.world.advance_to(0.001 + link.world.fibre.delay_s + 1e-4)
    assert len(link.readings.take_tags()[0]) > 50
    assert link.world.fibre.delay_s == pytest.approx(97.9e-6, rel=0.01)


def test_the_log_of_truth_covers_what_was():
    link = Link(scenario()).play()
    link.world.advance_to(0.0345)
    truths = link.truths(0.01, 0.03)
    assert sum(duration for duration, _ in truths) == pytest.approx(0.02)
    rates = background_rates_hz(truths, link.scenario.receiver)
    assert rates == pytest.approx([100.0] * 4)
    with pytest.raises(ValueError, match="is not in the log"):
        link.world.truth.interval(0.01, 1.0)


@pytest.fixture(scope="module")
def measured():
    """A second of the link beside classical light, as the analysis sees it, and the log of it."""
    link = Link(scenario(), seed=4).play().classical(6.0)
    link.world.advance_to(0.01)
    times, inputs, start, stop = link.tags(1.0, settle_s=0.0)
    clock = SymbolClock(PATTERN, Receiver((1, 2, 3, 4), link.scenario.detectors.skew_ps))
    sifter = Sifter(PATTERN, 35_000)
    sifter.push(clock.push(TagBatch(times, inputs, start, stop)))
    sifter.push(clock.finish())
    return link, sifter.counts(), link.truths(0.01, 1.01)


def test_expectation_is_what_the_analysis_finds(measured):
    link, counts, truths = measured
    expected = expect_link(
        truths, PATTERN.intensity, PATTERN.states, WINDOW_S, link.scenario.receiver, SMEAR_S
    )
    for level in range(3):
        gain, qber = counts.gain(level), counts.qber(level)
        assert abs(gain.value - expected.gains[level]) < 4 * gain.standard_uncertainty
        assert abs(qber.value - expected.error_rates[level]) < 4 * qber.standard_uncertainty
    assert expected.mean_photon_numbers == pytest.approx((0.5, 0.1, 6e-4), rel=0.05)


def test_expectation_is_what_single_pulses_give(measured):
    """Draw photons pulse by pulse, with nothing of the sampler: Poisson light, four detectors, a random bit."""
    link, _, truths = measured
    truth, draw = truths[0][1], np.random.default_rng(9)
    error = link.scenario.receiver.optical_error
    expected = expect_link(
        [(1.0, truth)], PATTERN.intensity, PATTERN.states, WINDOW_S, link.scenario.receiver, SMEAR_S
    )
    energy = truth.pattern.energy_s.reshape(-1, 2)
    stokes = (truth.pattern.stokes.reshape(-1, 2, 3) * energy[..., None]).sum(axis=1) / energy.sum(axis=1)[
        :, None
    ]
    first, second = (1 - 2 * error) * truth.rotation[:2] @ stokes.T
    sides = np.stack((1 + first, 1 - first, 1 + second, 1 - second), axis=1)
    light = truth.detected_per_light_s * energy.sum(axis=1)[:, None] * sides / 4 * truth.efficiency
    stray = (truth.dark_count_rate_hz + (truth.raman_hz + truth.leak_hz) / 4 * truth.efficiency) * WINDOW_S
    rounds, share = 120, 0.9847  # of the light within the window
    seen, right, wrong = np.zeros(3), np.zeros(3), np.zeros(3)
    for _ in range(rounds):
        clicks = draw.poisson(light * share + stray) > 0
        basis, bit = PATTERN.states // 2, PATTERN.states % 2
        mine = np.where(basis[:, None] == 0, clicks[:, :2], clicks[:, 2:])
        other = np.where(basis[:, None] == 0, clicks[:, 2:], clicks[:, :2]).any(axis=1)
        both = mine.all(axis=1)
        read = np.where(both, draw.integers(0, 2, len(bit)), mine[:, 1])
        sifted = mine.any(axis=1) & ~other
        for level in range(3):
            of = PATTERN.intensity == level
            seen[level] += clicks[of].any(axis=1).sum()
            wrong[level] += (sifted & of & (read != bit)).sum()
            right[level] += (sifted & of & (read == bit)).sum()
    symbols = rounds * np.array(PATTERN.intensity_counts)
    gains, rates = seen / symbols, wrong / (right + wrong)
    sigma = np.hypot(np.sqrt(seen) / symbols, 5e-4 * gains)
    assert (np.abs(gains - expected.gains) < 4 * sigma).all()
    assert (np.abs(rates - expected.error_rates) < 4 * np.sqrt(rates * (1 - rates) / (right + wrong))).all()
