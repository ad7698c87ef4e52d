"""The sender side of a link: its ports, the light they make, and when that light arrives at the receiver."""

from collections import deque
from collections.abc import Callable

import numpy as np

from qhal_simulators.physics.channel.switch_paths import SwitchPaths
from qhal_simulators.physics.light_units import transmission
from qhal_simulators.physics.scenario_tables import Scenario
from qhal_simulators.physics.sender import light_drifts
from qhal_simulators.physics.sender.sender_light import Sender, SenderPorts, SenderState
from qhal_simulators.physics.slow_grid import SlowGrid


class SenderSide:
    """Lasers, attenuators, pattern generator and switch; a change acts at the receiver ``delay_s`` later.

    ``changed`` is called after each change of a port. ``arriving``: the light that arrives now, before slow drifts.
    """

    def __init__(
        self, scenario: Scenario, seed: int, grid: SlowGrid, delay_s: float, changed: Callable[[], None]
    ) -> None:
        self._scenario, self._grid, self._delay_s = scenario, grid, delay_s
        self.ports = SenderPorts(changed)
        self.switch_paths = SwitchPaths(scenario.channel, seed)
        self._light = Sender(scenario, self.ports, self.switch_paths)
        self._under_way: deque[tuple[float, SenderState]] = deque()
        self.arriving = self._light.state()

    @property
    def next_arrival_s(self) -> float:
        """When the light at the receiver changes next; infinite without a change under way."""
        return self._under_way[0][0] if self._under_way else np.inf

    def launch(self, at_s: float) -> None:
        """Send the light of the current settings."""
        self._under_way.append((at_s + self._delay_s, self._light.state()))

    def arrive(self) -> None:
        """Replace the arriving light by the next that is under way."""
        self.arriving = self._under_way.popleft()[1]

    def drift(self) -> None:
        """Let the modulators' bias drift to the current cell of the grid."""
        if self._light.drift_to(self._grid.middle_s):
            self.launch(self._grid.start_s)

    def drifted(self) -> SenderState:
        """Return the arriving light with laser and connector as they are in the current cell of the grid."""
        return light_drifts.changed(self._scenario, self.arriving, self._grid.middle_s)

    def power_at_switch_w(self) -> float:
        """Return the mean optical power that enters the switch now."""
        gain_db = light_drifts.laser_gain_db(self._scenario.transmitter, self._grid.middle_s)
        return self._light.power_at_switch_w() * transmission(-gain_db)

    def power_dbm(self, port: int) -> float | None:
        """Return the optical power at a port of the switch; None where no light can be."""
        return self.switch_paths.power_dbm(self.ports.switch.settings, port, self.power_at_switch_w())
