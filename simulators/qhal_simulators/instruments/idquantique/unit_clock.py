"""The clock of a Time Controller: it times the tags and everything that the unit starts itself."""

from qhal_simulators.physics.ports import Port, TaggerSettings
from qhal_simulators.physics.readings import TaggerReadings
from qhal_simulators.simulated_time import SimulationClock


class UnitClock:
    """The unit's picoseconds over world time."""

    def __init__(self, world: SimulationClock, port: Port[TaggerSettings], readings: TaggerReadings) -> None:
        self.world = world
        self._port, self._readings = port, readings

    def now_ps(self) -> int:
        """Return the reading of the clock."""
        return self._readings.clock_ps(self.world.now_s())

    def next_tick_ps(self) -> int:
        """Return the next tick: what the unit starts itself begins with a period of the interpolator."""
        tick_ps = self._port.settings.resolution_ps * self._readings.interpolator_bins
        return -(-self.now_ps() // tick_ps) * tick_ps

    def world_s(self, time_ps: int) -> float:
        """Return the world time of a reading."""
        world_s = self.world.now_s()
        for _ in range(4):  # the unit's clock runs almost like world time
            world_s += (time_ps - self._readings.clock_ps(world_s)) * 1e-12
        return world_s
