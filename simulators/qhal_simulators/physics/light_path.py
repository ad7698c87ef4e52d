"""The quantum signal's light path, for checks; no driver and no analysis can read it."""

from dataclasses import dataclass

from qhal_simulators.physics.channel import signal_bandpass
from qhal_simulators.physics.light_units import dbm, transmission
from qhal_simulators.physics.scenario_tables import Scenario
from qhal_simulators.physics.sender.sender_light import SenderState
from qhal_simulators.physics.sender.sender_side import SenderSide


@dataclass(frozen=True, slots=True)
class LightPath:
    """The light path as it is now; photons at the receiver are those that arrive now, a fibre's delay old.

    ``switch_loss_db`` and ``switch_crosstalk_db`` (what a path loses further while it is not connected) are those from
    ``ingress`` to each of ``egresses``. ``attenuation_db``: true loss of both attenuators together.
    ``power_at_switch_dbm`` enters the switch; None without light. ``filter_transmission``: at the quantum laser's
    frequency, relative to the filter's centre. ``signal_hz`` and ``stray_hz``: photons per second at the detectors'
    face, all four together, of the pattern and of all else (Raman, leakage, room light).
    """

    ingress: int
    egresses: tuple[int, ...]
    switch_loss_db: tuple[float, ...]
    switch_crosstalk_db: tuple[float, ...]
    attenuation_db: float
    power_at_switch_dbm: float | None
    filter_transmission: float
    signal_hz: float
    stray_hz: float


def light_path(
    scenario: Scenario, sender: SenderSide, arriving: SenderState, ingress: int | None = None
) -> LightPath:
    """Collect a light path. Raises ValueError for an ingress that the switch does not have."""
    ports, paths, power_at_switch_w = sender.ports, sender.switch_paths, sender.power_at_switch_w()
    frequency_thz = ports.quantum_laser.settings.frequency_thz
    ingresses, count = ports.switch.settings.size
    start = scenario.channel.switch_ingress if ingress is None else ingress
    if not 1 <= start <= ingresses:
        raise ValueError(f"the switch has no ingress {start}; there are 1 to {ingresses}")
    egresses = tuple(range(ingresses + 1, ingresses + count + 1))
    return LightPath(
        ingress=start,
        egresses=egresses,
        switch_loss_db=tuple(paths.loss_db(start, egress) for egress in egresses),
        switch_crosstalk_db=tuple(paths.crosstalk_db(start, egress) for egress in egresses),
        attenuation_db=ports.attenuation_db,
        power_at_switch_dbm=dbm(power_at_switch_w) if power_at_switch_w > 0 else None,
        filter_transmission=transmission(signal_bandpass.loss_db(scenario.receiver, frequency_thz)),
        signal_hz=arriving.detected_per_light_s * arriving.pattern.mean_transmission,
        stray_hz=arriving.raman_hz + arriving.leak_hz,
    )
