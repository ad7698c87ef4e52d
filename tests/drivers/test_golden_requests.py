"""Golden requests: what each driver puts on the wire, as the manuals and the vendors' own clients write it.

The ID900's requests over ZeroMQ are in ``test_id900.py``.
"""

import json

import numpy as np
import pytest

import qhal
from qhal_simulators.servers.background import Background

HOMED = {"homed": True, "move_time_s": 0}
CASES = {
    # OZ Optics: commands end with a carriage return alone.
    "dd100 attenuation": (
        "ozoptics.dd100",
        HOMED,
        lambda d: d.set_attenuation_db(20.0),
        [b"A20.00\r"],
    ),
    "dd100 home": ("ozoptics.dd100", HOMED, lambda d: d.home(), [b"H\r"]),
    "dd100 read": ("ozoptics.dd100", HOMED, lambda d: d.read_attenuation_db(), [b"A?\r"]),
    # Polatis SCPI: channel lists of equal length, the empty list to disconnect, an error query after each.
    "polatis connect": (
        "hubersuhner.polatis",
        {},
        lambda d: d.connect(1, 17),
        [b":OXC:SWIT:CONN:ADD (@1),(@17)\n", b":SYST:ERR?\n"],
    ),
    "polatis disconnect": (
        "hubersuhner.polatis",
        {},
        lambda d: (d.connect(1, 17), d.disconnect(1)),
        [b":OXC:SWIT:CONN:SUB (@1),(@)\n", b":SYST:ERR?\n"],
    ),
    "polatis pattern": (
        "hubersuhner.polatis",
        {},
        lambda d: d.set_pattern({1: 18, 2: 17}),
        [b":OXC:SWIT:CONN:ONLY (@1,2),(@18,17)\n", b":SYST:ERR?\n"],
    ),
    # APT issue 28: all paddles enabled by the mask 7, an absolute move with its 6 bytes of data (50 deg = 403 steps).
    "mpc320 move": (
        "thorlabs.mpc320",
        {},
        lambda d: d.set_angle_deg(1, 50.0),
        [bytes.fromhex("10 02 07 01 50 01"), bytes.fromhex("53 04 06 00 d0 01 01 00 93 01 00 00")],
    ),
    # OIF ITLA 1.2: register and value behind the checksum's four bits.
    "ppcl550 power": (
        "purephotonics.ppcl550",
        {},
        lambda d: d.set_power_dbm(10.0),
        [bytes.fromhex("61 31 03 e8")],
    ),
    "ppcl550 frequency": (
        "purephotonics.ppcl550",
        {"tune_time_s": 0.01},
        lambda d: d.set_frequency_thz(193.4),
        [bytes.fromhex("a1 35 00 c1"), bytes.fromhex("11 36 0f a0"), bytes.fromhex("31 30 00 01")],
    ),
    "ppcl550 light on and off": (
        "purephotonics.ppcl550",
        {"tune_time_s": 0.01},
        lambda d: (d.enable(), d.disable()),
        [bytes.fromhex("81 32 00 08"), bytes.fromhex("00 00 00 00"), bytes.fromhex("01 32 00 00")],
    ),
    # Tektronix: the manual's order of use, samples from 0 to 16382 (8191 is 0 V) in a definite-length block.
    "awg5014 play": (
        "tektronix.awg5014",
        {},
        lambda d: d.play({1: np.array([-0.5, 0.5] * 480)}, 1e9),
        [
            b"AWGC:STOP\n",
            b"SOUR1:FREQ 1.000000000E+09\n",
            b'WLIS:WAV:NEW "qhal_1",960,INT\n',
            b'WLIS:WAV:DATA "qhal_1",#41920' + b"\x00\x00\xfe\x3f" * 480 + b"\n",
            b'SOUR1:WAV "qhal_1"\n',
            b"OUTP1:STAT 1\n",
            b"AWGC:RUN\n",
        ],
    ),
    # Single Quantum: JSON as the manufacturer's client sends it.
    "websq enable": (
        "singlequantum.websq",
        {},
        lambda d: d.enable(),
        [{"command": "DetectorEnable", "label": "DetectorEnable", "value": True}],
    ),
    "websq bias": (
        "singlequantum.websq",
        {},
        lambda d: d.set_bias_ua([25.1, 27.1, 29.4, 28.8]),
        [{"command": "SetAllBiasCurrents", "label": "BiasCurrent", "value": [25.1, 27.1, 29.4, 28.8]}],
    ),
    "websq trigger level": (
        "singlequantum.websq",
        {},
        lambda d: d.set_trigger_mv([150.0] * 4),
        [{"command": "SetAllTriggerLevels", "label": "TriggerLevel", "value": [150.0] * 4}],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_requests_on_the_wire(name, mocker):
    model, options, verb, expected = CASES[name]
    with (
        Background.of(model, **options) as simulator,
        qhal.open_device(model, simulator.address(model), connections=simulator.connections(model)) as device,
    ):
        sent = mocker.spy(device.session.connection("main").transport, "write")
        verb(device)
    frames = [bytes(call.args[0]) for call in sent.call_args_list]
    assert expected == in_order(frames, expected)


def in_order(frames, expected):
    """Return those of ``frames`` that are expected, in the order they were sent, each once."""
    found, wanted = [], list(expected)
    for frame in frames:
        content = json.loads(frame) if wanted and isinstance(wanted[0], dict) else frame
        if wanted and content == wanted[0]:
            found.append(wanted.pop(0))
    return found
