"""Calibrations: functions of devices that leave a record.

One module each: a plan (what to do), ``measure`` (devices to raw data), ``evaluate`` (raw data to quantities, a pure
function) and ``draw`` (a record to a picture), joined in ``CALIBRATION``.
:func:`qhal.calibration.framework.runner.calibrate` runs one: it remembers and restores settings, keeps
what was measured, and writes the record.
"""

CALIBRATIONS: dict[str, str] = {
    "afterpulse": "qhal.calibration.detector.afterpulse",
    "attenuator-curve": "qhal.calibration.channel.attenuator_curve",
    "classical-noise": "qhal.calibration.channel.classical_noise",
    "clock-offset": "qhal.calibration.clock.clock_offset",
    "clock-stability": "qhal.calibration.clock.clock_stability",
    "code-density": "qhal.calibration.clock.code_density",
    "dark-counts": "qhal.calibration.detector.dark_counts",
    "dead-time": "qhal.calibration.detector.dead_time",
    "detection-efficiency": "qhal.calibration.detector.detection_efficiency",
    "detection-window": "qhal.calibration.receiver.detection_window",
    "efficiency-bias": "qhal.calibration.detector.efficiency_bias",
    "efficiency-spectrum": "qhal.calibration.detector.efficiency_spectrum",
    "filter-scan": "qhal.calibration.receiver.filter_scan",
    "gate-scan": "qhal.calibration.detector.gate_scan",
    "intensity-ratio": "qhal.calibration.transmitter.intensity_ratio",
    "linearity": "qhal.calibration.detector.linearity",
    "loss-budget": "qhal.calibration.channel.loss_budget",
    "mean-photon-number": "qhal.calibration.transmitter.mean_photon_number",
    "modulator": "qhal.calibration.transmitter.modulator",
    "modulator-bias": "qhal.calibration.transmitter.modulator_bias",
    "photon-statistics": "qhal.calibration.transmitter.photon_statistics",
    "polarization-alignment": "qhal.calibration.receiver.polarization_alignment",
    "polarization-dependence": "qhal.calibration.detector.polarization_dependence",
    "polarization-modulator": "qhal.calibration.transmitter.polarization_modulator",
    "receiver-matrix": "qhal.calibration.receiver.receiver_matrix",
    "switch-loss": "qhal.calibration.channel.switch_loss",
    "threshold-scan": "qhal.calibration.detector.threshold_scan",
    "timing-profile": "qhal.calibration.detector.timing_profile",
}
"""Modules by name; published in the entry-point group ``qhal.calibrations``."""
