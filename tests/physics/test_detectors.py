"""Detectors with a memory, and a tagger with unequal bins, against their closed forms."""

import numpy as np
import pytest

from qhal.errors import ConfigurationError
from qhal_simulators.physics.readout import tagger_bins
from tests.physics.bench import Link, scenario

DEAD_NS = 1000.0
BASE = {"dead_time_ns": DEAD_NS, "jitter_fwhm_ps": 0.0, "skew_ps": [0] * 4}


def intervals(link, duration_s):
    """The times between clicks of one detector, all four together (seconds), and the number of clicks."""
    times, inputs, _, _ = link.tags(duration_s)
    steps = [np.diff(times[inputs == channel]) for channel in range(1, 5)]
    return np.concatenate(steps) * 1e-12, len(times)


@pytest.mark.parametrize("probability", [0.05, 0.3])
def test_afterpulses_of_every_order_are_kept(probability):
    # Each click has one successor with this probability: all clicks are the first ones over 1 - P.
    rate_hz, duration_s = 2000.0, 40.0
    memory = {"afterpulse_probability": probability, "dark_count_rate_hz": [rate_hz] * 4}
    _, clicks = intervals(Link(scenario(detectors=BASE | memory)), duration_s)
    first = 4 * rate_hz * duration_s
    expected = first / (1 - probability)
    # Clusters of clicks: their size is geometric.
    sigma = np.sqrt(first * (1 + probability)) / (1 - probability)
    lost = expected * rate_hz * (DEAD_NS * 1e-9)  # clicks within the dead time of others
    assert abs(clicks - expected + lost) < 4 * sigma + 0.1 * lost


def test_afterpulses_decay_with_their_lifetimes_after_the_dead_time():
    rate_hz, probability, lifetimes_s, shares = 500.0, 0.2, (1.1e-6, 4e-6), (0.7, 0.3)
    memory = {
        "afterpulse_probability": probability,
        "afterpulse_lifetimes_ns": [t * 1e9 for t in lifetimes_s],
        "afterpulse_shares": shares,
        "dark_count_rate_hz": [rate_hz] * 4,
    }
    steps, _ = intervals(Link(scenario(detectors=BASE | memory)), 60.0)
    edges = np.linspace(0, 20e-6, 41)
    found = np.histogram(steps - DEAD_NS * 1e-9, edges)[0]
    later = sum(s * np.exp(-edges / t) for s, t in zip(shares, lifetimes_s, strict=True))
    expected = len(steps) * (probability * -np.diff(later) + rate_hz * np.diff(edges))
    pulls = (found - expected) / np.sqrt(expected)
    assert np.abs(pulls).max() < 4
    assert 0.6 < pulls.std() < 1.4


def test_efficiency_comes_back_exponentially_after_the_dead_time():
    rate_hz, recovery_s = 2e5, 2e-6
    memory = {"recovery_time_ns": recovery_s * 1e9, "dark_count_rate_hz": [rate_hz] * 4}
    steps, _ = intervals(Link(scenario(detectors=BASE | memory)), 2.0)
    waits = steps - DEAD_NS * 1e-9
    edges = np.linspace(0, 12e-6, 41)
    # Hazard r (1 - exp(-t / tr)): survival exp(-r (t - tr (1 - exp(-t / tr)))).
    survival = np.exp(-rate_hz * (edges - recovery_s * (1 - np.exp(-edges / recovery_s))))
    expected = len(waits) * -np.diff(survival)
    pulls = (np.histogram(waits, edges)[0] - expected) / np.sqrt(expected)
    assert np.abs(pulls).max() < 4.5
    assert 0.6 < pulls.std() < 1.4


def test_how_time_is_cut_changes_no_tag_of_a_detector_with_a_memory():
    memory = {"afterpulse_probability": 0.2, "recovery_time_ns": 500.0}
    results = []
    for cuts in ([], [0.0013, 0.0017, 0.0050001], np.linspace(0.0011, 0.009, 57).tolist()):
        link = Link(scenario(detectors=BASE | memory)).play()
        link.world.advance_to(0.001)
        for place in cuts:
            link.world.advance_to(place)
        link.world.advance_to(0.01)
        results.append(link.readings.take_tags())
    for times, inputs in results[1:]:
        np.testing.assert_array_equal(times, results[0][0])
        np.testing.assert_array_equal(inputs, results[0][1])


