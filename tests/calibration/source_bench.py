"""What the calibrations of a transmitter have in common: the bench's devices, and modulators at random."""

import numpy as np

DEVICES = {
    "source": "laser",
    "generator": "awg",
    "attenuator": "voa",
    "detectors": "detectors",
    "tagger": "tagger",
}
BIAS_UA = (25.1, 27.1, 29.4, 28.8)


def modulator(rng, channel):
    """An intensity modulator whose V0 and Vpi are anywhere."""
    vpi = rng.uniform(3.2, 4.4)
    return {
        "channel": channel,
        "v0_v": float(rng.uniform(-0.5, 0.5) * vpi),
        "vpi_v": float(vpi),
        "extinction_db": float(rng.uniform(22, 34)),
        "amplifier_gain": 2.0,
    }


def phase_modulator(rng, channel):
    """A phase modulator whose V0 and Vpi are anywhere."""
    vpi = rng.uniform(3.2, 4.4)
    return {
        "channel": channel,
        "v0_v": float(rng.uniform(-1, 1) * vpi),
        "vpi_v": float(vpi),
        "amplifier_gain": 2.0,
    }


def prepare(hidden):
    """Let the light through, and have something in the generator that can be put back."""
    hidden.node.optical_switch("switch").set_pattern({1: 17, 2: 25})
    hidden.node.attenuator("voa").home()
    hidden.node.source("laser").set_frequency_thz(194.4)
    hidden.node.pattern_generator("awg").play({4: np.linspace(0, 0.1, 960)}, 1.2e9)
