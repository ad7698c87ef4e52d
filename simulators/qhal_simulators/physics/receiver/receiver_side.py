"""The receiver side of a link: polarization controller, passive receiver and detectors, and what they make of light."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qhal_simulators.physics.channel import poincare_rotations
from qhal_simulators.physics.channel.poincare_rotations import Rotation
from qhal_simulators.physics.ports import DetectorSettings, PaddleSettings, Port
from qhal_simulators.physics.receiver.detector_bank import DetectorBank
from qhal_simulators.physics.receiver.passive_receiver import PassiveReceiver
from qhal_simulators.physics.scenario_tables import Scenario
from qhal_simulators.physics.sender.sender_light import SenderState


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class ReceivedLight:
    """Light at the detectors, as the rates of photo-events.

    ``rotation``: of the sender's Stokes vectors up to the passive receiver. ``events_per_light_s``: detected events per
    second of full light for the best detector; ``weights`` (4): efficiency times fraction of the light, relative to it;
    ``analysers`` (2, 4): of the two bases, seen from the sender. ``background_hz`` (4): dark counts and stray light.
    """

    light: SenderState
    rotation: Rotation
    efficiency: NDArray[np.float64]
    dark_count_rate_hz: NDArray[np.float64]
    events_per_light_s: float
    weights: NDArray[np.float64]
    analysers: NDArray[np.float64]
    background_hz: NDArray[np.float64]


class ReceiverSide:
    """Paddles and detectors with their ports; a change acts at once. ``changed`` is called after each."""

    def __init__(self, scenario: Scenario, changed: Callable[[], None]) -> None:
        self._table, self._changed = scenario.detectors, changed
        self.paddles = Port(PaddleSettings(), changed)
        self.detectors = Port(DetectorSettings(), self._bias_changed)
        self.optics = PassiveReceiver(scenario.receiver)
        self.bank = DetectorBank(scenario.detectors, self.detectors, scenario.receiver.quantum_frequency_thz)
        self.retardances_rad = tuple(
            loops * np.pi for loops in poincare_rotations.PADDLE_LOOPS[scenario.receiver.controller_loops]
        )

    def receive(self, light: SenderState, fibre: Rotation, at_s: float) -> ReceivedLight:
        """Return what arrives at the detectors through a fibre's rotation; too bright light blinds and latches them."""
        rotation = self._controller() @ fibre
        stray_hz = light.raman_hz + light.leak_hz
        photon_rate = light.detected_per_light_s * light.pattern.mean_transmission
        blinded = (photon_rate + stray_hz) / 4 > self._table.blinding_rate_hz
        if blinded and self.detectors.settings.enabled and self._table.latches:
            self.bank.latch()
        efficiency = self.bank.efficiency(light.frequency_thz)
        dark_hz = self.bank.dark_count_rate_hz(at_s)
        if blinded:
            efficiency, dark_hz = np.zeros(4), np.zeros(4)
        weights = self.optics.split * efficiency
        best = float(weights.max())
        return ReceivedLight(
            light=light,
            rotation=rotation,
            efficiency=efficiency,
            dark_count_rate_hz=dark_hz,
            events_per_light_s=light.detected_per_light_s * best,
            weights=weights / best if best > 0 else np.zeros(4),
            analysers=self.optics.analysers(rotation),
            background_hz=dark_hz + stray_hz / 4 * self.optics.unpolarized() * efficiency,
        )

    def best_rotation(self, rotation: Rotation) -> Rotation:
        """Return a rotation up to the passive receiver as it would be at the controller's best angles."""
        fibre = self._controller().T @ rotation
        angles = poincare_rotations.best_angles_rad(
            fibre, self.retardances_rad, directions=self.optics.directions
        )
        return poincare_rotations.paddles(angles, self.retardances_rad) @ fibre

    def _controller(self) -> Rotation:
        return poincare_rotations.paddles(self.paddles.settings.angles_rad, self.retardances_rad)

    def _bias_changed(self) -> None:
        self.bank.bias_changed()
        self._changed()
