"""The MPC320 driver over a real pty against the simulator, under every option."""

import math

import pytest

from qhal.errors import DeviceError, OutOfRange, Unsupported, WrongDevice
from qhal_drivers.thorlabs import apt
from qhal_simulators.instruments.thorlabs import apt_messages as simulated_apt
from qhal_simulators.instruments.thorlabs import mpc320 as simulated

FAST = {"speed": 50.0}


@pytest.mark.parametrize(
    "options", [{}, {"noise": True}, {"long_move_completed": True}, {"velocity_percent": 100}]
)
def test_moves_end_on_target(bench, options):
    controller, background = bench("thorlabs.mpc320", **FAST, **options)
    assert controller.identity.serial_number == "38454784"
    reached = controller.set_angles_deg([45.0, 90.0, 120.0])
    assert reached == pytest.approx((45.0, 90.0, 120.0), abs=0.07)
    assert controller.set_angle_deg(2, 30.0) == pytest.approx(30.0, abs=0.07)
    seen = background.unit("thorlabs.mpc320").instrument.port.settings.angles_rad
    assert [math.degrees(angle) for angle in seen] == pytest.approx([45.0, 30.0, 120.0], abs=0.07)
    controller.home()
    assert controller.read_angles_deg() == (0.0, 0.0, 0.0)


def test_two_paddles(bench):
    controller, _ = bench("thorlabs.mpc320", model="MPC220", **FAST)
    assert controller.capabilities.paddles == 2
    assert len(controller.set_angles_deg([10.0, 20.0])) == 2
    with pytest.raises(OutOfRange, match="3 values of angle, 2 are needed"):
        controller.set_angles_deg([1.0, 2.0, 3.0])


def test_bad_input_sends_nothing(bench):
    controller, _ = bench("thorlabs.mpc320", **FAST)
    before = controller.health.exchanges
    with pytest.raises(Unsupported, match="paddle 4; there are 1 to 3"):
        controller.set_angle_deg(4, 10.0)
    with pytest.raises(OutOfRange, match=r"angle of paddle 2 170\.5 is not between 0 and 170 deg"):
        controller.set_angles_deg([10.0, 170.5, 10.0])
    assert controller.health.exchanges == before


def test_a_stuck_paddle_is_told(bench, mocker):
    controller, background = bench("thorlabs.mpc320", **FAST)
    unit = background.unit("thorlabs.mpc320").instrument
    mocker.patch.object(type(unit), "move_time_s", return_value=1e9)
    controller.clock.speed = 50.0
    with pytest.raises(DeviceError, match=r"paddles \[1\] did not arrive"):
        controller.set_angle_deg(1, 90.0)


@pytest.mark.parametrize("home_counts", [0, 403])
def test_homing_ends_at_the_home_position(bench, home_counts):
    controller, background = bench("thorlabs.mpc320", **FAST)
    controller.set_angles_deg([45.0, 90.0, 120.0])
    unit = background.unit("thorlabs.mpc320").instrument
    background.do(lambda: unit.parameters.__setitem__(2, home_counts))
    controller.home()
    assert controller.read_angles_deg() == pytest.approx([home_counts * 170 / 1370] * 3, abs=0.01)


@pytest.mark.parametrize(
    ("reported", "arrives", "said"),
    [(1, True, "has not reported"), (2, False, "home is 0.00 deg$"), (None, True, "has not reported")],
    ids=["by another paddle", "elsewhere", "never"],
)
def test_a_report_of_homing_is_believed_of_its_paddle_at_home(bench, mocker, reported, arrives, said):
    def home(connection, message):
        paddle = {1: 0, 2: 1, 4: 2}[message.param1]
        if paddle != 1 or arrives:
            connection._unit.positions[paddle] = 0
        if (ident := message.param1 if paddle != 1 else reported) is not None:
            connection._send(simulated_apt.short(0x0444, ident))

    mocker.patch.object(simulated._Apt, "_home", home)
    controller, _ = bench("thorlabs.mpc320", **FAST)
    controller.set_angles_deg([45.0, 90.0, 120.0])
    controller.clock.speed = 50.0
    with pytest.raises(DeviceError, match=f"paddle 2 is at .*{said}"):
        controller.home()


def test_restart_is_noticed(bench):
    controller, background = bench("thorlabs.mpc320", **FAST)
    controller.set_angles_deg([45.0, 90.0, 120.0])
    background.run(lambda: background.simulation.restart("thorlabs.mpc320"))
    assert controller.read_angles_deg() == pytest.approx((45.0, 90.0, 120.0), abs=0.07)
    assert controller.health.reconnects == 1


def test_another_serial_number(simulate):
    from qhal import open_device

    background = simulate("thorlabs.mpc320")
    with pytest.raises(WrongDevice, match="'38454784', '38000001' is expected"):
        open_device(
            "thorlabs.mpc320",
            background.address("thorlabs.mpc320"),
            expected={"serial_number": "38000001"},
        )


def test_requests_are_those_of_the_manual():
    assert apt.request(0x0005).hex(" ") == "05 00 00 00 50 01"
    assert apt.request(0x0490, 2).hex(" ") == "90 04 02 00 50 01"
    assert apt.request(0x0210, 7, 1).hex(" ") == "10 02 07 01 50 01"
    move = apt.request_with_data(0x0453, bytes.fromhex("01 00 90 01 00 00"))
    assert move.hex(" ") == "53 04 06 00 d0 01 01 00 90 01 00 00"
