"""Mangled replies to every driver: typed errors only, no number as good that cannot be, no call without end."""

import logging
import math
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from qhal.devices.detector import DetectorState
from qhal.devices.status import Quality, Status
from qhal.errors import QhalError
from qhal.node.driver_registry import drivers
from qhal.tags.batch import TagBatch
from tests.attacks.mangled import BINARY, Unit
from tests.attacks.verbs import verbs_of

REPLIES = 1_000_000
DAMAGED = 70_000
RATES = (0.05, 0.3, 1.0)
OPTIONS = {
    "ozoptics.dd100": {"homed": True, "move_time_s": 0},
    "hubersuhner.polatis": {"inputs": 4, "outputs": 4},
}
LIMITS = {
    "attenuation_db": ("min_attenuation_db", "max_attenuation_db"),
    "set_power_dbm": ("min_power_dbm", "max_power_dbm"),
    "frequency_thz": ("min_frequency_thz", "max_frequency_thz"),
    "threshold_v": ("min_threshold_v", "max_threshold_v"),
    "delay_ps": (0, "max_delay_ps"),
    "bias_ua": ("min_bias_ua", "max_bias_ua"),
    "trigger_mv": ("-max_trigger_mv", "max_trigger_mv"),
    "sample_rate_hz": ("min_sample_rate_hz", "max_sample_rate_hz"),
    "angles_deg": ("min_angle_deg", "max_angle_deg"),
    "power_dbm": (-100.0, 20.0),
    "counts": (0, 1e8),
    "pushed": (0, 2**63),
    "device_time_s": (0.0, 1e308),
}
"""By name, the capabilities (or numbers) between which a value can be, but for 1 % of the range."""
FLEETING = {"time", "problems", "quality", "device_time_s", "counts"}
"""Parts of an answer that are another each time."""
UNKNOWN = (None, DetectorState.UNKNOWN)
BEFORE = {
    "Source.disable": "Source.enable",
    "Detector.disable": "Detector.enable",
    "OpticalSwitch.disconnect": "OpticalSwitch.connect",
    "PatternGenerator.start": "PatternGenerator.play",
    "PatternGenerator.set_output": "PatternGenerator.play",
    "DataLink.counts": "DataLink.start_stream",
    "DataLink.stop": "DataLink.start_stream",
}
"""What a unit needs before it does something."""


@pytest.fixture
def unit(model, caplog) -> Iterator[Unit]:
    caplog.set_level(logging.CRITICAL)
    made = Unit(model, random.Random(f"replies of {model}"), **OPTIONS.get(model, {}))
    made.reopen()
    yield made
    made.device.close()


@pytest.mark.parametrize("model", sorted(drivers()))
def test_mangled_replies(unit, attacks, no_hang):
    draw, verbs, outcomes = unit.draw, verbs_of(unit.device), Counter()
    wanted = attacks(REPLIES) // len(drivers())
    while unit.mangled < wanted:
        if draw.random() < 0.004 or not unit.device.is_open:
            unit.reopen()
            verbs = verbs_of(unit.device)
        if draw.random() < 0.92:
            unit.heal()
        name = draw.choice(["status", *verbs])
        unit.rate, unit.requests = draw.choice(RATES), 0
        unit.limits[:] = [unit.device.capabilities]  # and those read when it opens again meanwhile
        no_hang()
        try:
            found = verbs[name]() if name != "status" else unit.device.status()
        except QhalError as error:
            outcomes[type(error).__name__] += 1
        else:
            outcomes["answer"] += 1
            assert not (wrong := judged(unit, found)), (name, wrong)
        assert not (wrong := judged(unit, unit.device.settings)), ("settings", wrong)
    print(unit.model, unit.mangled, dict(outcomes))  # noqa: T201  # shown with -s, or when it fails
    assert outcomes["answer"] > 0
    assert outcomes["ProtocolError"] > 0


