"""Receivers that are far from even, and what they do to light: projectors and leaks, no formula of the calibration."""

import numpy as np

PAULI = np.array([[[1, 0], [0, -1]], [[0, 1], [1, 0]], [[0, -1j], [1j, 0]]])  # s1, s2, s3


def receiver(rng, *, tilt_deg=6.0):
    """A receiver table at random."""
    return {
        "basis_split": float(rng.uniform(0.4, 0.6)),
        "leaks": rng.uniform(0.01, 0.06, 4).tolist(),
        "analyser_tilt_deg": rng.uniform(-tilt_deg, tilt_deg, 2).tolist(),
    }


def efficiencies(rng):
    """Efficiencies of four detectors at random."""
    return rng.uniform(0.55, 0.9, 4).round(3).tolist()


def known_modulators(rng, vpi_uncertainty):
    """A transmitter that is as the plan takes it for, but for the scale of its phases and their zero."""
    known = {"v0_v": 0.0, "vpi_v": 4.0, "amplifier_gain": 2.0}
    return {
        "carver": {"channel": 4, "extinction_db": 30.0, **known},
        "decoy": {"channel": 1, "extinction_db": 30.0, **known},
        "polarization": {
            "channel": 2,
            "v0_v": float(rng.normal(0, 0.1)),
            "vpi_v": float(4 * rng.normal(1, vpi_uncertainty)),
            "amplifier_gain": 2.0,
        },
    }


def fractions(table, stokes):
    """What leaves by the outputs H, V, D, A of light with a Stokes vector."""
    light = (np.eye(2) + np.tensordot(stokes, PAULI, 1)) / 2
    split, found = (table.basis_split, 1 - table.basis_split), []
    for basis, tilt in enumerate(np.radians(table.analyser_tilt_deg)):
        half = (tilt + basis * np.pi / 2) / 2  # angles on the sphere are twice those of the field
        field = np.array([np.cos(half), np.sin(half)])
        through = float(np.real(field @ light @ field))
        first, second = table.leaks[2 * basis : 2 * basis + 2]
        output = through * (1 - first) + (1 - through) * second
        found += [split[basis] * output, split[basis] * (1 - output)]
    return np.array(found)


def seen(table, efficiency, state_angles_deg):
    """What detectors (columns) see of linear states (rows) at angles on the sphere, all entries adding up to 4."""
    angles = np.radians(state_angles_deg)
    states = np.stack((np.cos(angles), np.sin(angles), np.zeros(len(angles))), axis=1)
    found = np.array([fractions(table, state) for state in states]) * efficiency
    return 4 * found / found.sum()
