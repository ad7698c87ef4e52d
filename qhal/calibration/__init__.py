"""Calibrations: functions of devices that leave a record.

A calibration is a module in ``detector``, ``transmitter``, ``receiver``, ``channel`` or ``clock``: a plan (its
parameters), ``measure`` (devices to raw data), ``evaluate`` (raw data to quantities, a pure function) and ``draw`` (a
record to a picture), joined in ``CALIBRATION``. :func:`calibrate` runs one with open devices, :func:`calibrate_node`
with those of a node: it stores and restores settings, keeps a journal of what was measured, and writes the record.
Importing this package loads no numpy and none of the calibrations.
"""

from typing import TYPE_CHECKING

from qhal.late import late

if TYPE_CHECKING:
    from qhal.calibration.figures.labels import with_uncertainty
    from qhal.calibration.figures.record_picture import draw_record, save_picture
    from qhal.calibration.framework.calibration import Calibration, Site
    from qhal.calibration.framework.data import Data, Evaluation
    from qhal.calibration.framework.node_runner import calibrate_node
    from qhal.calibration.framework.plan import Extent, Plan
    from qhal.calibration.framework.points import Run
    from qhal.calibration.framework.registry import calibrations, load_calibration
    from qhal.calibration.framework.runner import calibrate
    from qhal.calibration.framework.setup import Setup

__all__ = [
    "CALIBRATIONS",
    "Calibration",
    "Data",
    "Evaluation",
    "Extent",
    "Plan",
    "Run",
    "Setup",
    "Site",
    "calibrate",
    "calibrate_node",
    "calibrations",
    "draw_record",
    "load_calibration",
    "save_picture",
    "with_uncertainty",
]

CALIBRATIONS: dict[str, str] = {
    "afterpulse": "qhal.calibration.detector.afterpulse",
    "dark-counts": "qhal.calibration.detector.dark_counts",
    "dead-time": "qhal.calibration.detector.dead_time",
    "detection-efficiency": "qhal.calibration.detector.detection_efficiency",
    "efficiency-bias": "qhal.calibration.detector.efficiency_bias",
    "efficiency-spectrum": "qhal.calibration.detector.efficiency_spectrum",
    "gate-scan": "qhal.calibration.detector.gate_scan",
    "linearity": "qhal.calibration.detector.linearity",
    "polarization-dependence": "qhal.calibration.detector.polarization_dependence",
    "threshold-scan": "qhal.calibration.detector.threshold_scan",
    "timing-profile": "qhal.calibration.detector.timing_profile",
    "intensity-ratio": "qhal.calibration.transmitter.intensity_ratio",
    "mean-photon-number": "qhal.calibration.transmitter.mean_photon_number",
    "modulator": "qhal.calibration.transmitter.modulator",
    "modulator-bias": "qhal.calibration.transmitter.modulator_bias",
    "photon-statistics": "qhal.calibration.transmitter.photon_statistics",
    "polarization-modulator": "qhal.calibration.transmitter.polarization_modulator",
    "detection-window": "qhal.calibration.receiver.detection_window",
    "filter-scan": "qhal.calibration.receiver.filter_scan",
    "polarization-alignment": "qhal.calibration.receiver.polarization_alignment",
    "receiver-matrix": "qhal.calibration.receiver.receiver_matrix",
    "attenuator-curve": "qhal.calibration.channel.attenuator_curve",
    "classical-noise": "qhal.calibration.channel.classical_noise",
    "loss-budget": "qhal.calibration.channel.loss_budget",
    "switch-loss": "qhal.calibration.channel.switch_loss",
    "clock-offset": "qhal.calibration.clock.clock_offset",
    "clock-stability": "qhal.calibration.clock.clock_stability",
    "code-density": "qhal.calibration.clock.code_density",
}
"""Modules by name; published in the entry-point group ``qhal.calibrations``."""

if not TYPE_CHECKING:
    __getattr__, __dir__ = late(__name__, __file__)
