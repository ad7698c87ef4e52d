"""What detectors owe to bias, light and time, each by itself; and what happens by itself once."""

import numpy as np
import pytest

from qhal.errors import ConfigurationError
from qhal_simulators.instruments.idquantique.id900 import Id900
from qhal_simulators.instruments.idquantique.id900_options import Id900Options
from qhal_simulators.simulated_time import SimulationClock
from tests.physics.bench import Link, scenario

DARK = {"dead_time_ns": 0.0, "jitter_fwhm_ps": 0.0, "skew_ps": [0] * 4}


def efficiency(link):
    link.world.advance_to(link.world.now_s + 0.001)
    return link.world.present().efficiency


def test_efficiency_follows_the_lasers_frequency():
    link = Link(scenario(detectors={"efficiency_per_thz": -0.04}))
    laser = link.world.part("quantum-laser").port
    laser.update(enabled=True, frequency_thz=194.4)
    at_table = efficiency(link)
    assert at_table == pytest.approx([0.82, 0.78, 0.80, 0.76])
    laser.update(frequency_thz=193.4)
    assert efficiency(link) == pytest.approx(at_table * 1.04)
    laser.update(frequency_thz=195.4)
    assert efficiency(link) == pytest.approx(at_table * 0.96)


def test_dark_counts_grow_by_the_hour():
    detectors = DARK | {"dark_drift_per_hour": 3.0, "dark_count_rate_hz": [100.0] * 4}
    link = Link(scenario(detectors=detectors, world={"grid_s": 1.0}))
    counts = []
    for _ in range(4):
        times, _, _, _ = link.tags(450.0, settle_s=0.0)
        counts.append(len(times))
    edges_h = np.arange(5) / 8
    expected = 400.0 * 3600 * np.diff(4.0**edges_h) / np.log(4.0)
    assert (np.abs(counts - expected) < 4 * np.sqrt(expected)).all()
    assert counts[3] > 1.6 * counts[0]


def test_each_wire_has_a_width_and_a_background_of_its_own():
    detectors = {"width_ua": (0.5, 1.0, 2.0, 4.0), "background_hz": (0.0, 5.0, 20.0, 80.0)}
    link = Link(scenario(detectors=detectors))
    table = link.scenario.detectors
    knees = tuple(0.6 * at_ua for at_ua in table.operating_ua)
    link.world.part("detectors").port.update(bias_ua=knees)
    truth = link.world.present()
    # At its knee a sigmoid is at a half; at the operating point at 1 / (1 + exp(-0.4 I / width)).
    top = 1 / (1 + np.exp(-0.4 * np.array(table.operating_ua) / table.width_ua))
    assert truth.efficiency == pytest.approx(0.5 / top * table.efficiency)
    assert truth.dark_count_rate_hz[0] < 1e-20
    assert (np.diff(truth.dark_count_rate_hz) > 1).all()


def test_each_detector_has_its_dead_time_jitter_and_memory():
    rate_hz, dead_ns, probability = (
        2e4,
        np.array((100.0, 200.0, 400.0, 800.0)),
        np.array((0.0, 0.1, 0.2, 0.3)),
    )
    memory = {
        "dead_time_ns": tuple(dead_ns),
        "afterpulse_probability": tuple(probability),
        "afterpulse_lifetimes_ns": (50.0,),
        "dark_count_rate_hz": [rate_hz] * 4,
    }
    times, inputs, _, _ = Link(scenario(detectors=DARK | memory)).tags(4.0)
    for channel in range(4):
        mine = times[inputs == channel + 1]
        steps_ns = np.diff(mine) * 1e-3
        assert steps_ns.min() == pytest.approx(dead_ns[channel], abs=3.0 if probability[channel] else 60.0)
        soon = (steps_ns < dead_ns[channel] + 500.0).mean()
        expected = probability[channel] + (1 - probability[channel]) * rate_hz * 500e-9
        assert soon == pytest.approx(expected, abs=4 * np.sqrt(expected / len(mine)))


