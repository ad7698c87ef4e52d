"""Pulse heights and noise against thresholds, at the tagger's inputs and the detectors' own counter."""

import math

import numpy as np
import pytest

from qhal_simulators.physics.receiver.pulse_thresholds import MOST_NOISE_HZ, fraction_above, noise_rate_hz
from tests.physics.bench import Link, scenario

QUIET = {"jitter_fwhm_ps": 0.0, "skew_ps": [0] * 4, "dead_time_ns": 0.0}


def grown(readings, task):
    """Growth of an instrument's counts during a task."""
    before = np.array(readings.counts())
    task()
    return np.array(readings.counts()) - before


def passed(height, sigma, threshold):
    return math.erfc((threshold - height) / (sigma * math.sqrt(2))) / 2


def test_an_input_passes_the_pulses_above_its_threshold():
    heights, sigma = (0.4, 0.35, 0.3, 0.45), 0.05
    link = Link(
        scenario(
            detectors=QUIET | {"pulse_v": heights, "pulse_sigma_v": sigma, "dark_count_rate_hz": [5e4] * 4}
        )
    )
    counter = link.readings.detectors
    for threshold in (0.25, 0.38, 0.45):
        link.tagger.update(threshold_v=(threshold,) * 4)
        clicks = np.array(counter.counts())
        tags = grown(link.readings, lambda: link.world.advance_to(link.world.now_s + 1.0))
        clicks = np.array(counter.counts()) - clicks
        chance = np.array([passed(height, sigma, threshold) for height in heights])
        spread = np.sqrt(clicks * chance * (1 - chance)) + 1e-9
        assert (np.abs(tags - clicks * chance) <= 4 * spread + 1).all(), threshold
    assert clicks.sum() > 150_000


def test_heights_of_successive_pulses_are_independent():
    link = Link(
        scenario(
            detectors=QUIET | {"pulse_v": 0.4, "pulse_sigma_v": 0.05, "dark_count_rate_hz": [2e5, 0, 0, 0]}
        )
    )
    link.tagger.update(threshold_v=(0.4,) * 4)
    times, _, start, stop = link.tags(1.0)
    # A Poisson process thinned independently stays one: counts in cells vary as their mean.
    cells = np.histogram(times, np.linspace(start, stop, 2001))[0]
    assert cells.mean() == pytest.approx(50.0, rel=0.02)
    assert cells.var() / cells.mean() == pytest.approx(1.0, abs=4 * np.sqrt(2 / 2000))


def test_without_a_spread_a_threshold_is_a_comparison():
    assert [fraction_above(threshold, 0.4, 0.0) for threshold in (-0.2, 0.399, 0.4, 0.5)] == [
        1.0,
        1.0,
        0.0,
        0.0,
    ]
    assert fraction_above(-0.2, 0.4, 0.1) == pytest.approx(1.0, abs=1e-8)


def test_noise_triggers_as_often_as_rice_says():
    sigma, bandwidth_hz = 0.02, 5e8
    link = Link(
        scenario(
            detectors=QUIET
            | {"noise_v": sigma, "noise_bandwidth_hz": bandwidth_hz, "dark_count_rate_hz": [0.0] * 4}
        )
    )
    detectors = link.readings.detectors
    thresholds = np.array([0.07, 0.075, -0.08, 0.1])
    link.tagger.update(threshold_v=tuple(thresholds))
    duration_s = 1.0
    tags = grown(link.readings, lambda: link.world.advance_to(duration_s))
    times, inputs = link.readings.take_tags()
    expected = bandwidth_hz / np.sqrt(3) * np.exp(-(thresholds**2) / (2 * sigma**2)) * duration_s
    assert (np.abs(tags - expected) < 4 * np.sqrt(expected)).all()
    assert np.bincount(inputs, minlength=5)[1:].tolist() == tags.tolist(), "tags and counts are the same"
    assert (np.diff(times) >= 0).all()
    assert detectors.counts() == (0,) * 4, "noise at the tagger is no click"
    cells = np.histogram(times, np.linspace(0, 1e12, 1001))[0]
    assert cells.var() / cells.mean() == pytest.approx(1.0, abs=4 * np.sqrt(2 / 1000))
    link.tagger.update(enabled=(False,) * 4)
    assert not grown(link.readings, lambda: link.world.advance_to(1.5)).any()


