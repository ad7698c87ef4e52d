"""The records of the demonstration: attenuators and detectors on a bench, then the modulators on the link."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from qhal.calibration import calibrate_node
from qhal.calibration.channel import attenuator_curve, loss_budget
from qhal.calibration.detector import detection_efficiency
from qhal.calibration.transmitter import modulator
from qhal.demo.simulator_process import SimulatorProcess
from qhal.errors import DeviceError
from qhal.link.modulation import CARVER_CHANNEL, DECOY_CHANNEL, IntensityModulator
from qhal.node.node import Node, open_node
from qhal.records.curve import AttenuatorCurve
from qhal.records.record import Record
from qhal.records.uncertain import nominal

BENCH = "detector-bench"
OPERATOR = "qhal demo"
CHANNELS = (1, 2, 3, 4)
QUANTUM_POWER_DBM = 10.0
_REPORT_REPEATS_DB = 0.02
Announce = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class BenchRecords:
    """Records of the bench: of the link's laser, attenuators and detectors.

    ``loss``: from the power that the laser reports to the meter, through both attenuators at their lowest settings;
    the error of the laser's report is in it.
    """

    curve: Record
    other_curve: Record
    loss: Record
    efficiency: Record

    @property
    def records(self) -> tuple[Record, ...]:
        """All records."""
        return self.curve, self.other_curve, self.loss, self.efficiency

    @cached_property
    def attenuator(self) -> AttenuatorCurve:
        """Curve of the link's attenuator."""
        return AttenuatorCurve(self.curve)

    @cached_property
    def unattenuated_db(self) -> Any:
        """Loss from the power that the laser reports to the attenuator's output with the attenuator at 0 dB.

        The loss of the bench's other attenuator is subtracted: its insertion loss is in the budget, this one's is not.
        """
        lowest_db = self.attenuator.range_db[0]
        other = AttenuatorCurve(self.other_curve)
        (level_db,) = {q.at["level_db"] for q in self.loss.quantities if q.name == "loss"}
        loss_db = self.loss.value("loss", level_db=level_db)
        return loss_db - other.mean_attenuation_db(lowest_db) - self.attenuator.mean_attenuation_db(lowest_db)

    @cached_property
    def mean_efficiency(self) -> Any:
        """Mean detection efficiency of all channels, with its budget."""
        return sum(self.efficiency.value("detection_efficiency", channel=n) for n in CHANNELS) / len(CHANNELS)


def calibrate_on_bench(folder: Path, seed: int | None, announce: Announce) -> BenchRecords:
    """Start the bench and calibrate both attenuators against its meter, then the detectors with their curves."""
    with SimulatorProcess(BENCH, seed, lambda text: None) as bench, open_node(bench.node_file) as node:
        # The insertion loss is the one that the unit reports, measured at the factory.
        steps = {
            "step_db": 4.0,
            "repetitions": 2,
            "readings": 2,
            "settle_s": 0.0,
            "reference_uncertainty_db": 0.1,
        }
        counts = {
            "levels": 2,
            "settings": 4,
            "repetitions": 1,
            "period_s": 0.5,
            "dark_repetitions": 2,
            "dark_s": 2.0,
            "bias_ua": bench.control.request("datasheet")["detectors"]["operating_ua"],
        }
        curves = []
        for name, other in (("voa", "second-voa"), ("second-voa", "voa")):
            announce(f"bench: curve of {name}")
            roles = {"attenuator": name, "auxiliary": other}
            curves.append(
                _good(
                    calibrate_node(
                        node, attenuator_curve.CALIBRATION, steps, roles, folder=folder, operator=OPERATOR
                    )
                )
            )
        announce("bench: the laser's report against the meter")
        # The scale of the report is measured here: only its repeatability is uncertain.
        level = {
            "power_dbm": QUANTUM_POWER_DBM,
            "levels_db": (0.0,),
            "start_uncertainty_db": _REPORT_REPEATS_DB,
            "settle_s": 0.0,
        }
        loss = calibrate_node(
            node, loss_budget.CALIBRATION, level, folder=folder, operator=OPERATOR, records=curves
        )
        announce("bench: detection efficiency")
        efficiency = calibrate_node(
            node, detection_efficiency.CALIBRATION, counts, folder=folder, operator=OPERATOR, records=curves
        )
    return BenchRecords(curves[0], curves[1], _good(loss), _good(efficiency))


def calibrate_modulators(
    node: Node, folder: Path, bias_ua: tuple[float, ...], dead_time_ns: float, announce: Announce
) -> dict[int, tuple[IntensityModulator, Record]]:
    """Calibrate V0, Vpi and extinction of pulse carver and decoy modulator, by output of the generator.

    The volts are those at the generator's connector: the amplifier's gain is in them.
    """
    modulators: dict[int, tuple[IntensityModulator, Record]] = {}
    roles = {"source": "quantum-laser", "attenuator": "voa", "tagger": "tagger"}
    for channel in (CARVER_CHANNEL, DECOY_CHANNEL):
        announce(f"modulator on output {channel} of the pattern generator: V0, Vpi, extinction")
        # A modulator that is calibrated is open, so that light passes.
        plan = {
            "channel": channel,
            "held_v": {other: open_.v0_v for other, (open_, _) in modulators.items()},
            "repetitions": 3,
            "row_s": 0.6,
            "dark_s": 1.0,
            "bias_ua": bias_ua,
            "dead_time_ns": dead_time_ns,
        }
        made = calibrate_node(node, modulator.CALIBRATION, plan, roles, folder=folder, operator=OPERATOR)
        record = _good(made)
        v0, vpi, extinction = (
            nominal(record.value(name, channel=channel)) for name in ("v0", "vpi", "extinction_ratio")
        )
        modulators[channel] = (IntensityModulator(v0, vpi, extinction), record)
    return modulators


def _good(record: Record) -> Record:
    """Return a record. Raises DeviceError if its model does not describe the data."""
    if record.quality != "good":
        raise DeviceError(f"{record.id}: its fit is poor")
    return record