def test_flat_light_shows_the_width_of_each_bin():
    bins, dnl = 32, 0.2
    link = Link(
        scenario(
            detectors=BASE | {"dark_count_rate_hz": [2e5] * 4},
            tagger={"dnl": dnl, "interpolator_bins": bins},
        )
    )
    times, _, _, _ = link.tags(2.0)
    resolution = link.tagger.settings.resolution_ps
    assert (times % resolution == 0).all()
    density = np.bincount(times // resolution % bins, minlength=bins)
    widths = np.diff(tagger_bins.edges(np.random.default_rng((1, 15)), bins, dnl))
    expected = len(times) * widths / bins
    pulls = (density - expected) / np.sqrt(expected)
    assert np.abs(pulls).max() < 4
    assert np.std(widths) == pytest.approx(dnl, rel=0.3)
    assert len(tagger_bins.edges(np.random.default_rng(1), bins, 0.0)) == 0


def test_unphysical_memories_are_refused():
    with pytest.raises(ConfigurationError, match=r"detectors\.afterpulse_probability.*0\.5"):
        scenario(detectors={"afterpulse_probability": 0.9})
    with pytest.raises(
        ConfigurationError, match="give one for each of afterpulse_lifetimes_ns, with the sum 1"
    ):
        scenario(detectors={"afterpulse_shares": [0.5, 0.4], "afterpulse_lifetimes_ns": [1.0, 2.0]})


def test_gates_open_where_and_as_wide_as_they_should():
    gate = {
        "gate_period_ps": 10_000.0,
        "gate_width_ps": 2000.0,
        "gate_rise_ps": 300.0,
        "gate_delay_ps": [0.0, 500.0, 2500.0, 9000.0],
        "dark_count_rate_hz": [1e5] * 4,
    }
    link = Link(scenario(detectors=BASE | gate | {"dead_time_ns": 10.0}))
    times, inputs, start, stop = link.tags(3.0)
    duration_s = (stop - start) * 1e-12
    for channel, delay in enumerate(gate["gate_delay_ps"], 1):
        mine = times[inputs == channel]
        expected = 1e5 * 0.2 * duration_s  # a gate's area is that of its rectangle
        assert abs(len(mine) - expected) < 4 * np.sqrt(expected) + 1e5 * 1e5 * 0.2 * 10e-9 * duration_s
        phase = (mine - delay + 5000) % 10_000 - 5000 + 50  # tags are the beginnings of bins of 100 ps
        assert abs(phase.mean()) < 4 * phase.std() / np.sqrt(len(phase))
        top = np.abs(phase) < 700
        assert top.mean() == pytest.approx(0.7, abs=4 * np.sqrt(0.21 / len(phase)) + 0.01)
        edge = np.histogram(phase, [-2000, -1150, -1000, -850, 0])[0]
        assert edge[1] < edge[2]
    assert np.abs(phase).max() < 2000


def test_detectors_that_do_not_latch_come_back_when_the_light_falls():
    for latches in (True, False):
        link = Link(scenario(detectors={"blinding_rate_hz": 1e6, "latches": latches})).classical(13.5, 194.4)
        assert len(link.tags(0.01)[0]) == 0
        link.world.part("classical-laser").port.update(enabled=False)
        times, _, _, _ = link.tags(0.5, settle_s=0.01)
        assert (len(times) == 0) == latches
        assert any(link.readings.detectors.latched()) == latches


def test_intensity_noise_makes_clicks_of_one_pulse_related():
    # Poisson light of random intensity: coincidences of two detectors are 1 + sigma^2 times those of steady light.
    counts = {}
    for noise in (0.0, 0.3):
        link = Link(scenario(transmitter={"intensity_noise": noise}, detectors={"skew_ps": [0] * 4})).play()
        times, inputs, _, _ = link.tags(1.0)
        order = np.argsort(times, kind="stable")
        times, inputs = times[order], inputs[order]
        near = (np.diff(times) < 4000) & (inputs[1:] != inputs[:-1])
        counts[noise] = len(times), int(near.sum())
    (steady, pairs), (noisy, more) = counts[0.0], counts[0.3]
    assert noisy == pytest.approx(steady, abs=6 * np.sqrt(steady) + 0.001 * steady)
    assert more / pairs == pytest.approx(1.09, abs=4 * np.sqrt(2 / pairs) + 0.01)
