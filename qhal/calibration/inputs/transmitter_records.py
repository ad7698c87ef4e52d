"""Values of a plan from records of the transmitter: modulators by generator output, intensities of a pattern."""

from collections.abc import Mapping, Sequence
from typing import Any

from qhal.calibration.framework.calibration import Site
from qhal.errors import InvalidRecord
from qhal.link.modulation import CARVER_CHANNEL, DECOY_CHANNEL, POLARIZATION_CHANNEL
from qhal.records.record import Record

MODULATOR, POLARIZATION, RATIO = "modulator", "polarization-modulator", "intensity-ratio"
Values = dict[str, Any]


def modulator_volts(site: Site, values: Mapping[str, Any], records: Sequence[Record]) -> Values:
    """Return ``carver``, ``decoy`` and ``polarization``, each if its record is given."""
    known = {
        name: _volts(found[channel])
        for channel, name in ((CARVER_CHANNEL, "carver"), (DECOY_CHANNEL, "decoy"))
        if channel in (found := _by_output(MODULATOR, records))
    }
    if (record := _by_output(POLARIZATION, records).get(POLARIZATION_CHANNEL)) is not None:
        # Its V0 is the fibre's matter: any will do.
        known["polarization"] = {"vpi_v": record.quantity("vpi", channel=POLARIZATION_CHANNEL).value}
    return known


def held_volts(site: Site, values: Mapping[str, Any], records: Sequence[Record], *, channel: int) -> Values:
    """Return ``held_v``: intensity modulators but the one on ``channel`` (the plan's default), fully open."""
    own = values.get("channel", channel)
    found = _by_output(MODULATOR, records)
    open_v = {other: _volts(record)["v0_v"] for other, record in found.items() if other != own}
    return {"held_v": open_v} if open_v else {}


def modulator_record(values: Mapping[str, Any], records: Sequence[Record], channel: int) -> Record | None:
    """Return the record of the intensity modulator on ``channel`` (the plan's default)."""
    return _by_output(MODULATOR, records).get(values.get("channel", channel))


def extinction_v(record: Record) -> float:
    """Return the voltage of a modulator's extinction that is nearer to 0 V."""
    known = _volts(record)
    return min(known["v0_v"] + known["vpi_v"], known["v0_v"] - known["vpi_v"], key=abs)


def intensity_ratios(records: Sequence[Record]) -> Values:
    """Return ``ratios``, ``ratio_uncertainties``, ``probabilities`` and ``pulse_rate_hz`` of the pattern played then.

    Raises InvalidRecord for several records of it.
    """
    record = only_record(RATIO, records)
    if record is None:
        return {}
    ratios = [record.value("intensity_ratio", intensity=n) for n in (1, 2)]
    return {
        "ratios": [1.0, *ratios],
        "ratio_uncertainties": [0.0, *(ratio.std_dev for ratio in ratios)],
        "probabilities": record.inputs["fractions"],
        "pulse_rate_hz": 1e12 / record.inputs["period_ps"],
    }


def only_record(calibration: str, records: Sequence[Record]) -> Record | None:
    """Return the record of a calibration, or None. Raises InvalidRecord for several."""
    found = [record for record in records if record.calibration == calibration]
    if len(found) > 1:
        raise InvalidRecord(f"{', '.join(record.id for record in found)} are all of {calibration}: give one")
    return found[0] if found else None


def _by_output(calibration: str, records: Sequence[Record]) -> dict[int, Record]:
    found: dict[int, Record] = {}
    for record in records:
        if record.calibration == calibration:
            channel = int(record.inputs["channel"])
            if channel in found:
                raise InvalidRecord(
                    f"{found[channel].id} and {record.id} are both of output {channel}: give one"
                )
            found[channel] = record
    return found


def _volts(record: Record) -> dict[str, float]:
    channel = int(record.inputs["channel"])
    names = {"v0_v": "v0", "vpi_v": "vpi", "extinction_db": "extinction_ratio"}
    return {field: record.quantity(name, channel=channel).value for field, name in names.items()}
