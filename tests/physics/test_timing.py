"""What moves and smears the time of a photon: clocks that age, fibre that warms up, dispersion."""

import numpy as np
import pytest

from qhal_simulators.physics.oscillator import Oscillator
from qhal_simulators.physics.scenario_tables import timing_fwhm_ps
from tests.physics.bench import Link, scenario

PERIOD_PS = 10_000


def phase_ps(link, at_s):
    """The mean phase of the tags over the symbol in a hundredth of a second, with both clocks perfect."""
    link.world.advance_to(at_s)
    times, _, _, _ = link.tags(0.01, settle_s=0.0)
    turn = np.exp(2j * np.pi * (times % PERIOD_PS) / PERIOD_PS).mean()
    return float(np.angle(turn)) / (2 * np.pi) * PERIOD_PS


PERFECT = {
    "world": {"clock_allan_1s": 0.0, "clock_offset_range": 0.0},
    "detectors": {"skew_ps": [0] * 4},
}


def test_the_fibres_delay_follows_its_temperature():
    changed = scenario(channel={"temperature_swing_k": 5.0, "temperature_period_s": 4.0}, **PERFECT)
    link = Link(changed).play()
    early, late = phase_ps(link, 0.01), phase_ps(link, 0.995)
    # 38 ps/(km K) over 20 km: a quarter of the period later the fibre is 5 K warmer.
    swing = 38.0 * 20 * 5.0
    expected = swing * (np.sin(np.pi / 2 * 1.0) - np.sin(np.pi / 2 * 0.015))
    assert (late - early) % PERIOD_PS == pytest.approx(expected, abs=30)


def test_a_clock_that_ages_gains_with_the_square_of_time():
    clock = Oscillator((1, 2), 1e-6, 0.0, 0.01, drift_per_s=2e-9)
    for t in (1.0, 7.0, 60.0):
        assert clock.reading_s(t) - t == pytest.approx(1e-6 * t + 1e-9 * t**2, rel=1e-9)


def test_white_frequency_noise_walks_as_its_allan_deviation_says():
    """1e-10 at 1 s: 100 ps in 1 s, 1 ns in 100 s."""
    readings = np.array(
        [[Oscillator((n, 3), 0.0, 1e-10, 0.05).reading_s(t) - t for t in (1.0, 25.0)] for n in range(300)]
    )
    spread = readings.std(axis=0)
    assert spread[0] == pytest.approx(100e-12, rel=0.17)
    assert spread[1] == pytest.approx(500e-12, rel=0.17)


@pytest.mark.parametrize(("length_km", "width_nm", "expected_ps"), [(60.0, 0.1, 102.0), (60.0, 0.02, 20.4)])
def test_dispersion_spreads_a_pulse(length_km, width_nm, expected_ps):
    changed = scenario(
        channel={"length_km": length_km},
        transmitter={"spectral_width_nm": width_nm},
        detectors={"jitter_fwhm_ps": 0.0},
    )
    assert timing_fwhm_ps(changed) == pytest.approx((expected_ps,) * 4, rel=1e-9)


def test_widths_add_as_squares():
    """Laser 50, detector 100, tagger 30 ps make 116 ps."""
    changed = scenario(
        channel={"length_km": 25.0, "pmd_ps_per_sqrt_km": 6.0, "dispersion_ps_per_nm_km": 2.0},
        transmitter={"spectral_width_nm": 1.0},
        detectors={"jitter_fwhm_ps": 100.0},
    )
    assert timing_fwhm_ps(changed) == pytest.approx((np.sqrt(50**2 + 30**2 + 100**2),) * 4)


def test_a_kilometre_of_fibre_takes_4897_ns():
    near, far = (Link(scenario(channel={"length_km": km}, **PERFECT)).world for km in (20.0, 21.0))
    assert far.fibre.delay_s - near.fibre.delay_s == pytest.approx(4.897e-6, rel=1e-4)


@pytest.mark.parametrize("length_km", [20.0, 20.5])
def test_clicks_follow_the_pattern_by_the_fibres_delay(length_km):
    changed = scenario(channel={"length_km": length_km, "dispersion_ps_per_nm_km": 0.0}, **PERFECT)
    link = Link(changed).play()
    started_s = link.world.now_s
    truth_s = link.world.fibre.delay_s
    times, _, _, _ = link.tags(0.02)
    (_, truth), *_ = link.truths(0.01, 0.02)
    slot_ps = truth.pattern.slot_s * 1e12
    period = len(truth.pattern)
    # Cross-correlation of the light of each slot with the clicks: it peaks where the fibre puts it.
    clicked = np.bincount((np.floor(times / slot_ps).astype(np.int64)) % period, minlength=period)
    found = np.fft.irfft(np.fft.rfft(clicked) * np.conj(np.fft.rfft(truth.pattern.energy_s)), period)
    expected = ((started_s + truth_s) * 1e12 / slot_ps) % period
    assert int(found.argmax()) == pytest.approx(expected, abs=1)
