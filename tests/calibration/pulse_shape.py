"""The pulse of light that a simulated transmitter makes, and what detectors make of it: the truth about profiles."""

from functools import cache

import numpy as np

from qhal.link.modulation import waveforms
from qhal_simulators.physics.sender.light_pattern import IntensityModulator, PhaseModulator, light_pattern
from tests.calibration.transmitter import transmitter

STEP_PS = 10.0
FWHM_PER_SIGMA = 2 * np.sqrt(2 * np.log(2))


def light(plan, bandwidth_hz):
    """Return the energy of one pulse's period in steps of STEP_PS, its pulse in the middle."""
    table = transmitter()
    volts = waveforms(plan.pattern(), plan.transmitter(), plan.samples_per_pulse, plan.carve_samples)
    pattern = light_pattern(
        {channel: waveform.astype(np.float32) for channel, waveform in volts.items()},
        plan.sample_rate_hz,
        6,
        tuple(IntensityModulator(**table[name]) for name in ("carver", "decoy")),
        PhaseModulator(**table["polarization"]),
        bandwidth_hz,
    )
    slots = plan.samples_per_pulse // 6
    steps = round(pattern.slot_s * 1e12 / STEP_PS)
    edges = np.linspace(0, 1, steps + 1)
    energy = []
    for slot in range(slots):
        inverse = pattern.shapes[pattern.shape_class[slot]].astype(np.float64)
        cumulative = np.interp(edges, inverse, np.linspace(0, 1, len(inverse)))
        energy.append(pattern.energy_s[slot] * np.diff(cumulative))
    density = np.concatenate(energy)
    return np.roll(density, len(density) // 2 - int(np.argmax(density)))


def detected(density, jitter_fwhm_ps, resolution_ps):
    """Return it as clicks come: smeared by jitter (Gaussian) and the tagger's steps."""
    frequency = np.fft.rfftfreq(len(density), STEP_PS)
    smear = np.exp(-2 * (np.pi * frequency * jitter_fwhm_ps / FWHM_PER_SIGMA) ** 2)
    return np.fft.irfft(np.fft.rfft(density) * smear * np.sinc(frequency * resolution_ps), len(density))


def rms_ps(density):
    """Return the standard deviation of the pulse's times; what is between the pulses is not the pulse's."""
    t = (np.arange(len(density)) + 0.5) * STEP_PS
    pulse = density - np.median(density)
    mean = (pulse * t).sum() / pulse.sum()
    return float(np.sqrt((pulse * (t - mean) ** 2).sum() / pulse.sum()))


def full_width_ps(density, fraction):
    """Return the width at a fraction of the height above what is between the pulses."""
    pulse = density - np.median(density)
    t = (np.arange(len(density)) + 0.5) * STEP_PS
    level, peak = fraction * pulse.max(), int(np.argmax(pulse))
    right = peak + int(np.argmax(pulse[peak:] < level))
    left = peak - int(np.argmax(pulse[peak::-1] < level))
    after = np.interp(-level, -pulse[right - 1 : right + 1], t[right - 1 : right + 1])
    before = np.interp(level, pulse[left : left + 2], t[left : left + 2])
    return float(after - before)


@cache
def bandwidth_for(plan, wanted_rms_ps):
    """Return the bandwidth at which the pulse is so wide."""
    bandwidths = np.geomspace(2e8, 3e9, 60)
    widths = np.array([rms_ps(light(plan, bandwidth)) for bandwidth in bandwidths])
    assert (np.diff(widths) < 0).all()
    return float(np.exp(np.interp(-wanted_rms_ps, -widths, np.log(bandwidths))))
