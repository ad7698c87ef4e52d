"""Plans of all calibrations: absurd values are refused before a device is opened, unsuitable ones before it is set."""

import math
import types
import typing
from typing import Any

import pytest
from pydantic import BaseModel

from qhal.calibration import Plan, calibrate, calibrations, load_calibration
from qhal.calibration.framework.plan import MAX_ROWS
from qhal.errors import ConfigurationError
from tests.calibration.hidden import devices_of, hidden_world
from tests.calibration.test_cases import CASES

NAMES = sorted(calibrations())
BY_NAME = {case.calibration.name: case for case in CASES.values()}
ABSURD = (1e30, -1e30, 1e-30, 10**12, math.nan, math.inf, -math.inf)
FINE = {"seed", "settings_seed", "pattern_seed", "rate_hz", "brightest_hz", "pulse_rate_hz", "sample_rate_hz"}
"""Fields in which 10**12 is not absurd on its face, or is refused for what it makes of the whole."""


def kinds_of(annotation: Any) -> set[Any]:
    """Return the plain types of an annotation, within unions, tuples, dicts and Annotated."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return kinds_of(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return set().union(*map(kinds_of, typing.get_args(annotation)))
    if origin in (tuple, dict):
        return {(origin, kind) for kind in kinds_of(typing.get_args(annotation)[-1 if origin is dict else 0])}
    return {annotation}


def absurd_values(field: str, plan: type[BaseModel]) -> list[Any]:
    """Return absurd values for one field: numbers, and lists and tables with one of them."""
    values: list[Any] = []
    for kind in kinds_of(plan.model_fields[field].annotation):
        if kind in (int, float):
            values += [value for value in ABSURD if kind is float or value != 1e-30]
        elif kind == (tuple, float) or kind == (tuple, int):
            values += [[value] * 4 for value in ABSURD] + [[1.0] * 100_000]
        elif kind == (dict, float):
            values += [{"1": value} for value in ABSURD] + [{"0": 1.0}, {"100000": 1.0}]
        elif kind is str:
            values += ["x" * 1_000_000]
        elif isinstance(kind, type) and issubclass(kind, BaseModel):
            inner = ((name, absurd_values(name, kind)) for name in kind.model_fields)
            values += [{name: value} for name, found in inner for value in found]
    return [value for value in values if not (field in FINE and value == 10**12)]


def test_measured_values_may_be_as_small_as_rounding_makes_them():
    plan = load_calibration("modulator").plan
    assert plan(held_v={2: 1.2e-17}).held_v == {2: 1.2e-17}
    assert load_calibration("dead-time").plan(jitter_uncertainty_ps=1e-9).jitter_uncertainty_ps == 1e-9


@pytest.mark.parametrize("name", NAMES)
def test_every_absurd_value_is_refused_by_name(name):
    calibration = load_calibration(name)
    tried = 0
    for field in calibration.plan.model_fields:
        for value in absurd_values(field, calibration.plan):
            tried += 1
            with pytest.raises(ConfigurationError, match=f"^{name}: ") as refused:
                calibration.check_values({field: value})
            message = str(refused.value)
            assert field in message or "at most" in message, message
            assert len(message) < 300, message
    assert tried > 20


@pytest.mark.parametrize("name", NAMES)
def test_the_whole_is_bounded(name):
    """No value of a field within its limits makes more points, time or memory than the plan may have."""
    case = BY_NAME[name]
    fields = case.plan.model_dump()
    accepted = 0
    for field, value in fields.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        for factor in (1e-6, 1e-3, 0.1, 10, 1e3, 1e6):
            other = type(value)(value * factor)
            try:
                plan = case.calibration.plan(**{**fields, field: other})
            except ValueError:
                continue
            accepted += 1
            assert plan.extent().rows <= MAX_ROWS
    assert accepted > 5
    assert type(case.plan).extent is not Plan.extent


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("dark-counts", {"step_ua": 1e-9}, "step_ua: 1e-09 is less than 1e-06 uA"),
        ("dark-counts", {"step_ua": 1e-6}, "points, at most 100000"),
        ("attenuator-curve", {"step_db": 1e-9}, "step_db"),
        ("threshold-scan", {"step_v": 1e-6}, "points, at most 100000"),
        ("dead-time", {"period_s": 1e5}, "tags in memory, at most 1e"),
        ("dead-time", {"repetitions": 100_000, "period_s": 1.0}, "numbers to keep"),
        ("dark-counts", {"period_s": 1e6}, "days of counting, at most 30"),
        ("receiver-matrix", {"fractions": [0.3, 0.3, 0.3]}, "fractions|even"),
        ("receiver-matrix", {"symbols": 4_000_000, "samples_per_symbol": 100}, "samples of a waveform"),
    ],
)
def test_messages(name, values, message):
    with pytest.raises(ConfigurationError, match=message):
        load_calibration(name).check_values(values)


UNSUITABLE: dict[str, Any] = {
    "bias_ua": ([20.0] * 3, [20.0] * 5, [9000.0] * 4),
    "operating_ua": ([20.0] * 3,),
    "light_fractions": ([0.5, 0.5], [0.2] * 5),
    "ingress": (999,),
    "egress": (999,),
    "egresses": ([17, 999],),
    "meter_channel": (999,),
    "start_channel": (999,),
    "end_channel": (999,),
    "channel": (9,),
    "held_v": ({1: 900.0}, {9: 0.0}),
    "inputs": ([1, 99],),
    "threshold_v": (900.0,),
    "power_dbm": (60.0,),
    "working_thz": (900.0,),
    "last_thz": (900.0,),
    "retardances_pi": ([0.5, 0.5],),
    "set_db": ([200.0], [10.0] * 7),
    "last_db": (200.0,),
    "last_ua": (9000.0,),
}
"""By field: values that are numbers like any other, but that the devices of the bench do not have."""
ABSENT_WITHOUT = {"ingress": "switch", "egress": "switch", "threshold_v": "tagger"}
"""Fields that mean nothing without the device of an optional role."""


@pytest.mark.parametrize("name", NAMES)
def test_unsuitable_values_are_refused_before_anything_is_set(name, tmp_path):
    case, tried = BY_NAME[name], 0
    with hidden_world(case, 1) as hidden:
        devices = devices_of(case, hidden)
        before = {role: dict(kind.device.settings) for role, kind in devices.items()}
        for field in UNSUITABLE.keys() & type(case.plan).model_fields.keys():
            if ABSENT_WITHOUT.get(field, "") not in ("", *devices):
                continue
            for value in UNSUITABLE[field]:
                plan = case.plan.model_copy(update={field: value})
                with pytest.raises(ConfigurationError, match=f"^{name}: {field}: "):
                    calibrate(case.calibration, devices, plan, folder=tmp_path)
                tried += 1
        assert {role: dict(kind.device.settings) for role, kind in devices.items()} == before
    assert not list(tmp_path.iterdir())
    assert tried
