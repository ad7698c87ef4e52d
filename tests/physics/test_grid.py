"""The grid of slow changes is as coarse as no step can be seen, and follows from the scenario alone."""

import numpy as np
import pytest

from qhal_simulators.physics.scenario_tables import load_scenario, scenario_names
from qhal_simulators.physics.slow_grid import CLOCK_S, LIGHT_DB, TURN_RAD, needed_grid_s
from qhal_simulators.physics.world import World
from qhal_simulators.scenario_units import build
from qhal_simulators.simulated_time import SimulationClock
from tests.physics.bench import scenario


@pytest.mark.parametrize("name", scenario_names())
def test_shipped_scenarios_change_ten_times_a_second(name):
    assert {needed_grid_s(alone) for alone in load_scenario(name).by_link().values()} == {0.1}


@pytest.mark.parametrize(
    ("changes", "grid_s"),
    [
        ({}, 0.1),
        ({"channel": {"polarization_correlation_time_s": 1600.0}}, 0.05),
        ({"channel": {"polarization_correlation_time_s": 10.0}}, 0.01),
        ({"world": {"clock_allan_1s": 3e-11}}, 0.02),
        ({"channel": {"connector_flutter_db": 3.0, "connector_flutter_period_s": 20.0}}, 0.02),
        ({"channel": {"temperature_swing_k": 5.0, "temperature_period_s": 1000.0}}, 0.02),
        ({"transmitter": {"laser_drift_db_per_hour": -10.0}}, 0.1),
    ],
)
def test_the_grid_is_as_fine_as_the_scenario_needs(changes, grid_s):
    assert needed_grid_s(scenario(**changes)) == grid_s


def test_no_step_is_larger_than_stated():
    """Measured in a world: the fibre's turn from step to step, the clock's error within one, the light's change."""
    made = scenario(
        channel={
            "polarization_correlation_time_s": 1600.0,
            "connector_flutter_db": 1.0,
            "connector_flutter_period_s": 60.0,
        }
    )
    world, grid_s = World(made, 4), needed_grid_s(made)
    turns, light = [], []
    world.part("quantum-laser").port.update(enabled=True)
    world.part("voa").port.update(attenuation_db=10.0)
    world.part("switch").port.update(pairs={1: 17})
    for n in range(1, 300):
        before = world.fibre.rotation
        world.advance_to(grid_s * n + 1e-3)
        cosine = (np.trace(before.T @ world.fibre.rotation) - 1) / 2
        turns.append(np.arccos(np.clip(cosine, -1, 1)))
        light.append(world.present().detected_per_light_s)
    assert 0.3 * TURN_RAD < np.sqrt(np.mean(np.square(turns[5:]))) < 1.1 * TURN_RAD
    assert np.abs(np.diff(10 * np.log10(light[5:]))).max() < LIGHT_DB
    reading = np.array([world.readout.clock_ps(grid_s * n) for n in range(200)]) * 1e-12
    assert np.diff(reading, 2).std() < 3 * CLOCK_S


def test_links_of_one_scenario_share_the_finest_grid():
    spans = load_scenario("wuhan-hefei-span").model_dump(mode="json")
    spans["links"]["hefei"]["channel"]["polarization_correlation_time_s"] = 100.0
    made = type(load_scenario("wuhan-hefei-span")).model_validate(spans)
    clock = SimulationClock(stepped=True)
    build(made, {}, clock, None)
    assert {world.grid.step_s for world in clock.world._links.values()} == {0.01}
