"""The metro link of the scenario: its session, with the modulators' records and its classical channel.

Only what a lab could do and know: devices, records and data sheets.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qhal.calibration.optics.sources import frequency_thz, output_dbm
from qhal.demo.demo_records import QUANTUM_POWER_DBM, BenchRecords, calibrate_modulators
from qhal.link.link_session import LinkDevices, LinkSession, LinkSettings, SetPhotonNumber
from qhal.link.modulation import (
    CARVER_CHANNEL,
    DECOY_CHANNEL,
    IntensityModulator,
    PhaseModulator,
    TransmitterCalibration,
    achieved_mean_photon_numbers,
)
from qhal.link.pattern import bb84_pattern
from qhal.link.photonics import photon_energy_j
from qhal.node.node import Node
from qhal.records.record import Record
from qhal.records.uncertain import Uncertain, from_db, nominal, systematic

SIGNAL_MEAN_PHOTON_NUMBER = 0.5
LASER_UNCERTAINTY_DB = 0.25
"""Standard uncertainty of the power that a laser reports, where it was not measured."""
_PATTERN_SEED = 1


@dataclass(slots=True)
class MetroLink:
    """A link of a node, with records of a bench and the data sheet of the scenario.

    ``session`` runs it. ``modulators`` (with their records, by output of the generator) and ``photon_number`` are
    known after :meth:`bring_up`.
    """

    node: Node
    sheet: dict[str, Any]
    bench: BenchRecords
    folder: Path
    announce: Callable[[str], None]
    session: LinkSession = field(init=False)
    modulators: dict[int, tuple[IntensityModulator, Record]] = field(init=False)
    photon_number: SetPhotonNumber = field(init=False)

    def __post_init__(self) -> None:
        self.session = LinkSession(_devices(self.node), self.node.clock, _settings(self.sheet))

    def bring_up(self) -> None:
        """Set every instrument, light last; leave the pattern playing at the target photon number."""
        session, settings = self.session, self.session.settings
        self.announce("lasers off, attenuator homed and closed, detectors biased, tagger inputs on")
        self.set_classical_power_dbm(None)
        session.prepare()
        self.modulators = calibrate_modulators(
            self.node, self.folder, settings.bias_ua, settings.dead_time_s * 1e9, self.announce
        )
        transmitter = self._transmitter()
        ideal = bb84_pattern(_PATTERN_SEED, period_ps=settings.period_ps)
        achieved = achieved_mean_photon_numbers(ideal, transmitter.decoy)
        pattern = bb84_pattern(_PATTERN_SEED, period_ps=settings.period_ps, mean_photon_numbers=achieved)
        self.announce(f"test pattern of {len(pattern)} symbols to the pattern generator")
        session.play(pattern, transmitter)
        self.photon_number = session.set_mean_photon_number(
            SIGNAL_MEAN_PHOTON_NUMBER, self._unattenuated(), self.bench.attenuator
        )
        self.announce(f"attenuator at {nominal(self.photon_number.attenuation_db):.2f} dB")

    def set_classical_power_dbm(self, power_dbm: float | None) -> None:
        """Turn the classical channel on at a power of its laser, or off (None)."""
        laser = self.node.source("classical-laser")
        if power_dbm is None:
            laser.disable()
            return
        laser.set_power_dbm(power_dbm)
        if not laser.read_emitting():
            laser.enable()

    def classical_power_dbm(self) -> float | None:
        """Return the power that the classical channel's laser reports; None while it is off."""
        laser = self.node.source("classical-laser")
        return output_dbm(laser) if laser.read_emitting() else None

    def _unattenuated(self) -> Uncertain:
        """Return the mean photon number of a signal pulse with the attenuator at 0 dB, from power and losses."""
        parts = {part.name: part for part in self.node.path("quantum")}
        laser = self.node.source("quantum-laser")
        power_dbm = output_dbm(laser) - self.bench.unattenuated_db
        for name in ("modulators", "pad"):
            power_dbm -= systematic(f"loss of {name}", parts[name].loss_db or 0.0, parts[name].uncertainty_db)
        pulse_j = from_db(power_dbm) * 1e-3 * self.session.settings.pulse_s
        return pulse_j / photon_energy_j(frequency_thz(laser))

    def _transmitter(self) -> TransmitterCalibration:
        """Return the modulators: carver and decoy from their records, the others from the data sheet."""
        table = self.sheet["transmitter"]

        def phase(part: str) -> PhaseModulator:
            return PhaseModulator(table[part]["v0_v"], table[part]["vpi_v"], table[part]["amplifier_gain"])

        decoy, carver = (self.modulators[channel][0] for channel in (DECOY_CHANNEL, CARVER_CHANNEL))
        return TransmitterCalibration(decoy, carver, phase("polarization"), phase("randomiser"))


def _devices(node: Node) -> LinkDevices:
    return LinkDevices(
        source=node.source("quantum-laser"),
        attenuator=node.attenuator("voa"),
        generator=node.pattern_generator("awg"),
        switch=node.optical_switch("switch"),
        polarization=node.polarization_controller("polarization"),
        detectors=node.detector("detectors"),
        tagger=node.time_tagger("tagger"),
    )


def _settings(sheet: dict[str, Any]) -> LinkSettings:
    return LinkSettings(
        frequency_thz=sheet["receiver"]["quantum_frequency_thz"],
        power_dbm=QUANTUM_POWER_DBM,
        connections={sheet["channel"]["switch_ingress"]: sheet["channel"]["switch_egress"]},
        bias_ua=tuple(sheet["detectors"]["operating_ua"]),
        dead_time_s=sheet["detectors"]["dead_time_ns"] * 1e-9,
    )
