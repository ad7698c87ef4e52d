"""Calibrations: functions of devices that leave a record.

One module each: a plan (what to do), ``measure`` (devices to raw data), ``evaluate`` (raw data to quantities, a pure
function) and ``draw`` (a record to a picture), joined in ``CALIBRATION``. :func:`qhal.calibration.calibrate.calibrate`
runs one: it remembers and restores settings, keeps what was measured, and writes the record.
"""

CALIBRATIONS: dict[str, str] = {
    "dark-counts": "qhal.calibration.dark_counts",
}
"""Modules by name; published in the entry-point group ``qhal.calibrations``."""
