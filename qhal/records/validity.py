"""Validity of a record: its date, and the instruments and the path as they are now."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from pydantic_core import to_jsonable_python

from qhal.devices.device import Device
from qhal.devices.same_settings import changed_settings, setting_text
from qhal.records.record import Instrument, PathPart, Record

_IDENTITY = ("manufacturer", "model", "serial_number", "firmware", "shape")


def problems(
    record: Record,
    devices: Mapping[str, Device],
    path: Sequence[PathPart] | None = None,
    now: datetime | None = None,
) -> tuple[str, ...]:
    """Return the reasons why a record is not valid; an empty tuple when it is.

    Parameters
    ----------
    record
        The record.
    devices
        Open devices by their name in the node. Identity and settings are those read last; only a temperature is read
        now.
    path
        The path of the record's ``path_name``, as the node file has it now; None: not compared.
    now
        Time to compare with; None: the current time.
    """
    moment = now or datetime.now(UTC)
    reasons = []
    if moment > record.validity.until:
        reasons.append(f"valid until {record.validity.until:%Y-%m-%d %H:%M} UTC")
    if record.quality != "good":
        reasons.append("its fit is poor: the model does not describe the data")
    for instrument in record.instruments:
        device = devices.get(instrument.device)
        if device is None:
            reasons.append(f"{instrument.role}: no device {instrument.device!r} here")
        else:
            reasons += _of_instrument(record, instrument, device)
    if record.path_name and path is not None and tuple(path) != record.path:
        reasons.append(
            f"path {record.path_name!r} is not the one it was measured on: {_difference(record.path, path)}"
        )
    return tuple(reasons)


def _of_instrument(record: Record, instrument: Instrument, device: Device) -> list[str]:
    reasons, role = [], instrument.role
    identity = device.identity
    for field in _IDENTITY:
        was, is_now = getattr(instrument, field), getattr(identity, field)
        if was != is_now:
            reasons.append(f"{role}: {field.replace('_', ' ')} is {is_now!r}, was {was!r}")
    changed = device.health.settings_changed
    relevant = record.validity.settings.get(role, ())
    before = {name: value for name, value in instrument.settings.items() if name in relevant}
    now = to_jsonable_python(device.settings)
    tolerances = {**instrument.setting_tolerances, **device.setting_tolerances}
    for name in relevant:
        if name in changed:
            reasons.append(f"{role}: {name} changed from {changed[name][0]} to {changed[name][1]}")
    for name, (was, is_now) in changed_settings(before, now, tolerances).items():
        if name not in changed:
            reasons.append(f"{role}: {name} is {setting_text(is_now)}, was {setting_text(was)}")
    if role in record.validity.temperature_k:
        reasons += _outside_band(role, device, record.validity.temperature_k[role])
    return reasons


def _outside_band(role: str, device: Device, band: tuple[float, float]) -> list[str]:
    temperature = getattr(device.status(), "temperature_k", None)
    if temperature is None:
        return [f"{role}: reports no temperature, which must be {band[0]:g} to {band[1]:g} K"]
    if not band[0] <= temperature <= band[1]:
        return [f"{role}: is at {temperature:g} K, outside of {band[0]:g} to {band[1]:g} K"]
    return []


def _difference(before: Sequence[PathPart], after: Sequence[PathPart]) -> str:
    for index in range(max(len(before), len(after))):
        was = before[index] if index < len(before) else None
        is_now = after[index] if index < len(after) else None
        if was != is_now:
            return f"element {index + 1} is {_text(is_now)}, was {_text(was)}"
    return "nothing"


def _text(part: PathPart | None) -> str:
    if part is None:
        return "absent"
    loss = "" if part.loss_db is None else f" of {part.loss_db:g} dB"
    length = "" if part.length_km is None else f", {part.length_km:g} km"
    ports = "" if part.ingress is None else f" from {part.ingress} to {part.egress}"
    return f"{part.name!r}{ports}{loss}{length}"
