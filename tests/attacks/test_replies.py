"""Mangled replies to every driver: typed errors only, no number as good that cannot be, no call without end."""

import logging
import math
import random
from collections import Counter
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel

from qhal.devices.device import Device
from qhal.devices.power_meter import PowerMeter
from qhal.devices.status import Quality, Status
from qhal.errors import QhalError
from qhal_drivers.idquantique.datalink import DataLink
from tests.attacks.mangled import Unit

REPLIES = 1_000_000
RATES = (0.05, 0.3, 1.0)
VERBS = {
    "hubersuhner.polatis": (
        lambda d: d.read_pattern(),
        lambda d: d.set_pattern({1: d.capabilities.egress[0]}),
        lambda d: d.connect(2, d.capabilities.egress[1]),
        lambda d: d.disconnect(2),
        lambda d: {
            "power_dbm": d.facet(PowerMeter).read_power_dbm(
                d.facet(PowerMeter).meter_capabilities.channels[0]
            )
        },
        lambda d: d.facet(PowerMeter).status(),
    ),
    "idquantique.id900": (
        lambda d: {"threshold_v": d.set_threshold_v(1, 0.2)},
        lambda d: {"delay_ps": d.set_delay_ps(1, 1000)},
        lambda d: d.set_enabled(2, True),
        lambda d: d.read_counts(0.1),
        lambda d: DataLink(d.link_port("dlt")).acquisitions(),
        lambda d: DataLink(d.link_port("dlt")).start_stream("127.0.0.1", 1, 4242),
        lambda d: {"pushed": DataLink(d.link_port("dlt")).counts("127.0.0.1:5556")},
        lambda d: DataLink(d.link_port("dlt")).stop("127.0.0.1:5556"),
    ),
    "ozoptics.dd100": (
        lambda d: {"attenuation_db": d.read_attenuation_db()},
        lambda d: {"attenuation_db": d.set_attenuation_db(20.0)},
        lambda d: d.home(),
    ),
    "purephotonics.ppcl550": (
        lambda d: {"set_power_dbm": d.set_power_dbm(d.capabilities.min_power_dbm)},
        lambda d: {"frequency_thz": d.set_frequency_thz(d.capabilities.max_frequency_thz)},
        lambda d: d.enable(),
        lambda d: d.disable(),
        lambda d: {"power_dbm": d.facet(PowerMeter).read_power_dbm()},
    ),
    "singlequantum.websq": (
        lambda d: {"bias_ua": d.set_bias_ua([10.0] * d.capabilities.channels)},
        lambda d: {"trigger_mv": d.set_trigger_mv([100.0] * d.capabilities.channels)},
        lambda d: d.enable(),
        lambda d: d.disable(),
        lambda d: d.read_counts(0.1),
        lambda d: d.unlatch(),
    ),
    "tektronix.awg5014": (
        lambda d: d.play({1: np.zeros(8)}, 1e9),
        lambda d: d.stop(),
        lambda d: d.start(),
        lambda d: d.set_output(1, True),
    ),
    "thorlabs.mpc320": (
        lambda d: {"angles_deg": d.read_angles_deg()},
        lambda d: {"angles_deg": d.set_angles_deg((10.0, 20.0, 30.0)[: d.capabilities.paddles])},
        lambda d: d.home(),
    ),
}
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


@pytest.mark.parametrize("model", sorted(VERBS))
def test_mangled_replies(model, attacks, caplog):
    caplog.set_level(logging.CRITICAL)
    draw = random.Random(f"replies of {model}")
    unit = Unit(model, draw, **OPTIONS.get(model, {}))
    unit.reopen()
    verbs = (lambda d: d.status(), lambda d: d.status(), lambda d: d.make_safe(), *VERBS[model])
    wanted, outcomes = attacks(REPLIES) // len(VERBS), Counter()
    while unit.mangled < wanted:
        if draw.random() < 0.004:
            unit.reopen()
        if draw.random() < 0.92:
            unit.heal()
        number = draw.randrange(len(verbs))
        unit.rate, unit.requests = draw.choice(RATES), 0
        try:
            found = verbs[number](unit.device)
        except QhalError as error:
            outcomes[type(error).__name__] += 1
        else:
            outcomes["answer"] += 1
            assert not (wrong := judged(unit.device, found)), (number, wrong)
            assert not (wrong := judged(unit.device, unit.device.settings)), ("settings", wrong)
    assert outcomes["answer"] > 0
    assert outcomes["ProtocolError"] > 0


def judged(device: Device, found: Any) -> list[str]:
    """Return what of an answer cannot be."""
    if isinstance(found, Status):
        explained = "power_dbm" in type(found).model_fields or not _unknown(found) or bool(found.problems)
        if not explained or (found.quality is Quality.GOOD) != (not found.problems):
            return [f"unknown without a problem: {found}"]
    limits = device.opened_capabilities
    wrong = [f"capabilities: {each}" for each in limits.contradictions()]
    return wrong + [each for name, value in _numbers("", found) for each in _refused(limits, name, value)]


def _unknown(status: Status) -> bool:
    return any(
        value is None or (isinstance(value, tuple) and None in value)
        for name, value in status
        if name != "temperature_k"
    )


def _numbers(name: str, found: Any) -> list[tuple[str, float]]:
    """Return each number in an answer with the name that it goes by."""
    if isinstance(found, bool):
        return []
    if isinstance(found, int | float):
        return [(name, found)]
    if isinstance(found, BaseModel):
        return [each for field, value in found for each in _numbers(field, value)]
    if isinstance(found, dict):
        items = found.items()
        return [e for key, value in items for e in _numbers(key if isinstance(key, str) else name, value)]
    if isinstance(found, tuple | list):
        return [each for value in found for each in _numbers(name, value)]
    return []


def _refused(limits: Any, name: str, value: float) -> list[str]:
    if not math.isfinite(value):
        return [f"{name} is {value}"]
    if name not in LIMITS:
        return []
    low, high = (
        float(each)
        if not isinstance(each, str)
        else getattr(limits, each.lstrip("-"), 0.0) * (-1 if each[0] == "-" else 1)
        for each in LIMITS[name]
    )
    slack = 0.011 * (high - low)
    return [] if low - slack <= value <= high + slack else [f"{name} is {value}, beyond {low:g} to {high:g}"]
