"""Clicks are drawn only while they are wanted, and are then the same as if all had been drawn."""

import numpy as np
import pytest
from scipy import stats

from tests.physics.bench import Link, scenario

RUN_IN_PS = 1_000_000_000  # a millisecond
APD = {
    "detectors": {
        "dead_time_ns": 10_000.0,
        "recovery_time_ns": 500.0,
        "afterpulse_probability": 0.05,
        "afterpulse_lifetimes_ns": [1000.0, 5000.0],
        "afterpulse_shares": [0.5, 0.5],
        "noise_v": 0.03,
        "dark_count_rate_hz": [2e4, 1e4, 5e3, 5e3],
    },
    "tagger": {"dnl": 0.1},
    "transmitter": {"intensity_noise": 0.02},
}
GATED = {"detectors": {"gate_period_ps": 10_000.0, "gate_width_ps": 6000.0, "dead_time_ns": 5000.0}}
DRIFTING = {"channel": {"polarization_correlation_time_s": 10.0}, "world": {"grid_s": 0.01}}


def events(link):
    """Settings that change on the way, some of them restarting the pattern."""
    world = link.world
    return {
        0.0123: lambda: world.part("polarization").port.update(angles_rad=(0.3, 1.0, 2.0)),
        0.0200: lambda: link.classical(6.0),
        0.0311: lambda: world.part("voa").port.update(attenuation_db=30.0),
        0.0402: lambda: link.tagger.update(delay_ps=(0, 500, 0, 0)),
        0.0450: lambda: world.part("awg").port.update(started_s=world.now_s),
    }


def recorded(changes, spans, stop_s=0.06):
    """Play with changes on the way and record in some spans; return tags and the clock at the spans' beginnings."""
    link = Link(scenario(**changes), seed=11).play()
    link.tagger.update(threshold_v=(0.15,) * 4)
    link.readings.recording = False
    found, due, begun = [], events(link), 0
    switches = {start: True for start, _ in spans} | {stop: False for _, stop in spans}
    for when in sorted({*due, *switches, stop_s}):
        link.world.advance_to(when)
        if when in due:
            due[when]()
        if when in switches:
            if not switches[when]:
                found.append((*link.readings.take_tags(), begun))
            begun = link.readings.clock_ps(when)
            link.readings.recording = switches[when]
    return found


@pytest.mark.parametrize("changes", [{}, APD, GATED, DRIFTING], ids=["metro", "apd", "gated", "drifting"])
def test_recorded_tags_are_those_of_a_recording_of_all(changes):
    ((all_times, all_inputs, _),) = recorded(changes, [(0.0, 0.06)])
    spans = [(0.0031, 0.0052), (0.0077, 0.0201), (0.02503, 0.0333), (0.0405, 0.05912)]
    for times, inputs, begun in recorded(changes, spans):
        late = times >= begun + RUN_IN_PS
        assert late.sum() > 100
        same = (all_times >= begun + RUN_IN_PS) & (all_times <= times.max())
        np.testing.assert_array_equal(times[late], all_times[same])
        np.testing.assert_array_equal(inputs[late], all_inputs[same])
        early = [((t >= begun) & (t < begun + RUN_IN_PS)).sum() for t in (times, all_times)]
        assert abs(early[0] - early[1]) < 6 * np.sqrt(early[1] + 10), "the run-in has the same rate"


def test_nothing_is_drawn_while_nobody_wants_it(mocker):
    link = Link(scenario(detectors={"noise_v": 0.05, "counter_pulse_mv": 300.0})).play()
    kernels = [
        mocker.spy(module, name)
        for module, name in (
            (__import__("qhal_simulators.physics.readout.click_sampler", fromlist="x"), "signal_events"),
            (__import__("qhal_simulators.physics.readout.click_sampler", fromlist="x"), "detect_and_tag"),
            (
                __import__("qhal_simulators.physics.readout.background_chain", fromlist="x"),
                "background_events",
            ),
        )
    ]
    link.readings.recording = False
    link.world.advance_to(1.0)
    assert [kernel.call_count for kernel in kernels] == [0, 0, 0]
    assert link.world.pace_s > 0.1
    for readings in (link.readings, link.readings.detectors):
        readings.counting = True
        assert link.world.pace_s < 0.1
        before = sum(readings.counts())
        link.world.advance_to(link.world.now_s + 0.01)
        assert sum(readings.counts()) > before + 1000
        readings.counting = False


def test_the_past_is_counted_as_it_was():
    """Counts of spans that were not drawn are those of a recording, up to the run-in, and fluctuate alike."""
    changes = APD | {"world": {"grid_s": 0.01}}
    link, full = (Link(scenario(**changes), seed=12).play() for _ in range(2))
    for each in (link, full):
        each.tagger.update(threshold_v=(0.15,) * 4)
        each.readings.counts_past_s = 1.0
    link.readings.recording = False
    counts, exact, before = [], [], ()
    for n in range(100):
        now = 0.01 * n + 0.0033
        for each in (link, full):
            each.world.advance_to(now)
            if n % 30 == 7:
                each.world.part("polarization").port.update(angles_rad=(0.1 * n, 1.0, 2.0))
        total = full.readings.counts()
        if n:
            exact.append(np.subtract(total, before))
            counts.append(link.readings.count_past(now - 0.01, now))
        before = total
    counts, exact = np.array(counts), np.array(exact)
    assert link.readings.counts() == (0, 0, 0, 0)
    assert np.abs(counts - exact).max() <= 6, "what is behind the edges, and remembered from before them"
    for n in range(4):
        assert counts[:, n].sum() == pytest.approx(
            exact[:, n].sum(), abs=4 * np.sqrt(exact[:, n].sum() * 0.05)
        )
        assert stats.ks_2samp(counts[:, n], exact[:, n]).pvalue > 1e-3


def test_each_playing_of_a_pattern_is_another_draw():
    link = Link(scenario(detectors={"jitter_fwhm_ps": 0.0})).play()
    seen = []
    for n in range(2):
        begun_s = 0.01 * (n + 1)
        link.world.advance_to(begun_s)
        link.world.part("awg").port.update(started_s=begun_s)
        link.world.advance_to(begun_s + link.world.fibre.delay_s)
        link.readings.take_tags()
        start = link.readings.clock_ps(link.world.now_s)
        link.world.advance_to(begun_s + 0.005)
        seen.append(set(((link.readings.take_tags()[0] - start) // 1000).tolist()))
    assert min(map(len, seen)) > 1000
    assert len(seen[0] & seen[1]) < 0.2 * len(seen[0])
