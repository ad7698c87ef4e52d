"""Whether a plan suits the devices: lengths of lists, ports and ranges, before anything is set."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from qhal.calibration.framework.plan import Plan
from qhal.devices.interface import Interface
from qhal.errors import ConfigurationError

Devices = Mapping[str, Interface]
Check = Callable[[Any, Devices], None]


def check_suitability(calibration: str, plan: Plan, devices: Devices) -> None:
    """Compare a plan with the capabilities of its open devices, by role; nothing is sent.

    Raises ConfigurationError naming the field, the device and what it allows.
    """
    for field in type(plan).model_fields:
        value = getattr(plan, field)
        for check in _CHECKS.get(field, ()) if value is not None else ():
            try:
                check(value, devices)
            except _NotSuitable as error:
                raise ConfigurationError(f"{calibration}: {field}: {error}") from error


class _NotSuitable(ValueError):
    """What is wrong with a value, in words."""


def _values(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, tuple | list) else (value,)


def _range(role: str, limits: Callable[[Any], tuple[float, float]], unit: str) -> Check:
    def check(value: Any, devices: Devices) -> None:
        if (kind := devices.get(role)) is not None:
            low, high = limits(kind)
            for each in _values(value):
                if not low <= each <= high:
                    raise _NotSuitable(
                        f"{each:g} {unit} is beyond {low:g} to {high:g} {unit} of {kind.device.name}"
                    )

    return check


def _ports(role: str, ports: Callable[[Any], Iterable[int]], what: str) -> Check:
    def check(value: Any, devices: Devices) -> None:
        if (kind := devices.get(role)) is not None:
            known = sorted(ports(kind))
            for each in value if isinstance(value, Mapping) else _values(value):
                if each not in known:
                    text = ", ".join(map(str, known))
                    if len(known) > 8:
                        text = f"{len(known)} from {known[0]} to {known[-1]}"
                    raise _NotSuitable(f"{kind.device.name} has no {what} {each}; it has {text}")

    return check


def _length(role: str, number: Callable[[Any], int], what: str) -> Check:
    def check(value: Any, devices: Devices) -> None:
        if (kind := devices.get(role)) is not None and len(value) != number(kind):
            raise _NotSuitable(f"{len(value)} values, {kind.device.name} has {number(kind)} {what}")

    return check


def _set_points(value: Any, devices: Devices) -> None:
    found = [devices[role] for role in ("attenuator", "second_attenuator") if role in devices]
    if len(value) != len(found):
        names = " and ".join(each.device.name for each in found)
        raise _NotSuitable(f"{len(value)} set points for {len(found)} attenuators, {names}")
    for each, attenuator in zip(value, found, strict=True):
        _ATTENUATION(each, {"attenuator": attenuator})


def _reach_v(generator: Any) -> tuple[float, float]:
    limits = generator.capabilities
    reach_v = limits.max_amplitude_vpp / 2 + limits.max_offset_v
    return -reach_v, reach_v


def _frequencies_thz(source: Any) -> tuple[float, float]:
    return source.capabilities.min_frequency_thz, source.capabilities.max_frequency_thz


_BIAS = _range("detectors", lambda d: (d.capabilities.min_bias_ua, d.capabilities.max_bias_ua), "uA")
_CHANNELS = _length("detectors", lambda d: d.capabilities.channels, "channels")
_THRESHOLD = _range("tagger", lambda t: (t.capabilities.min_threshold_v, t.capabilities.max_threshold_v), "V")
_EGRESS = _ports("switch", lambda s: s.capabilities.egress, "egress")
_MONITOR = _ports("meter", lambda m: m.capabilities.channels, "power monitor")
_OUTPUT = _ports("generator", lambda g: range(1, g.capabilities.channels + 1), "output")
_VOLTS = _range("generator", _reach_v, "V")
_ATTENUATION = _range(
    "attenuator", lambda a: (a.capabilities.min_attenuation_db, a.capabilities.max_attenuation_db), "dB"
)
_FREQUENCY = _range("source", _frequencies_thz, "THz")

_CHECKS: dict[str, tuple[Check, ...]] = {
    "bias_ua": (_CHANNELS, _BIAS),
    "operating_ua": (_CHANNELS, _BIAS),
    "first_ua": (_BIAS,),
    "last_ua": (_BIAS,),
    "light_fractions": (_CHANNELS,),
    "threshold_v": (_THRESHOLD,),
    "highest_v": (_THRESHOLD,),
    "lowest_v": (_THRESHOLD,),
    "inputs": (_ports("tagger", lambda t: range(1, t.capabilities.channels + 1), "input"),),
    "ingress": (_ports("switch", lambda s: s.capabilities.ingress, "ingress"),),
    "egress": (_EGRESS,),
    "egresses": (_EGRESS,),
    "meter_channel": (_MONITOR,),
    "start_channel": (_MONITOR,),
    "end_channel": (_MONITOR,),
    "channel": (_OUTPUT,),
    "held_v": (_OUTPUT, _VOLTS),
    "low_v": (_VOLTS,),
    "high_v": (_VOLTS,),
    "open_v": (_VOLTS,),
    "closed_v": (_VOLTS,),
    "start_v": (_VOLTS,),
    "power_dbm": (
        _range("source", lambda s: (s.capabilities.min_power_dbm, s.capabilities.max_power_dbm), "dBm"),
    ),
    "frequency_thz": (_range("classical", _frequencies_thz, "THz"),),
    "working_thz": (_FREQUENCY,),
    "first_thz": (_FREQUENCY,),
    "last_thz": (_FREQUENCY,),
    "reference_thz": (_FREQUENCY,),
    "set_db": (_set_points,),
    "first_db": (_ATTENUATION,),
    "last_db": (_ATTENUATION,),
    "retardances_pi": (_length("polarization", lambda p: p.capabilities.paddles, "paddles"),),
}
"""By the name of a field, which means the same in every plan."""
