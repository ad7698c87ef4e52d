"""The sender and the fibre, as seen from the receiver: how much light of which kind arrives."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from qhal_simulators.physics.channel import four_wave_mixing, raman, signal_bandpass
from qhal_simulators.physics.channel.switch_paths import SwitchPaths
from qhal_simulators.physics.light_units import photon_energy_j, transmission, watts, wavelength_nm
from qhal_simulators.physics.ports import (
    AttenuatorSettings,
    LaserSettings,
    Port,
    SwitchSettings,
    WaveformSettings,
)
from qhal_simulators.physics.scenario_tables import IntensityModulatorTable, PhaseModulatorTable, Scenario
from qhal_simulators.physics.sender.light_pattern import (
    IntensityModulator,
    LightPattern,
    PhaseModulator,
    light_pattern,
)

_DRIFT_STEP_V = 2e-4
"""Steps in which a modulator's bias drifts, because light is computed again after each."""


class SenderPorts:
    """The ports before the fibre. A second attenuator that is not fitted has no loss."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self.quantum_laser = Port(LaserSettings(), changed)
        self.classical_laser = Port(LaserSettings(), changed)
        self.voa = Port(AttenuatorSettings(), changed)
        self.second_voa = Port(AttenuatorSettings(attenuation_db=0.0), changed)
        self.switch = Port(SwitchSettings(), changed)
        self.awg = Port(WaveformSettings(), changed)

    @property
    def attenuation_db(self) -> float:
        """Loss of both attenuators together, apart from light that bypasses them."""
        return self.voa.settings.attenuation_db + self.second_voa.settings.attenuation_db


@dataclass(frozen=True, eq=False, slots=True)
class SenderState:
    """Light of the sender in units of the receiver: see :class:`qhal_simulators.physics.truth_log.Truth`."""

    pattern: LightPattern
    started_s: float
    photons_per_light_s: float
    detected_per_light_s: float
    raman_hz: float
    leak_hz: float
    classical_w: float
    attenuation_db: float
    frequency_thz: float


class Sender:
    """Computes sender states from the ports; the light of a waveform is computed once."""

    def __init__(self, scenario: Scenario, ports: SenderPorts, paths: SwitchPaths) -> None:
        self._scenario = scenario
        self._ports = ports
        self._paths = paths
        transmitter = scenario.transmitter
        self._modulators = (_intensity(transmitter.carver), _intensity(transmitter.decoy))
        self._polarizer = _phase(transmitter.polarization)
        self._played: tuple[object, LightPattern] | None = None
        channel, receiver = scenario.channel, scenario.receiver
        self._before_fibre_db = channel.mux_loss_db + channel.connectors_before_db
        self._receiver_side_db = channel.demux_loss_db + channel.connectors_after_db
        self._fibre_db = channel.length_km * channel.loss_db_per_km
        self._after_fibre_db = (
            channel.connectors_after_db
            + channel.demux_loss_db
            + receiver.filter_loss_db
            + receiver.controller_loss_db
            + receiver.receiver_loss_db
        )

    def drift_to(self, t_s: float) -> bool:
        """Let the bias of the intensity modulators drift; return whether their light is another now."""
        transmitter = self._scenario.transmitter
        carver, decoy = self._modulators
        drifted = (
            replace(carver, v0_v=_v0_v(transmitter.carver, t_s)),
            replace(decoy, v0_v=_v0_v(transmitter.decoy, t_s)),
        )
        if drifted == self._modulators:
            return False
        self._modulators, self._played = drifted, None
        return True

    def state(self) -> SenderState:
        """Return what arrives with the settings as they are."""
        ports, channel = self._ports, self._scenario.channel
        quantum = ports.quantum_laser.settings
        rate_hz = (
            watts(quantum.power_dbm) / photon_energy_j(quantum.frequency_thz) if quantum.enabled else 0.0
        )
        photons = rate_hz * self._transmitter()
        switch_db = self._paths.through_db(
            ports.switch.settings, channel.switch_ingress, channel.switch_egress
        )
        line_db = switch_db + self._before_fibre_db + self._fibre_db + self._after_fibre_db
        line_db += signal_bandpass.loss_db(self._scenario.receiver, quantum.frequency_thz)
        launched_w, raman_hz, leak_hz = self._classical(ports.classical_laser.settings)
        return SenderState(
            pattern=self._light(ports.awg.settings),
            started_s=ports.awg.settings.started_s,
            photons_per_light_s=photons,
            detected_per_light_s=photons * transmission(line_db),
            raman_hz=raman_hz,
            leak_hz=leak_hz + channel.ambient_hz,
            classical_w=launched_w,
            attenuation_db=ports.attenuation_db,
            frequency_thz=quantum.frequency_thz,
        )

    def power_at_switch_w(self) -> float:
        """Return the mean optical power at the switch's input, with the laser as it was at world time 0."""
        laser = self._ports.quantum_laser.settings
        if not laser.enabled:
            return 0.0
        return (
            watts(laser.power_dbm)
            * self._transmitter()
            * self._light(self._ports.awg.settings).mean_transmission
        )

    def _transmitter(self) -> float:
        """Return the transmission from the laser to the switch at full light."""
        table = self._scenario.transmitter
        fixed_db = table.modulator_loss_db + table.pad_db
        through = transmission(fixed_db + self._ports.attenuation_db)
        return through if table.bypass_db is None else through + transmission(fixed_db + table.bypass_db)

    def _classical(self, laser: LaserSettings) -> tuple[float, float, float]:
        """Return launched power, and Raman and other stray photons per second at the detectors together."""
        table, receiver = self._scenario.classical, self._scenario.receiver
        after = transmission(self._after_fibre_db)
        energy_j = photon_energy_j(receiver.quantum_frequency_thz)
        launched_w, leak_hz = 0.0, 0.0
        channels = [(other.frequency_thz, watts(other.power_dbm)) for other in table.others]
        if laser.enabled:
            counter = table.direction == "counter"
            launched_w = watts(
                laser.power_dbm
                - table.pad_db
                - (self._receiver_side_db if counter else self._before_fibre_db)
            )
            arriving_w = launched_w * transmission(table.return_loss_db if counter else self._fibre_db)
            filtered = after * transmission(signal_bandpass.shape_db(receiver, laser.frequency_thz))
            line_leak_w = arriving_w * max(filtered, transmission(table.isolation_db))
            noise_leak_w = arriving_w * transmission(-table.noise_dbc + table.noise_cleanup_db)
            leak_hz = line_leak_w / photon_energy_j(laser.frequency_thz) + noise_leak_w * after / energy_j
            channels.append((laser.frequency_thz, launched_w))
        scattered_w = sum(self._raman_w(*channel) for channel in channels)
        leak_hz += self._mixed_w(channels) * after / energy_j
        return launched_w, scattered_w * after / energy_j, leak_hz

    def _raman_w(self, frequency_thz: float, launched_w: float) -> float:
        """Return the Raman light within the signal bandpass filter at the receiver's end of the fibre."""
        table, channel, receiver = self._scenario.classical, self._scenario.channel, self._scenario.receiver
        if table.raman_scale == 0:
            return 0.0
        quantum_nm = wavelength_nm(receiver.quantum_frequency_thz)
        bandwidth_nm = quantum_nm * receiver.filter_bandwidth_ghz * 1e-3 / receiver.quantum_frequency_thz
        rho = raman.cross_section_per_km_nm(
            frequency_thz, receiver.quantum_frequency_thz, channel.temperature_k, table.raman_scale
        )
        effective = raman.backward_length_km if table.direction == "counter" else raman.forward_length_km
        length_km = effective(channel.length_km, channel.loss_db_per_km, channel.loss_db_per_km)
        return launched_w * rho * bandwidth_nm * length_km

    def _mixed_w(self, channels: list[four_wave_mixing.Channel]) -> float:
        """Return the four-wave mixing within the signal bandpass filter at the receiver's end of the fibre.

        Channels that travel against the signal make light that travels on with them, away from the receiver.
        """
        table, channel, receiver = self._scenario.classical, self._scenario.channel, self._scenario.receiver
        if table.direction == "counter":
            return 0.0
        width_thz = receiver.filter_bandwidth_ghz * 1e-3
        found = four_wave_mixing.triples(channels, receiver.quantum_frequency_thz, width_thz)
        return sum(
            four_wave_mixing.mixed_w(
                *triple, channel.length_km, channel.loss_db_per_km, channel.dispersion_ps_per_nm_km,
                table.kerr_gamma_per_w_km,
            )
            for triple in found
        )  # fmt: skip

    def _light(self, awg: WaveformSettings) -> LightPattern:
        transmitter = self._scenario.transmitter
        volts = awg.volts if awg.running else {}
        key = (awg.sample_rate_hz, *((channel, id(volts[channel])) for channel in sorted(volts)))
        if self._played is None or self._played[0] != key:
            pattern = light_pattern(
                volts,
                awg.sample_rate_hz,
                transmitter.samples_per_slot,
                self._modulators,
                self._polarizer,
                transmitter.bandwidth_hz,
                transmitter.pattern_effect,
                transmitter.pattern_memory_ns * 1e-9,
            )
            # The waveforms are kept, so that their identity stays theirs.
            self._played, self._kept = (key, pattern), dict(volts)
        return self._played[1]


def _v0_v(table: IntensityModulatorTable, t_s: float) -> float:
    steps = round(table.v0_drift_v_per_hour * t_s / 3600 / _DRIFT_STEP_V)
    return table.v0_v + steps * _DRIFT_STEP_V


def _intensity(table: IntensityModulatorTable) -> IntensityModulator:
    return IntensityModulator(
        channel=table.channel,
        v0_v=table.v0_v,
        vpi_v=table.vpi_v,
        extinction_db=table.extinction_db,
        amplifier_gain=table.amplifier_gain,
    )


def _phase(table: PhaseModulatorTable) -> PhaseModulator:
    return PhaseModulator(table.channel, table.v0_v, table.vpi_v, table.amplifier_gain)
