"""Exact scripts of message protocols: every byte each way, as the vendors' examples and independent clients have it.

The streams of the ID900 are in ``test_id900.py``.
"""

import json

import pytest

from qhal.devices.time_tagger import ClockReference, Edge
from qhal.errors import DeviceError, ProtocolError
from tests.drivers.following import follow, refuses

# Single Quantum WebSQ (Atlas). JSON each way, replies end with ETB, chunks hold several. After labelProps a value is
# inside an object; a change comes with the bare value, to every client.
LABELS = {
    "NumberOfDetectors": 4,
    "InptMeasurementPeriod": 100,
    "BiasCurrent": [0.0] * 4,
    "TriggerLevel": [100.0] * 4,
    "DetectorEnable": False,
    "StartAutoIV": False,
    "BiasCurrentAutoIV": [0.0] * 4,
    "IVScanEnable": False,
    "BiasVoltage": [0.0] * 4,
}


def objects(*each):
    return b"".join(json.dumps(one).encode() + b"\x17" for one in each)


def labels(**changed):
    found = {**LABELS, **changed}
    return (
        b'{"request": "labelProps", "value": "None"}\n',
        objects(*({"label": name, "value": {"value": value}} for name, value in found.items())),
    )


def websq_set(command, label, value, **changed):
    request = json.dumps({"command": command, "label": label, "value": value}).encode() + b"\n"
    return [(request, objects({"label": label, "value": value})), labels(**changed), labels(**changed)]


# ID Quantique ID900. A message each way, without a terminator; set commands answer a text that is not established.
def inputs(n, **changed):
    found = {
        "ENAB": b"OFF",
        "THRE": b"0.999424V",
        "EDGE": b"RISING",
        "COUP": b"DC",
        "VALU": b"0TB",
        **changed,
    }
    return [
        (b"%s%d:%s?" % (b"DELA" if name == "VALU" else b"INPU", n, name.encode()), value)
        for name, value in found.items()
    ]


ID900 = [
    (b"*IDN?", b"ID Quantique,ID900,20210042,1.12.0"),
    (b"DEVI:RES:BWID?", b"100"),
    (b"DEVI:SYNC?", b"INTERNAL"),
    *(exchange for n in (1, 2, 3, 4) for exchange in inputs(n)),
    (b"DEVI:RES?", b"LOWRES"),
]

MESSAGES = {"keeps_messages": True}
COUNTS = {"others": ("counts",)}
CASES = {
    "websq enable": (
        "singlequantum.websq",
        [labels()] * 5,
        lambda d: d.enable(),
        websq_set("DetectorEnable", "DetectorEnable", True, DetectorEnable=True),
        COUNTS,
    ),
    "websq bias": (
        "singlequantum.websq",
        [labels()] * 5,
        lambda d: d.set_bias_ua([25.1, 27.1, 29.4, 28.8]),
        websq_set(
            "SetAllBiasCurrents",
            "BiasCurrent",
            [25.1, 27.1, 29.4, 28.8],
            BiasCurrent=[25.1, 27.1, 29.4, 28.8],
        ),
        COUNTS,
    ),
    "websq trigger level": (
        "singlequantum.websq",
        [labels()] * 5,
        lambda d: d.set_trigger_mv([150.0] * 4),
        websq_set("SetAllTriggerLevels", "TriggerLevel", [150.0] * 4, TriggerLevel=[150.0] * 4),
        COUNTS,
    ),
    "id900 threshold": (
        "idquantique.id900",
        ID900,
        lambda d: d.set_threshold_v(2, 0.5),
        [(b"INPU2:THRE 0.500000V", b"Threshold set"), *inputs(2, THRE=b"0.499712V")],
        MESSAGES,
    ),
    "id900 edge": (
        "idquantique.id900",
        ID900,
        lambda d: d.set_edge(4, Edge.FALLING),
        [(b"INPU4:EDGE FALLING", b""), *inputs(4, EDGE=b"FALLING")],
        MESSAGES,
    ),
    "id900 delay": (
        "idquantique.id900",
        ID900,
        lambda d: d.set_delay_ps(1, 4000),
        [(b"DELA1:VALU 4000", b"4000TB"), *inputs(1, VALU=b"4000TB")],
        MESSAGES,
    ),
    "id900 reference": (
        "idquantique.id900",
        ID900,
        lambda d: d.set_clock_reference(ClockReference.EXTERNAL),
        [(b"DEVI:SYNC EXTERNAL", b"EXTERNAL"), (b"DEVI:SYNC?", b"EXTERNAL")],
        MESSAGES,
    ),
    "id900 parameter": (
        "idquantique.id900",
        ID900,
        refuses(DeviceError, lambda d: d.set_delay_ps(1, 4000)),
        [(b"DELA1:VALU 4000", b"4000 SCPI_ERR_PARAM_TYPE")],
        MESSAGES,
    ),
    "id900 number": (
        "idquantique.id900",
        ID900,
        refuses(ProtocolError, lambda d: d.set_threshold_v(2, 0.5)),
        [(b"INPU2:THRE 0.500000V", b""), *inputs(2, THRE=b"0.499712W")[:2]],
        MESSAGES,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_byte_each_way(name):
    driver, opening, verb, exchanges, wire = CASES[name]
    follow(driver, opening, verb, exchanges, **wire)
