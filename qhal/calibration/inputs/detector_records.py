"""Dead time, recovery and afterpulses of the detectors for a plan, from their records; one value for all channels."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from uncertainties import UFloat

from qhal.calibration.framework.calibration import Site
from qhal.calibration.inputs.transmitter_records import Values, only_record
from qhal.devices.same_settings import same_setting, setting_text
from qhal.errors import InvalidRecord
from qhal.records.origin import RecordOrigin
from qhal.records.record import Record
from qhal.records.shared import shared_error

DEAD_TIME, AFTERPULSE = "dead-time", "afterpulse"


def dead_time(site: Site, values: Mapping[str, Any], records: Sequence[Record]) -> Values:
    """Return ``dead_time_ns``, with the recovery, and ``dead_time_uncertainty_ns``."""
    fields = ("dead_time_ns", "dead_time_uncertainty_ns")
    return _mean(site, values, records, DEAD_TIME, ("dead_time", "recovery_time"), fields)


def recovery(site: Site, values: Mapping[str, Any], records: Sequence[Record]) -> Values:
    """Return ``recovery_time_ns`` and ``recovery_uncertainty_ns``."""
    fields = ("recovery_time_ns", "recovery_uncertainty_ns")
    return _mean(site, values, records, DEAD_TIME, ("recovery_time",), fields)


def afterpulses(site: Site, values: Mapping[str, Any], records: Sequence[Record]) -> Values:
    """Return ``afterpulse_probability`` and ``afterpulse_uncertainty``."""
    fields = ("afterpulse_probability", "afterpulse_uncertainty")
    return _mean(site, values, records, AFTERPULSE, ("afterpulse_probability",), fields)


def _mean(
    site: Site,
    values: Mapping[str, Any],
    records: Sequence[Record],
    calibration: str,
    names: Sequence[str],
    fields: tuple[str, str],
) -> Values:
    """Return the mean over the channels of a sum of quantities; its uncertainty covers how the channels differ.

    Nothing without a record of these detectors, or if the values have it. Raises InvalidRecord for several records,
    and for one at another bias than that of the values.
    """
    if fields[0] in values:
        return {}
    own = {role: name for role, name in site.names.items() if role == "detectors"}
    record = only_record(calibration, [record for record in records if record.is_of(calibration, **own)])
    if record is None:
        return {}
    _check_bias(record, values)
    channels = sorted(q.at["channel"] for q in record.quantities if q.name == names[0])
    sums = [sum(record.value(name, channel=channel) for name in names) for channel in channels]
    mean: UFloat = sum(sums) / len(sums)
    if len(sums) > 1:
        spread = float(np.std([each.nominal_value for each in sums], ddof=1))
        mean = mean + spread * shared_error(
            f"difference of the channels, {' + '.join(names)}", RecordOrigin(record.id)
        )
    return {fields[0]: mean, fields[1]: mean.std_dev}


def _check_bias(record: Record, values: Mapping[str, Any]) -> None:
    detectors, bias_ua = record.instrument("detectors"), values.get("bias_ua")
    was, tolerance_ua = detectors.settings.get("bias_ua"), detectors.setting_tolerances.get("bias_ua", 0.0)
    if bias_ua is not None and not same_setting(was, list(bias_ua), tolerance_ua):
        raise InvalidRecord(
            f"record {record.id}: detectors: bias_ua is {tuple(bias_ua)}, was {setting_text(was)}"
        )