@pytest.mark.parametrize("model", sorted(set(drivers()) - set(BINARY)))
def test_a_damaged_number_is_never_read_as_another(unit, attacks, no_hang):
    """With one number in one reply spoilt a verb fails, or gives what it gives without that, or says unknown."""
    draw, outcomes = unit.draw, Counter()
    wanted = attacks(DAMAGED) // (len(drivers()) - len(BINARY))
    known = {name: found for name in verbs_of(unit.device) if (found := learnt(unit, name))[1]}
    while unit.mangled < wanted:
        name = draw.choice(list(known))
        expected, replies = known[name]
        try:
            no_hang()
            found = answer(unit, name, damaged=draw.randrange(replies))
        except QhalError as error:
            outcomes[type(error).__name__] += 1
            continue
        outcomes["answer"] += 1
        changed = {
            key: (value, expected[key])
            for key, value in found.items()
            if value not in UNKNOWN and expected.get(key) not in (None, value)
        }
        assert not changed, (name, unit.spoilt, changed)
    print(unit.model, unit.mangled, dict(outcomes))  # noqa: T201  # shown with -s, or when it fails
    assert outcomes["ProtocolError"] > 0


def answer(unit: Unit, name: str, *, damaged: int = -1) -> dict[str, Any]:
    """Return what a verb answers after an opening, by the names of its parts; the reply of a number is damaged."""
    unit.reopen()
    verbs = verbs_of(unit.device)
    if name in BEFORE:
        verbs[BEFORE[name]]()
    unit.requests, unit.replies, unit.damaged = 0, 0, damaged
    try:
        return dict(_parts("", verbs[name]()))
    finally:
        unit.damaged = -1


def learnt(unit: Unit, name: str) -> tuple[dict[str, Any], int]:
    """Return what a verb always answers, and how many replies it needs, 0 when the unit refuses it."""
    try:
        first, second = answer(unit, name), answer(unit, name)
    except QhalError:
        return {}, 0
    return {key: value for key, value in first.items() if second.get(key) == value}, unit.replies


def _parts(name: str, found: Any) -> Iterator[tuple[str, Any]]:
    """Yield each plain value in an answer with its place there, but for what differs from time to time."""
    if isinstance(found, BaseModel):
        for field in set(type(found).model_fields) - FLEETING:
            if field == "below_range":
                yield from ((f"{name}.{field}[{channel}]", True) for channel in found.below_range)
            else:
                yield from _parts(f"{name}.{field}", getattr(found, field))
    elif isinstance(found, dict):
        for key, value in found.items():
            yield from _parts(f"{name}[{key}]", value)
    elif isinstance(found, tuple | list):
        yield f"len({name})", len(found)
        for number, value in enumerate(found):
            yield from _parts(f"{name}[{number}]", value)
    elif type(found) is not str and not isinstance(found, TagBatch):  # a text may be any
        yield name, found


def judged(unit: Unit, found: Any) -> list[str]:
    """Return what of an answer cannot be."""
    if isinstance(found, Status):
        explained = "power_dbm" in type(found).model_fields or not _unknown(found) or bool(found.problems)
        if not explained or (found.quality is Quality.GOOD) != (not found.problems):
            return [f"unknown without a problem: {found}"]
    wrong = [f"capabilities: {each}" for each in unit.device.capabilities.contradictions()]
    for name, value in _numbers("", found):
        refused = [_refused(limits, name, value) for limits in unit.limits]
        wrong += [] if "" in refused else refused[-1:]
    return wrong


def _unknown(status: Status) -> bool:
    return any(
        value is None or (isinstance(value, tuple) and None in value)
        for name, value in status
        if name != "temperature_k"
    )


def _numbers(name: str, found: Any) -> Iterator[tuple[str, float]]:
    """Yield each number in an answer with the name that it goes by. Raises ValueError for tags out of order."""
    if isinstance(found, TagBatch):
        found.check()
    elif isinstance(found, BaseModel):
        yield from _numbers(name, dict(found))
    elif isinstance(found, dict):
        for key, value in found.items():
            yield from _numbers(key if isinstance(key, str) else name, value)
    elif isinstance(found, tuple | list):
        for value in found:
            yield from _numbers(name, value)
    elif isinstance(found, int | float) and not isinstance(found, bool):
        yield name, found


def _refused(limits: Any, name: str, value: float) -> str:
    if not math.isfinite(value):
        return f"{name} is {value}"
    if name not in LIMITS:
        return ""
    low, high = (
        float(each)
        if not isinstance(each, str)
        else getattr(limits, each.lstrip("-"), 0.0) * (-1 if each[0] == "-" else 1)
        for each in LIMITS[name]
    )
    slack = 0.011 * (high - low)
    return "" if low - slack <= value <= high + slack else f"{name} is {value}, beyond {low:g} to {high:g}"
