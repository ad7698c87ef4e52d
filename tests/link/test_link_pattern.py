import math

import numpy as np
import pytest

from qhal.errors import OutOfRange
from qhal.link.modulation import (
    GeneratorLimits,
    IntensityModulator,
    PhaseModulator,
    TransmitterCalibration,
    achieved_mean_photon_numbers,
    waveforms,
)
from qhal.link.pattern import Intensity, SymbolPattern, bb84_pattern

IM = IntensityModulator(v0_v=-1.9, vpi_v=3.8, extinction_db=30.0)
CALIBRATION = TransmitterCalibration(
    decoy=IM,
    carver=IntensityModulator(v0_v=2.0, vpi_v=-4.0, extinction_db=28.0),
    polarization=PhaseModulator(v0_v=0.1, vpi_v=5.0, amplifier_gain=4.0),
    randomiser=PhaseModulator(v0_v=0.0, vpi_v=6.0, amplifier_gain=4.0),
)


@pytest.mark.parametrize("fractions", [(0.5, 0.25, 0.25), (0.75, 0.125, 0.125)])
def test_shares_are_exact_and_states_equally_often_in_each(fractions):
    pattern = bb84_pattern(3, fractions=fractions)
    assert pattern.intensity_counts == tuple(round(f * 65536) for f in fractions)
    for k in range(3):
        states = np.bincount(pattern.states[pattern.intensity == k], minlength=4)
        assert len(set(states)) == 1
    assert pattern.intensity[0] == Intensity.VACUUM
    assert pattern.duration_ps == 655_360_000


def test_patterns_differ_by_seed_only():
    same = [bb84_pattern(1, 4096), bb84_pattern(1, 4096), bb84_pattern(2, 4096)]
    assert np.array_equal(same[0].states, same[1].states)
    assert not np.array_equal(same[0].states, same[2].states)
    with pytest.raises(ValueError, match="read-only"):
        same[0].bit[0] = 1


@pytest.mark.parametrize("fractions", [(0.5, 0.3, 0.2), (1.0, 0.0, 0.0), (0.5, 0.25, 0.125)])
def test_shares_that_do_not_come_out_even_are_refused(fractions):
    with pytest.raises(OutOfRange, match="multiples"):
        bb84_pattern(1, 4096, fractions)


def test_impossible_patterns_are_refused():
    zeros = np.zeros(4, np.uint8)
    with pytest.raises(OutOfRange, match="bit"):
        SymbolPattern(zeros, zeros, zeros + 2, 1e4, (0.5, 0.1, 0.0))
    with pytest.raises(OutOfRange, match="basis"):
        SymbolPattern(zeros, zeros[:3], zeros, 1e4, (0.5, 0.1, 0.0))
    with pytest.raises(OutOfRange, match="descending"):
        SymbolPattern(zeros, zeros, zeros, 1e4, (0.1, 0.5, 0.0))
    with pytest.raises(OutOfRange, match="same intensity"):
        _ = SymbolPattern(zeros, zeros, zeros, 1e4, (0.5, 0.1, 0.0)).template


def light(volts, modulator):
    """The intensity modulator's law, written out once more."""
    floor = 10 ** (-modulator.extinction_db / 10)
    angle = math.pi * (volts * modulator.amplifier_gain - modulator.v0_v) / (2 * modulator.vpi_v)
    return floor + (1 - floor) * np.cos(angle) ** 2


def test_waveforms_make_the_pattern():
    pattern = bb84_pattern(5, 4096)
    volts = waveforms(pattern, CALIBRATION, randomiser_seed=4)
    assert {len(x) for x in volts.values()} == {4096 * 12}
    shape = {channel: x.reshape(4096, 12) for channel, x in volts.items()}
    for channel in (1, 2, 3):
        assert (np.ptp(shape[channel], axis=1) == 0).all()  # flat over the symbol
    wanted = np.array([0.5, 0.1, 5e-4])[pattern.intensity]
    assert 0.5 * light(shape[1][:, 0], IM) == pytest.approx(wanted, rel=1e-9)
    phase = math.pi * (shape[2][:, 0] * 4.0 - 0.1) / 5.0
    stokes = np.stack([np.cos(phase), np.sin(phase)])
    basis, sign = pattern.basis, 1.0 - 2.0 * pattern.bit
    assert stokes == pytest.approx(
        np.stack([np.where(basis == 0, sign, 0), np.where(basis == 1, sign, 0)]), abs=1e-9
    )
    opened = light(shape[4][0], CALIBRATION.carver)
    assert opened[6:8] == pytest.approx([1, 1])
    assert np.delete(opened, [6, 7]) == pytest.approx(10**-2.8)
    assert np.ptp(shape[4], axis=0).max() == 0
    turns = math.pi * shape[3][:, 0] * 4.0 / 6.0
    assert abs(np.exp(1j * turns).mean()) < 0.06  # 4096 phases: 0.016 expected


def test_resolution_matters_less_than_statistics():
    pattern = bb84_pattern(5, 4096)
    signal, decoy, vacuum = achieved_mean_photon_numbers(pattern, IM)
    assert (signal, vacuum) == pytest.approx((0.5, 5e-4), rel=1e-3)
    assert decoy == pytest.approx(0.1, rel=5e-4)
    coarse = achieved_mean_photon_numbers(pattern, IM, GeneratorLimits(resolution_bits=6))
    assert abs(coarse[1] - 0.1) > 1e-4


def test_what_the_generator_cannot_play_is_refused():
    pattern = bb84_pattern(5, 4096)
    weak = TransmitterCalibration(
        CALIBRATION.decoy, CALIBRATION.carver, PhaseModulator(0, 5.0), CALIBRATION.randomiser
    )
    with pytest.raises(OutOfRange, match=r"CH2.*2\.25 V"):
        waveforms(pattern, weak)
    with pytest.raises(OutOfRange, match="16200000"):
        waveforms(bb84_pattern(5, 1024), CALIBRATION, samples_per_symbol=16_000)
    with pytest.raises(OutOfRange, match="960"):
        waveforms(bb84_pattern(5, 64), CALIBRATION)
    with pytest.raises(OutOfRange, match="of a symbol"):
        waveforms(pattern, CALIBRATION, carve_samples=13)
    poor = IntensityModulator(0.0, 4.0, extinction_db=6.0)
    with pytest.raises(OutOfRange, match=r"6\.0 dB"):
        poor.volts_for(0.2)
