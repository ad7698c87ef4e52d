"""Vpi from counts made up here: any fibre, one that moves, and what is no polarization modulator."""

import numpy as np
import pytest

from qhal.calibration.framework.data import Data
from qhal.calibration.framework.points import tables_of
from qhal.calibration.optics.staircase import BINS
from qhal.calibration.transmitter.polarization_modulator import PolarizationModulatorPlan, evaluate
from qhal.errors import DeviceError
from qhal.link.link_errors import NotEnoughCounts

PLAN = PolarizationModulatorPlan(repetitions=3, dead_time_ns=0.0, dead_time_uncertainty_ns=0.0)
VPI_V = 1.9
S1, S2, S3 = np.eye(3)


def recorded(outputs, *, seed=1, mean_counts=4e4):
    """Return data; ``outputs`` says what leaves by each output of volts in a repetition."""
    rng, levels_v, rows = np.random.default_rng(seed), PLAN.staircase().levels_v, []
    for n in range(PLAN.repetitions):
        expected = mean_counts / BINS * np.array(outputs(levels_v, n))
        late = int(rng.integers(len(levels_v) * BINS))
        counts = rng.poisson(np.roll(np.repeat(expected, BINS, axis=1), late, axis=1))
        row = {"repetition": n + 1, "played_v": levels_v.tolist(), "counts": counts.tolist(), "bin_s": 0.01}
        rows.append(("staircase", row))
    return Data(tables_of(rows))


def receiver(axis, phase=0.0):
    """What an ideal receiver's outputs get of states on the great circle about an axis."""
    axis = np.array(axis) / np.linalg.norm(axis)
    first = np.cross(axis, S3 if abs(axis @ S3) < 0.9 else S1)
    first /= np.linalg.norm(first)

    def outputs(levels_v):
        angle = np.pi * levels_v / VPI_V - phase
        states = np.outer(first, np.cos(angle)) + np.outer(np.cross(axis, first), np.sin(angle))
        return np.concatenate([(1 + states[n], 1 - states[n]) for n in (0, 1)])

    return outputs


@pytest.mark.parametrize("axis", [S1, S2, S3, (1, 1, 0), (1, -2, 1)])
def test_finds_vpi_whatever_the_axis(axis):
    seen = receiver(axis, phase=0.7)
    found = evaluate(recorded(lambda levels_v, n: 0.02 + 0.98 * seen(levels_v)), PLAN)
    vpi = found.quantities[0]
    assert abs(vpi.value - VPI_V) < 4 * vpi.uncertainty < 0.01
    contrasts = [q.value for q in found.quantities[1:]]
    # One basis at least sees seven tenths of the most there can be.
    assert max(contrasts) > 0.97 * 0.5**0.5
    assert not found.fits[0].poor


def test_a_fibre_that_moves_between_recordings_does_no_harm():
    places = [receiver(axis, phase) for axis, phase in (((1, 0, 1), 0.0), ((0, 1, 1), 2.0), ((1, 1, 1), 4.0))]
    found = evaluate(recorded(lambda levels_v, n: 0.02 + 0.98 * places[n](levels_v)), PLAN)
    assert abs(found.quantities[0].value - VPI_V) < 4 * found.quantities[0].uncertainty
    assert not found.fits[0].poor


def test_a_loss_that_depends_on_the_voltage_is_a_poor_fit():
    seen = receiver((1, 1, 1))
    found = evaluate(
        recorded(lambda levels_v, n: (1 + 0.04 * levels_v) * (0.02 + 0.98 * seen(levels_v))), PLAN
    )
    assert found.fits[0].poor
    assert found.fits[0].scaled


def test_refuses_what_turns_no_polarization():
    def brighter(levels_v, n):
        return np.outer((1.0, 0.9, 0.8, 0.0), 1.02 + np.cos(np.pi * levels_v / VPI_V))

    with pytest.raises(DeviceError, match="output 2: no detector loses light where another gains it"):
        evaluate(recorded(brighter), PLAN)
    with pytest.raises(NotEnoughCounts, match="do not follow the staircase"):
        evaluate(recorded(lambda levels_v, n: np.ones((4, len(levels_v)))), PLAN)
    slow = receiver(S3, phase=1.0)
    with pytest.raises(DeviceError, match="there must be a half turn between low_v"):
        evaluate(recorded(lambda levels_v, n: slow(levels_v / 3)), PLAN)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"low_v": 1.0, "high_v": 0.0}, "high_v must be above"), ({"held_v": {2: 0.0}}, "the modulator's own")],
)
def test_refuses_plans_that_do_not_fit(wrong, message):
    with pytest.raises(ValueError, match=message):
        PolarizationModulatorPlan(**wrong)
