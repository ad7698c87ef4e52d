"""Golden bytes of the DD-100, both directions."""

import math

import numpy as np
import pytest

from qhal_simulators.instruments.ozoptics.dd100 import Dd100, Dd100Options
from qhal_simulators.physics.ports import AttenuatorSettings, Part, Port
from qhal_simulators.simulated_time import SimulationClock


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
    clock, seen = SimulationClock(stepped=True), []
    port = Port(
        AttenuatorSettings(),
        lambda: seen.append((round(clock.now_s(), 6), round(port.settings.attenuation_db, 6))),
    )
    unit = Dd100(clock, Part(port), options=Dd100Options(homed=True, move_time_s=0.2))
    seen.clear()
    unit.connect("main", lambda data: None).receive(b"A20\r")
    assert seen == [(round(0.02 * n, 6), 60.0 - 4.0 * n) for n in range(1, 11)]


ERRORS = {
    "offset_error_db": 0.3,
    "slope_error": -0.02,
    "ripple_db": 0.1,
    "ripple_period_db": 8.0,
    "ripple_phase_rad": 0.5,
}


def expected_db(set_db):
    return set_db + 0.3 - 0.02 * set_db + 0.1 * math.sin(2 * math.pi * set_db / 8.0 + 0.5)


def test_an_imperfect_unit_says_its_set_point_and_gives_another_loss():
    sent, seen = [], []
    port = Port(AttenuatorSettings(), lambda: seen.append(port.settings.attenuation_db))
    unit = Dd100(SimulationClock(stepped=True), Part(port), Dd100Options(homed=True, **ERRORS))
    line = unit.connect("main", sent.append)
    assert unit.port.settings.attenuation_db == pytest.approx(expected_db(60.0))
    seen.clear()
    line.receive(b"A21.20\rA?\r")
    assert b"".join(sent) == b"Pos:2000\r\nDone\r\n\r\nAtten:21.20(dB)\r\nDone\r\n\r\n"
    assert unit.port.settings.attenuation_db == pytest.approx(expected_db(21.2))
    assert seen == pytest.approx([expected_db(60.0 - 3.88 * n) for n in range(1, 11)])


def test_each_move_ends_a_little_off():
    def losses(seed):
        options = Dd100Options(homed=True, move_time_s=0, repeatability_db=0.05, seed=seed)
        unit = Dd100(SimulationClock(stepped=True), options=options)
        line = unit.connect("main", lambda data: None)
        found = []
        for _ in range(400):
            line.receive(b"A20\r")
            found.append(unit.port.settings.attenuation_db)
        return np.array(found)

    off = losses(1) - 20.0
    assert abs(off.mean()) < 4 * 0.05 / 20
    assert abs(off.std() / 0.05 - 1) < 4 / math.sqrt(800)
    assert abs(np.corrcoef(off[1:], off[:-1])[0, 1]) < 4 / 20
    assert np.array_equal(losses(1), losses(1))
    assert not np.isin(losses(2), losses(1)).any()


def test_errors_that_would_amplify_are_refused():
    with pytest.raises(ValueError, match=r"true loss at 1.2 dB could be -0.80 dB.*offset_error_db"):
        Dd100Options(offset_error_db=-2.0)


def test_an_insertion_loss_shifts_the_scale_and_moves_nothing():
    replies = talk(
        b"A20.00\r",
        b"L2.00\r",
        b"A?\r",
        b"A1.99\r",
        b"A60.80\r",
        b"S?\r",
        b"CD\r",
        b"L99\r",
        b"RST\r",
        b"CD\r",
    )
    assert replies[1:6] == [
        b"Done\r\n\r\n",
        b"Atten:20.80(dB)\r\nDone\r\n\r\n",
        b"Error-6\r\nDone\r\n\r\n",
        b"Pos:5880\r\nDone\r\n\r\n",
        b"Pos:5880\r\nDone\r\n\r\n",
    ]
    assert b"IL: 2.00\r\nMAX ATTEN: 60.80\r\n" in replies[6]
    assert replies[7] == b"Error-6\r\nDone\r\n\r\n"
    assert b"IL: 1.20\r\nMAX ATTEN: 60.00\r\n" in replies[9], "forgotten by a restart"
