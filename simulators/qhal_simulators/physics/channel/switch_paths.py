"""The paths of an optical switch: what each loses, and what finds its way where nothing is connected."""

import numpy as np

from qhal_simulators.physics.light_units import dbm, transmission
from qhal_simulators.physics.ports import SwitchSettings
from qhal_simulators.physics.scenario_tables import ChannelTable

_PATHS, _LANDINGS = 31, 32


class SwitchPaths:
    """Losses of a switch by (ingress, egress). Its unlike paths depend on seed and ports alone."""

    def __init__(self, channel: ChannelTable, seed: int) -> None:
        self._channel = channel
        self._seed = seed

    def loss_db(self, ingress: int, egress: int) -> float:
        """Return the loss of a path that is connected."""
        channel = self._channel
        if (ingress, egress) == (channel.switch_ingress, channel.switch_egress):
            return channel.switch_loss_db
        return channel.switch_loss_db + channel.switch_loss_spread_db * self._draw(ingress, egress, 0)

    def crosstalk_db(self, ingress: int, egress: int) -> float:
        """Return what a path loses beyond that while it is not connected, or moves."""
        spread_db = self._channel.switch_crosstalk_spread_db
        return self._channel.switch_crosstalk_db + spread_db * self._draw(ingress, egress, 1)

    def through_db(self, switch: SwitchSettings, ingress: int, egress: int) -> float:
        """Return the loss from ingress to egress with the switch as it is."""
        loss_db = self.loss_db(ingress, egress)
        if switch.pairs.get(ingress) == egress and ingress not in switch.moving:
            return loss_db + self._landing_db(ingress, egress, switch.moves.get(ingress, 0))
        return loss_db + self.crosstalk_db(ingress, egress)

    def power_dbm(self, switch: SwitchSettings, port: int, entering_w: float) -> float | None:
        """Return the power that enters at an ingress or leaves at an egress; None where no light can be.

        ``entering_w`` is the only light there is: that at the quantum signal's ingress.
        """
        ingress, (ingresses, egresses) = self._channel.switch_ingress, switch.size
        if port == ingress:
            return dbm(entering_w)
        if not ingresses < port <= ingresses + egresses:
            return None
        return dbm(entering_w * transmission(self.through_db(switch, ingress, port)))

    def _landing_db(self, ingress: int, egress: int, moves: int) -> float:
        """Return what a path loses more, or less, than on average after it was steered this time."""
        channel, key = self._channel, (self._seed, _LANDINGS, ingress, egress, moves)
        if channel.switch_repeatability_db == 0:
            return channel.switch_creep_db * moves
        lands = float(np.random.default_rng(key).standard_normal())
        return channel.switch_repeatability_db * lands + channel.switch_creep_db * moves

    def _draw(self, ingress: int, egress: int, which: int) -> float:
        """Return a number from -1 to 1."""
        return float(np.random.default_rng((self._seed, _PATHS, ingress, egress)).uniform(-1, 1, 2)[which])