def test_each_detector_recovers_in_its_own_time():
    rate_hz, recovery_ns = 2e5, (0.0, 500.0, 1000.0, 2000.0)
    memory = {"recovery_time_ns": recovery_ns, "dark_count_rate_hz": [rate_hz] * 4}
    times, inputs, _, _ = Link(scenario(detectors=DARK | memory)).tags(2.0)
    for channel, tau_ns in enumerate(recovery_ns):
        steps_s = np.diff(times[inputs == channel + 1]) * 1e-12
        tau, t = tau_ns * 1e-9, np.linspace(0, 1e-4, 200_001)
        missed = tau * -np.expm1(-t / tau) if tau else 0.0
        survival = np.exp(-rate_hz * (t - missed))
        mean_s = ((survival[1:] + survival[:-1]) / 2).sum() * (t[1] - t[0])
        assert steps_s.mean() == pytest.approx(mean_s, abs=4 * steps_s.std() / np.sqrt(len(steps_s)))


def test_jitter_is_that_of_each_detector():
    gate = {"gate_period_ps": 1e5, "gate_width_ps": 100.0, "gate_rise_ps": 1.0}
    jitter_ps = (0.0, 500.0, 2000.0, 8000.0)
    table = DARK | gate | {"jitter_fwhm_ps": jitter_ps, "dark_count_rate_hz": [1e7] * 4}
    times, inputs, _, _ = Link(scenario(detectors=table)).tags(0.5)
    for channel, fwhm_ps in enumerate(jitter_ps):
        phase = (times[inputs == channel + 1] + 50_000) % 100_000 - 50_000
        # Besides jitter: the gate, whose steps are a 2048th of its turn, and bins of 100 ps.
        expected = np.hypot(fwhm_ps / 2.3548, 50.0)
        assert phase.std() == pytest.approx(expected, rel=4 / np.sqrt(2 * len(phase)), abs=15.0)


def test_detectors_latch_by_themselves_once_until_their_bias_is_taken_off():
    table = {"latch_at_s": 0.0503, "dark_count_rate_hz": [1e5] * 4, "cold_stage_k": 2.7}
    link = Link(scenario(detectors=table))
    port, detectors = link.world.part("detectors").port, link.readings.detectors
    assert detectors.temperatures_k() == (2.7, 40.0)
    link.world.advance_to(0.1)
    times, _ = link.readings.take_tags()
    assert 0.0502e12 < times[-1] < 0.0504e12
    assert detectors.latched() == (True,) * 4
    assert min(detectors.voltages_v()) > 1.0
    assert link.world.truth.interval(0.0504, 0.06)[0][1].efficiency.tolist() == [0.0] * 4
    port.update(enabled=False)
    port.update(enabled=True)
    link.world.advance_to(0.2)
    assert len(link.readings.take_tags()[0]) > 3e4
    assert detectors.latched() == (False,) * 4


def test_the_taggers_buffer_overflows_once_if_it_records():
    for recording in (True, False):
        link = Link(scenario(tagger={"overflow_at_s": 0.0123}))
        link.readings.recording = recording
        link.world.advance_to(0.0122)
        assert link.readings.overflows() == 0
        link.world.advance_to(0.1)
        assert link.readings.overflows() == recording


def test_an_id900_stops_streaming_when_its_buffer_overflows():
    link = Link(scenario(tagger={"overflow_at_s": 0.035}))
    clock = SimulationClock(stepped=True)
    clock.world = link.world
    unit = Id900(clock, link.world.part("tagger"), Id900Options())
    replies = []
    scpi = unit.connect("main", replies.append)
    for text in (
        "DEVI:CONF:LOAD HISTO",
        "REC:ENAB ON",
        "REC:NUM INF",
        "REC:PWID 10GTB",
        "REC:PPER 10000040000TB",
    ):
        scpi.receive(text.encode())
    for n in range(1, 5):
        scpi.receive(f"RAW{n}:SEND ON;:RAW{n}:STOP:LINK INPU{n};:INPU{n}:ENAB ON".encode())
    scpi.receive(b"REC:PLAY")
    clock.advance_to(0.03)
    assert unit.recorder.raw_errors == [0] * 4
    clock.advance_to(0.06)
    assert min(unit.recorder.raw_errors) > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pulse_v": (0.4, 0.4, 0.4)}, r"detectors\.pulse_v"),
        ({"dead_time_ns": (1.0, -1.0, 1.0, 1.0)}, r"detectors\.dead_time_ns"),
        ({"dark_drift_per_hour": -1.0}, r"detectors\.dark_drift_per_hour.*-1"),
        ({"noise_bandwidth_hz": 0.0}, r"detectors\.noise_bandwidth_hz"),
    ],
)
def test_unphysical_detectors_are_refused(change, message):
    with pytest.raises(ConfigurationError, match=message):
        scenario(detectors=change)
