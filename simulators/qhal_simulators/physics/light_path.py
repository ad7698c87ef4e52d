"""What the quantum light meets on its way, for checks; no driver and no analysis can read it."""

from dataclasses import dataclass

from qhal_simulators.physics.channel import signal_bandpass
from qhal_simulators.physics.channel.switch_paths import SwitchPaths
from qhal_simulators.physics.light_units import dbm, transmission
from qhal_simulators.physics.scenario_tables import Scenario
from qhal_simulators.physics.sender.sender_light import SenderPorts, SenderState


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
    scenario: Scenario,
    ports: SenderPorts,
    paths: SwitchPaths,
    power_at_switch_w: float,
    arriving: SenderState,
    ingress: int | None = None,
) -> LightPath:
    """Collect a light path. Raises ValueError for an ingress that the switch does not have."""
    ingresses, count = ports.switch.size
    start = scenario.channel.switch_ingress if ingress is None else ingress
    if not 1 <= start <= ingresses:
        raise ValueError(f"the switch has no ingress {start}; there are 1 to {ingresses}")
    egresses = tuple(range(ingresses + 1, ingresses + count + 1))
    return LightPath(
        start,
        egresses,
        tuple(paths.loss_db(start, egress) for egress in egresses),
        tuple(paths.crosstalk_db(start, egress) for egress in egresses),
        ports.attenuation_db,
        dbm(power_at_switch_w) if power_at_switch_w > 0 else None,
        transmission(signal_bandpass.loss_db(scenario.receiver, ports.quantum_laser.frequency_thz)),
        arriving.detected_per_light_s * arriving.pattern.mean_transmission,
        arriving.raman_hz + arriving.leak_hz,
    )
