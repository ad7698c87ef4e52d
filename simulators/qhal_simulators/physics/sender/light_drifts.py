"""What changes the quantum light slowly: a laser that drifts, a connector that is bad."""

import math
from dataclasses import replace

from qhal_simulators.physics.light_units import transmission
from qhal_simulators.physics.scenario_tables import ChannelTable, Scenario, TransmitterTable
from qhal_simulators.physics.sender.sender_light import SenderState


def laser_gain_db(transmitter: TransmitterTable, t_s: float) -> float:
    """Return by how much the quantum laser is brighter than at world time 0."""
    return transmitter.laser_drift_db_per_hour * t_s / 3600


def connector_loss_db(channel: ChannelTable, t_s: float) -> float:
    """Return the bad connector's further loss: none at world time 0, the most half a period later."""
    turns = t_s / channel.connector_flutter_period_s
    return channel.connector_flutter_db * (1 - math.cos(2 * math.pi * turns)) / 2


def changed(scenario: Scenario, state: SenderState, t_s: float) -> SenderState:
    """Return a sender's state with laser and connector as they are at ``t_s``, the fibre's delay apart."""
    gain_db = laser_gain_db(scenario.transmitter, t_s)
    loss_db = connector_loss_db(scenario.channel, t_s)
    return replace(
        state,
        photons_per_light_s=state.photons_per_light_s * transmission(-gain_db),
        detected_per_light_s=state.detected_per_light_s * transmission(loss_db - gain_db),
    )
