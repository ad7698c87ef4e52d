"""Limits of every number in a plan, by the unit in its name: a number beyond them is a slip of the keyboard.

They keep a plan finite before a device is opened. What a device can do is checked when it is open
(:mod:`qhal.calibration.framework.suitability`).
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel

MAX_VALUES = 1000
"""Values of one list of a plan, and words' letters by tens: more are not typed by hand."""


class Limits(NamedTuple):
    """Range of a quantity, and the smallest magnitude other than 0."""

    low: float
    high: float
    smallest: float
    unit: str


_BY_UNIT = {
    "s": Limits(0, 1e6, 1e-9, " s"),
    "ns": Limits(0, 1e6, 1e-3, " ns"),
    "ps": Limits(0, 1e9, 1e-3, " ps"),
    "hz": Limits(0, 1e11, 1e-3, " Hz"),
    "ghz": Limits(0, 1e4, 1e-3, " GHz"),
    "thz": Limits(0, 1000, 1e-6, " THz"),
    "db": Limits(-200, 200, 1e-6, " dB"),
    "dbm": Limits(-200, 60, 1e-6, " dBm"),
    "ua": Limits(-1e4, 1e4, 1e-6, " uA"),
    "v": Limits(-1000, 1000, 1e-6, " V"),
    "deg": Limits(-360, 360, 1e-3, " deg"),
    "km": Limits(0, 1e5, 1e-6, " km"),
    "counts": Limits(0, 1e10, 1, " counts"),
    "days": Limits(0, 36_500, 1e-6, " days"),
}
_ROUNDING = 1e-24
_SEEDS = Limits(0, 2**63 - 1, 1, "")
_PORTS = Limits(1, 1000, 1, "")
_PORT_NAMES = ("channel", "ingress", "egress", "egresses", "inputs")
_NUMBERS_OF_THINGS = Limits(0, 4_194_304, 1, "")
_OTHER = Limits(-1e6, 1e6, 1e-12, "")
_LONG = {"correlation_time_s": Limits(0, 1e9, 1e-9, " s")}


def limits_of(name: str, whole: bool) -> Limits:
    """Return the limits of a field. ``whole``: it is an integer."""
    last = name.rpartition("_")[2]
    if name in _LONG:
        return _LONG[name]
    if last == "seed":
        return _SEEDS
    if last in _PORT_NAMES:
        return _PORTS
    if "_per_" not in name and last in _BY_UNIT:
        limits = _BY_UNIT[last]
    else:
        limits = _NUMBERS_OF_THINGS if whole else _OTHER
    # What was measured, as the voltage of another modulator, may be as close to 0 as rounding makes it; a step may not.
    measured = "uncertainty" in name or (limits.low < 0 and "step" not in name)
    return limits._replace(smallest=_ROUNDING) if measured else limits


def check_value(name: str, value: Any) -> None:
    """Raise ValueError when a value, or one within it, is beyond the limits of its name."""
    if isinstance(value, BaseModel):
        for inner in type(value).model_fields:
            check_value(inner, getattr(value, inner))
    elif isinstance(value, Mapping):
        _check_length(name, value)
        for key, each in value.items():
            check_value("channel", key)
            check_value(name, each)
    elif isinstance(value, tuple | list):
        _check_length(name, value)
        for each in value:
            check_value(name, each)
    elif isinstance(value, str):
        if len(value) > 10 * MAX_VALUES:
            raise ValueError(f"{len(value)} letters, at most {10 * MAX_VALUES}")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        _check_number(value, limits_of(name, isinstance(value, int)))


def _check_length(name: str, values: Any) -> None:
    if len(values) > MAX_VALUES:
        raise ValueError(f"{len(values)} values of {name}, at most {MAX_VALUES}")


def _check_number(value: float, limits: Limits) -> None:
    if not math.isfinite(value) or not limits.low <= value <= limits.high:
        raise ValueError(f"{_text(value)} is beyond {_text(limits.low)} to {_text(limits.high)}{limits.unit}")
    if 0 < abs(value) < limits.smallest:
        raise ValueError(f"{value:g} is less than {limits.smallest:g}{limits.unit}, and not 0")


def _text(value: float) -> str:
    return str(value) if isinstance(value, int) and abs(value) < 10**20 else f"{float(value):g}"
