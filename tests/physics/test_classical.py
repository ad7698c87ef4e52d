"""Classical light against the signal and in company: Raman light the other way, four-wave mixing."""

import math

import numpy as np
import pytest

from qhal_simulators.physics.channel import four_wave_mixing, raman
from qhal_simulators.physics.expectation import integrated_raman_hz
from qhal_simulators.physics.light_units import dbm, photon_energy_j, watts
from tests.physics.bench import Link, scenario


@pytest.mark.parametrize(
    ("length_km", "forward", "backward"),
    [(10, 1.477e8, 1.530e8), (25, 1.851e8, 2.287e8), (50, 1.170e8, 2.516e8), (80, 4.704e7, 2.540e8)],
)
def test_recomputed_raman_lengths(length_km, forward, backward):
    """Reference case R3: 1 mW, 1 nm, 3e-9 /(km nm), 0.2 dB/km, photons per second at 1550 nm."""
    per_km = 1e-3 * 3e-9 / photon_energy_j(299.792458 / 1.55)
    assert raman.forward_length_km(length_km, 0.2, 0.2) * per_km == pytest.approx(forward, rel=1e-3)
    assert raman.backward_length_km(length_km, 0.2, 0.2) * per_km == pytest.approx(backward, rel=1e-3)


@pytest.mark.parametrize(
    ("power_dbm", "dispersion", "expected_dbm"),
    [(0.0, 17.0, -83.0), (0.0, 1.0, -60.0), (-10.0, 17.0, -113.0)],
)
def test_four_wave_mixing_of_three_channels(power_dbm, dispersion, expected_dbm):
    """25 km, channels 100 and 200 GHz from the third; cubic in power, and less with more dispersion."""
    power_w = watts(power_dbm)
    channels = [(193.1, power_w), (193.2, power_w), (193.0, power_w)]
    found = four_wave_mixing.mixed_w(*channels, 25.0, 0.2, dispersion)
    assert dbm(found) == pytest.approx(expected_dbm, abs=1.5)


def test_phase_matching_is_what_integration_along_the_fibre_gives():
    loss, length_km, dispersion = 0.2, 25.0, 3.0
    first, second, third = (193.1, 1e-3), (193.25, 2e-3), (193.0, 1.5e-3)
    decay = loss * math.log(10) / 10
    wavelength_m = 299_792_458.0 / ((193.1 + 193.25 - 193.0) * 1e12)
    mismatch = 2 * math.pi * wavelength_m**2 / 299_792_458.0 * 0.1e12 * 0.25e12 * dispersion * 1e-6 * 1e3
    z = np.linspace(0, length_km, 200_001)
    field = np.trapezoid(np.exp((-decay + 1j * mismatch) * z), z)
    product = 4 * four_wave_mixing.GAMMA_PER_W_KM**2 * 1e-3 * 2e-3 * 1.5e-3
    expected = product * abs(field) ** 2 * math.exp(-decay * length_km)
    assert four_wave_mixing.mixed_w(first, second, third, length_km, loss, dispersion) == pytest.approx(
        expected, rel=1e-6
    )
    assert four_wave_mixing.efficiency(0.0, 0.1, 193.0, 25.0, 0.2, 17.0) == 1.0
    lossless = four_wave_mixing.efficiency(0.1, 0.25, 193.35, 25.0, 0.0, 3.0)
    assert lossless == pytest.approx(
        four_wave_mixing.efficiency(0.1, 0.25, 193.35, 25.0, 1e-7, 3.0), rel=1e-4
    )


def test_which_channels_mix_into_the_quantum_channel():
    comb = [(193.0 + 0.1 * n, 1e-3) for n in range(4)]
    found = [
        tuple(round(channel[0], 1) for channel in triple)
        for triple in four_wave_mixing.triples(comb, 193.4, 0.02)
    ]
    assert sorted(found) == [
        (193.1, 193.3, 193.0),
        (193.2, 193.2, 193.0),
        (193.2, 193.3, 193.1),
        (193.3, 193.3, 193.2),
    ]
    assert list(four_wave_mixing.triples(comb[:2], 193.4, 0.02)) == []


def test_a_channel_against_the_signal_gives_more_raman_light_and_hardly_any_leakage():
    stray = {}
    for direction in ("co", "counter"):
        changed = scenario(channel={"length_km": 60.0}, classical={"direction": direction})
        link = Link(changed).classical(6.0)
        link.world.advance_to(0.01)
        (_, truth), *_ = link.truths(0.005, 0.009)
        assert truth.raman_hz == pytest.approx(integrated_raman_hz(changed, truth, 193.4), rel=1e-5)
        stray[direction] = truth
    decay = 0.2 * math.log(10) / 10
    ratio = math.sinh(decay * 60) / (decay * 60)
    side = stray["counter"].classical_w / stray["co"].classical_w
    assert stray["counter"].raman_hz / stray["co"].raman_hz == pytest.approx(ratio * side, rel=1e-6)
    assert stray["counter"].leak_hz < stray["counter"].raman_hz * 0.02


def test_channels_of_others_add_raman_light_and_mix_into_the_signal():
    alone = scenario(channel={"dispersion_ps_per_nm_km": 1.0})
    comb = [{"frequency_thz": 194.0 + 0.1 * n, "power_dbm": -3.0} for n in range(4)]
    crowded = scenario(channel={"dispersion_ps_per_nm_km": 1.0}, classical={"others": comb})
    truths = []
    for changed in (alone, crowded):
        link = Link(changed)
        link.world.advance_to(0.01)
        (_, truth), *_ = link.truths(0.005, 0.009)
        truths.append(truth)
    assert truths[0].raman_hz == truths[0].leak_hz == 0.0
    assert truths[1].raman_hz == pytest.approx(integrated_raman_hz(crowded, truths[1], 193.4), rel=1e-5)
    triples = list(four_wave_mixing.triples([(c["frequency_thz"], watts(-3.0)) for c in comb], 194.4, 0.02))
    mixed_w = sum(four_wave_mixing.mixed_w(*triple, 20.0, 0.2, 1.0) for triple in triples)
    after = 10 ** (-(0.5 + 0.8 + 1.8 + 0.2 + 1.6) / 10)
    assert truths[1].leak_hz == pytest.approx(mixed_w * after / photon_energy_j(194.4), rel=1e-9)
    assert truths[1].leak_hz > truths[1].raman_hz
