"""Golden bytes of the DD-100, both directions."""

import pytest

from qhal_simulators.clock import SimulationClock
from qhal_simulators.instruments.ozoptics.dd100 import Dd100, Dd100Options
from qhal_simulators.physics.ports import AttenuatorPort


def talk(*requests: bytes, **options: object) -> list[bytes]:
    """Return what the unit sends for each request."""
    unit = Dd100(SimulationClock(stepped=True), options=Dd100Options(**{"homed": True, **options}))
    sent: list[bytes] = []
    line = unit.connect("main", sent.append)
    replies = []
    for request in requests:
        line.receive(request)
        replies.append(b"".join(sent))
        sent.clear()
    return replies


@pytest.mark.parametrize("end", [b"\r", b"\r\n"])
def test_set_and_read_back(end):
    assert talk(b"A21.20" + end, b"D" + end, b"A?" + end) == [
        b"Pos:2000\r\nDone\r\n\r\n",
        b"DPos:2000\r\nATTEN:21.20\r\nDone\r\n\r\n",
        b"Atten:21.20(dB)\r\nDone\r\n\r\n",
    ]


def test_before_homing():
    assert talk(b"D\r", b"A?\r", b"H\r", b"S?\r", homed=False) == [
        b"DPos:5880\r\nATTEN:unknown\r\nDone\r\n\r\n",
        b"Atten: unknown\r\nDone\r\n\r\n",
        b"Diff=0\r\nDone\r\n\r\n",
        b"Pos:0\r\nDone\r\n\r\n",
    ]


def test_errors_and_their_trailer():
    assert talk(b"XYZ\r", b"A60.01\r", b"A0.5\r", b"A?\r") == [
        b"Error-2\r\nDone\r\n\r\n",
        b"Error-6\r\nDone\r\n\r\n",
        b"Error-6\r\nDone\r\n\r\n",
        b"Atten:60.00(dB)\r\nDone\r\n\r\n",
    ]
    assert talk(b"XYZ\r", error_trailer="none") == [b"Error-2\r\n"]


def test_echo_and_split_commands():
    assert talk(b"E1\r", b"S?\r", b"E0\r", b"S?\r")[1] == b"S?\rPos:5880\r\nDone\r\n\r\n"
    assert talk(b"A3", b"0.0", b"0\r")[2] == b"Pos:2880\r\nDone\r\n\r\n"
    assert talk(b"S100\rS+50\rF\rB\r")[0].count(b"Done") == 4


def test_light_sees_the_motor_on_its_way():
    clock, port, seen = SimulationClock(stepped=True), AttenuatorPort(), []
    unit = Dd100(clock, port, options=Dd100Options(homed=True, move_time_s=0.2))
    port.on_change = lambda: seen.append((round(clock.now_s(), 6), round(port.attenuation_db, 6)))
    unit.connect("main", lambda data: None).receive(b"A20\r")
    assert seen == [(round(0.02 * n, 6), 60.0 - 4.0 * n) for n in range(1, 11)]
