"""The fibre between sender and receiver: its delay, and the polarization that it turns."""

import numpy as np

from qhal_simulators.physics.channel import poincare_rotations
from qhal_simulators.physics.light_units import SPEED_OF_LIGHT_M_PER_S
from qhal_simulators.physics.scenario_tables import ChannelTable
from qhal_simulators.physics.slow_grid import SlowGrid

_FIBRE, _WALK = 13, 14


class Fibre:
    """A fibre whose delay follows its temperature and whose birefringence walks at random.

    ``delay_s``: mean delay. ``rotation``: of the sender's Stokes vectors up to the polarization controller.
    """

    def __init__(self, channel: ChannelTable, seed: int, grid: SlowGrid) -> None:
        self._channel, self._seed, self._grid = channel, seed, grid
        self.delay_s = channel.length_km * 1e3 * channel.group_index / SPEED_OF_LIGHT_M_PER_S
        self.rotation = poincare_rotations.random_rotation(np.random.default_rng((seed, _FIBRE)))

    def extra_delay_s(self) -> float:
        """Return the delay beyond its mean, by the temperature in the current cell of the grid."""
        channel = self._channel
        per_k = channel.delay_ps_per_km_k * channel.length_km * 1e-12
        periods = self._grid.middle_s / channel.temperature_period_s
        return per_k * channel.temperature_swing_k * float(np.sin(2 * np.pi * periods))

    def walk(self) -> None:
        """Turn the polarization by one step, drawn for the current cell of the grid."""
        generator = np.random.default_rng((self._seed, _WALK, self._grid.cell))
        correlation_s = self._channel.polarization_correlation_time_s
        step = poincare_rotations.walk_step(generator, self._grid.step_s, correlation_s)
        self.rotation = step @ self.rotation
