"""Closed forms against per-pulse Monte Carlo at 1e7 pulses, within 4 sigma, and against worked figures."""

import math

import numpy as np
import pytest

from qhal.errors import OutOfRange
from qhal.link import photonics
from qhal.link.channel_model import ThresholdLink, repeaterless_bound
from qhal.tags.analysis.correction import DeadTime
from qhal.tags.batch import TagBatch

PULSES = 10_000_000


def within(found, trials, probability, sigmas=4):
    return abs(found - trials * probability) < sigmas * math.sqrt(trials * probability * (1 - probability))


@pytest.mark.parametrize("mean", [0.48, 0.05])
def test_gain_and_error_rate_of_two_threshold_detectors_pulse_by_pulse(mean):
    # Light to the right and to the wrong detector, each with darks; two clicks are a random bit.
    transmission, error, dark = 4e-3, 0.033, 2e-5
    rng = np.random.default_rng(round(mean * 100))
    photons = rng.poisson(mean, PULSES)
    arrived = rng.binomial(photons, transmission)
    stray = rng.binomial(arrived, error)
    right = (arrived > stray) | (rng.random(PULSES, np.float32) < dark)
    wrong = (stray > 0) | (rng.random(PULSES, np.float32) < dark)
    coin = rng.random(PULSES, np.float32) < 0.5
    link = ThresholdLink(transmission, dark, error, detectors=2)
    assert within(int((right | wrong).sum()), PULSES, link.gain(mean))
    assert within(int((wrong & (~right | coin)).sum()), PULSES, link.error_gain(mean))
    ones = photons == 1
    clicked = int((right | wrong)[ones].sum())
    assert within(clicked, int(ones.sum()), link.photon_yield(1))
    assert within(int((wrong & (~right | coin))[ones].sum()), clicked, link.single_photon_error)
    assert within(int((right | wrong)[photons == 0].sum()), int((photons == 0).sum()), link.background_yield)


@pytest.mark.parametrize("load", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("extending", [False, True])
def test_rates_behind_a_dead_time(load, extending):
    # Observed share m tau at n tau: n tau / (1 + n tau), or n tau exp(-n tau) when dropped events extend it.
    rng = np.random.default_rng(3)
    dead_ps, events = 1_000_000, 2_000_000
    times = np.cumsum(rng.exponential(dead_ps / load, events)).astype(np.int64)
    batch = TagBatch(times, np.ones(events, np.uint8), 0, int(times[-1]) + 1)
    kept = len(DeadTime(dead_ps, extending=extending).apply(batch))
    expected = math.exp(-load) if extending else 1 / (1 + load)
    assert abs(kept / events - expected) < 4 * math.sqrt(expected / events)


def test_gates_with_a_hold_off():
    # Click probability p per gate and k dead gates after each click: p / (1 + k p) clicks per gate.
    p, hold = 0.03, 7
    rng = np.random.default_rng(4)
    gates = np.flatnonzero(rng.random(PULSES) < p)
    batch = TagBatch(gates.astype(np.int64), np.ones(len(gates), np.uint8), 0, PULSES)
    kept = len(DeadTime(hold + 1).apply(batch))
    assert kept / PULSES == pytest.approx(p / (1 + hold * p), abs=4 * math.sqrt(p / PULSES))


def test_photons_per_pulse_of_a_power():
    assert photonics.photon_energy_j(299.792458 / 1.55) == pytest.approx(1.2816e-19, rel=1e-4)
    power_dbm = 10 * math.log10(4.81e-11 / 1e-3)
    assert power_dbm == pytest.approx(-73.2, abs=0.05)
    found = photonics.mean_photon_number(power_dbm + 45.0, 299.792458 / 1.55, 625e6, loss_db=45.0)
    assert found == pytest.approx(0.6, rel=2e-3)
    assert photonics.loss_for_db(0.6, power_dbm + 45.0, 299.792458 / 1.55, 625e6) == pytest.approx(
        45.0, abs=0.01
    )


@pytest.mark.parametrize(("extinction_db", "error"), [(18, 0.0156), (20, 0.0099), (23, 0.0050), (30, 0.0010)])
def test_optical_error(extinction_db, error):
    assert photonics.optical_error_of_extinction(extinction_db) == pytest.approx(error, abs=5e-5)
    visibility = math.tanh(extinction_db / 20 * math.log(10))
    assert photonics.optical_error_of_visibility(visibility) == pytest.approx(error, abs=5e-5)


@pytest.mark.parametrize(("window_ps", "share"), [(400, 0.991), (200, 0.809)])
def test_share_of_a_pulse_in_its_window(window_ps, share):
    assert photonics.fraction_in_window(window_ps, 180) == pytest.approx(share, abs=5e-4)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: photonics.photon_energy_j(0),
        lambda: photonics.mean_photon_number(0, 193.4, 0),
        lambda: photonics.loss_for_db(0, 0, 193.4, 1e6),
        lambda: photonics.optical_error_of_visibility(1.1),
        lambda: photonics.fraction_in_window(0, 1),
    ],
)
def test_impossible_figures(wrong):
    with pytest.raises(OutOfRange):
        wrong()


def test_the_repeaterless_bound():
    # A bit more per halving of what gets lost; in the limit of a long line transmission / ln 2.
    assert repeaterless_bound(0.5) == pytest.approx(1.0)
    assert repeaterless_bound(0.75) == pytest.approx(2.0)
    assert repeaterless_bound(1e-9) == pytest.approx(1e-9 / math.log(2), rel=1e-6)
    with pytest.raises(OutOfRange):
        repeaterless_bound(1.0)
