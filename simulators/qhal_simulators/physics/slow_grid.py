"""How often what changes slowly has to change: as seldom as no step can be seen."""

import math

from qhal_simulators.physics.scenario_tables import Scenario

_GRIDS_S = (0.1, 0.05, 0.02, 0.01)
TURN_RAD = 0.01
"""Turn of the polarization on the Poincare sphere in a step (rms); it moves an error rate by 2.5e-5."""
CLOCK_S = 5e-12
"""Error of a clock within a step, by its noise and its ageing."""
DELAY_S = 1e-12
"""Change of the fibre's delay in a step."""
LIGHT_DB = 0.01
"""Change of the light in a step."""
BIAS_V = 1e-3
"""Drift of a modulator's bias in a step."""


def needed_grid_s(scenario: Scenario) -> float:
    """Return the longest step (0.1 to 0.01 s) whose changes stay within the tolerances above.

    It follows from the scenario alone, so that observation does not change what is drawn.
    """
    return next((grid_s for grid_s in _GRIDS_S if _is_fine(scenario, grid_s)), _GRIDS_S[-1])


def _is_fine(scenario: Scenario, grid_s: float) -> bool:
    channel, transmitter, world = scenario.channel, scenario.transmitter, scenario.world
    swing_s = channel.delay_ps_per_km_k * channel.length_km * channel.temperature_swing_k * 1e-12
    delay_rate = swing_s * 2 * math.pi / channel.temperature_period_s
    light_db_per_s = (
        math.pi * channel.connector_flutter_db / channel.connector_flutter_period_s
        + abs(transmitter.laser_drift_db_per_hour) / 3600
    )
    bias_v_per_s = (
        max(abs(part.v0_drift_v_per_hour) for part in (transmitter.carver, transmitter.decoy)) / 3600
    )
    return (
        math.sqrt(3 * grid_s / channel.polarization_correlation_time_s) <= TURN_RAD
        and world.clock_allan_1s * math.sqrt(grid_s) <= CLOCK_S
        and world.clock_drift_range_per_s * grid_s**2 / 8 <= CLOCK_S
        and delay_rate * grid_s <= DELAY_S
        and light_db_per_s * grid_s <= LIGHT_DB
        and bias_v_per_s * grid_s <= BIAS_V
    )


class SlowGrid:
    """Cells of equal length of world time; within one what changes slowly stays as it is in its middle."""

    def __init__(self, step_s: float) -> None:
        self.step_s = step_s
        self.cell = 0

    @property
    def start_s(self) -> float:
        """World time at which the current cell begins."""
        return self.cell * self.step_s

    @property
    def middle_s(self) -> float:
        """World time in the middle of the current cell."""
        return (self.cell + 0.5) * self.step_s

    @property
    def stop_s(self) -> float:
        """World time at which the next cell begins."""
        return (self.cell + 1) * self.step_s
