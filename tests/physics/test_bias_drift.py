"""An intensity modulator whose bias drifts."""

import numpy as np
import pytest

from tests.physics.bench import Link, scenario

VOLTS = 0.4


def link(drift_v_per_hour):
    carver = scenario().transmitter.carver.model_dump() | {"v0_drift_v_per_hour": drift_v_per_hour}
    made = Link(scenario(transmitter={"carver": carver}))
    made.world.part("awg").port.update(running=True, volts={4: np.full(960, VOLTS, np.float32)})
    made.world.part("quantum-laser").port.update(enabled=True, power_dbm=10.0, frequency_thz=194.4)
    return made


@pytest.mark.parametrize("drift_v_per_hour", [0.0, 36.0, -72.0])
def test_light_follows_the_bias(drift_v_per_hour):
    """2 V times the drift in 20 s is 0.2 V and -0.4 V: from the middle of the curve, plainly brighter or darker."""
    made = link(drift_v_per_hour)
    made.readings.recording = False  # the light alone
    carver, found = made.scenario.transmitter.carver, []
    for t_s in (1.0, 20.0):
        made.world.advance_to(t_s)
        v0 = carver.v0_v + drift_v_per_hour * t_s / 3600
        angle = np.pi * (carver.amplifier_gain * VOLTS - v0) / (2 * carver.vpi_v)
        floor = 10 ** (-carver.extinction_db / 10)
        truth = made.world.present().pattern.mean_transmission
        assert truth == pytest.approx(floor + (1 - floor) * np.cos(angle) ** 2, rel=1e-3)
        found.append(truth)
    assert (found[1] == found[0]) == (drift_v_per_hour == 0)


def test_how_time_is_cut_changes_no_tag():
    whole, cut = (link(100.0) for _ in range(2))
    whole.world.advance_to(0.5)
    for t_s in np.arange(0.013, 0.5, 0.013):
        cut.world.advance_to(float(t_s))
    cut.world.advance_to(0.5)
    (times, inputs), (other_times, other_inputs) = (each.readings.take_tags() for each in (whole, cut))
    assert len(times) > 1000
    assert np.array_equal(times, other_times)
    assert np.array_equal(inputs, other_inputs)
