"""Settings at reopening: a DAC that reads back its own noise is unchanged, a real change is reported."""

import json
import random

import pytest

from qhal.devices.same_settings import same_setting
from qhal.devices.time_tagger import Edge
from tests.attacks.mangled import Unit
from tests.attacks.test_replies import OPTIONS

BIAS_UA = (25.098, 27.1, 29.4, 28.8)


def atlas(bias_ua):
    """Return what a WebSQ with these read-backs answers."""
    values = {
        "NumberOfDetectors": 4,
        "DetectorEnable": True,
        "BiasCurrent": bias_ua,
        "TriggerLevel": [150.0] * 4,
        "BiasVoltage": [5.0] * 4,
    }
    chunks = [json.dumps({"label": name, "value": {"value": value}}) for name, value in values.items()]
    return {b"labelProps": "".join(chunks).encode() + b"\x17"}


CASES = {
    "singlequantum.websq": (
        "bias_ua",
        atlas(BIAS_UA),
        atlas((25.101, *BIAS_UA[1:])),
        atlas((25.2, *BIAS_UA[1:])),
    ),
    "ozoptics.dd100": (
        "attenuation_db",
        {b"A?": b"Atten:20.00(dB)\r\nDone\r\n\r\n"},
        {b"A?": b"Atten:20.04(dB)\r\nDone\r\n\r\n"},
        {b"A?": b"Atten:20.50(dB)\r\nDone\r\n\r\n"},
    ),
    "idquantique.id900": (
        "input_1_threshold_v",
        {b"INPU1:THRE?": b"0.1002V"},
        {b"INPU1:THRE?": b"0.0998V"},
        {b"INPU1:THRE?": b"0.25V"},
    ),
}


def reopened(unit, replies):
    unit.device.close()
    unit.instead.clear()
    unit.instead |= replies
    return unit.device.open()


@pytest.mark.parametrize("model", CASES)
def test_a_read_back_within_the_resolution_is_not_a_change(model):
    name, first, noise, change = CASES[model]
    unit = Unit(model, random.Random(1), **OPTIONS.get(model, {}))
    before = reopened(unit, first).settings
    for _ in range(3):
        assert reopened(unit, noise).health.settings_changed == {}
        assert reopened(unit, first).health.settings_changed == {}
    assert reopened(unit, noise).settings == before, "what a record stores stays equal, too"
    assert set(reopened(unit, change).health.settings_changed) == {name}


def test_a_slow_drift_is_a_change():
    unit = Unit("ozoptics.dd100", random.Random(1), **OPTIONS.get("ozoptics.dd100", {}))
    for hundredths in range(2000, 2011):
        device = reopened(unit, {b"A?": b"Atten:%.2f(dB)\r\nDone\r\n\r\n" % (hundredths / 100)})
        assert device.health.settings_changed == {}
    device = reopened(unit, {b"A?": b"Atten:20.11(dB)\r\nDone\r\n\r\n"})
    assert device.health.settings_changed == {"attenuation_db": ("20.0", "20.11")}


@pytest.mark.parametrize(
    ("before", "now", "tolerance", "same"),
    [
        (25.1, 25.2, 0.1, True),
        (25.1, 25.2, 0.0, False),
        (1, 1.0, 0.0, True),
        (True, 1, 1.0, False),
        (None, 0.0, 1.0, False),
        ((1.0, 2.0), [1.0, 2.05], 0.1, True),
        ((1.0, 2.0), (1.0,), 0.1, False),
        ((1.0, None), (1.05, None), 0.1, True),
        ({1: 17}, {1: 18}, 0.0, False),
        ({1: 17}, {2: 17}, 1.0, False),
        ({1: 17}, {1: 17}, 0.0, True),
        ("rising", Edge.RISING, 0.0, True),
        ("rising", Edge.FALLING, 9.0, False),
        (float("nan"), float("nan"), 9.0, False),
    ],
)
def test_settings_are_compared(before, now, tolerance, same):
    assert same_setting(before, now, tolerance) is same