def test_rare_noise_goes_on_from_cell_to_cell_of_the_grid():
    # A few per second: most cells of 10 ms have none, and what is left of the way to the next is carried over.
    link = Link(scenario(detectors=QUIET | {"noise_v": 0.02, "dark_count_rate_hz": [0.0] * 4}))
    link.tagger.update(threshold_v=(0.12,) * 4)
    tags = grown(link.readings, lambda: link.world.advance_to(20.0))
    expected = 20.0 * noise_rate_hz(0.12, 0.02, 1e9)
    assert expected == pytest.approx(175.9, rel=0.01)
    assert (np.abs(tags - expected) < 4 * np.sqrt(expected)).all()


def test_noise_has_a_highest_rate():
    assert noise_rate_hz(0.0, 0.01, 1e9) == MOST_NOISE_HZ
    assert noise_rate_hz(0.3, 0.01, 1e9) < 1e-100
    link = Link(scenario(detectors=QUIET | {"noise_v": 0.01, "dark_count_rate_hz": [0.0] * 4}))
    link.readings.recording, link.readings.counting = False, True
    link.tagger.update(threshold_v=(0.0, 0.4, 0.4, 0.4))
    tags = grown(link.readings, lambda: link.world.advance_to(0.05))
    assert abs(tags[0] - 1e6) < 4e3
    assert not tags[1:].any()


def test_the_own_counter_has_a_trigger_level_of_its_own():
    table = QUIET | {
        "pulse_v": 0.4,
        "pulse_sigma_v": 0.04,
        "counter_pulse_mv": (200.0, 200.0, 100.0, 100.0),
        "noise_v": 0.04,
        "dark_count_rate_hz": [1e5] * 4,
    }
    link = Link(scenario(detectors=table))
    link.world.part("detectors").port.update(trigger_mv=(210.0, 120.0, 90.0, 55.0))
    link.tagger.update(threshold_v=(0.42, 0.4, 0.4, 0.4))
    counts = grown(link.readings.detectors, lambda: link.world.advance_to(1.0))
    chance = np.array(
        [passed(*each) for each in ((200, 20, 210), (200, 20, 120), (100, 10, 90), (100, 10, 55))]
    )
    noise = [noise_rate_hz(*each, 1e9) for each in ((210, 20), (120, 20), (90, 10), (55, 10))]
    expected = 1e5 * chance + noise
    assert noise[1] > 1.0
    assert noise[3] > 100.0
    assert (np.abs(counts - expected) < 4 * np.sqrt(expected)).all()
    # The same pulse meets both: at equal relative levels the same ones pass.
    assert abs(counts[0] - link.readings.counts()[0]) < 10
    plain = Link(scenario(detectors={"dark_count_rate_hz": [1e4] * 4}))
    plain.world.part("detectors").port.update(trigger_mv=(1000.0,) * 4)
    assert min(grown(plain.readings.detectors, lambda: plain.world.advance_to(0.1))) > 500


def test_how_time_is_cut_changes_no_tag_with_everything_on():
    detectors = {
        "pulse_v": (0.4, 0.35, 0.3, 0.45),
        "pulse_sigma_v": 0.05,
        "noise_v": 0.1,
        "counter_pulse_mv": 150.0,
        "dead_time_ns": (30.0, 35.0, 40.0, 45.0),
        "jitter_fwhm_ps": (50.0, 60.0, 70.0, 0.0),
        "afterpulse_probability": (0.2, 0.0, 0.1, 0.3),
        "recovery_time_ns": (500.0, 0.0, 20.0, 100.0),
        "latch_at_s": 0.0083,
        "efficiency_per_thz": 0.05,
        "dark_drift_per_hour": 1.0,
    }
    receiver = {"basis_split": 0.6, "leaks": (0.01, 0.03, 0.0, 0.02), "analyser_tilt_deg": (4.0, -3.0)}
    changed = scenario(
        detectors=detectors,
        receiver=receiver,
        tagger={"dnl": 0.1, "overflow_at_s": 0.005},
        transmitter={"intensity_noise": 0.05},
    )
    results = []
    for cuts in ([], [0.0013, 0.0083, 0.0017], np.linspace(0.0011, 0.0119, 157).tolist()):
        link = Link(changed).play()
        link.tagger.update(threshold_v=(0.3,) * 4)
        link.world.advance_to(0.001)
        for place in sorted(cuts):
            link.world.advance_to(place)
        link.world.advance_to(0.012)
        counts = link.readings.detectors.counts(), link.readings.counts()
        results.append((*link.readings.take_tags(), counts))
    assert len(results[0][0]) > 5e4
    for times, inputs, counts in results[1:]:
        np.testing.assert_array_equal(times, results[0][0])
        np.testing.assert_array_equal(inputs, results[0][1])
        assert counts == results[0][2]
