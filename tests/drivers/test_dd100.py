"""The DD-100 driver over a real pty against the simulator, under every option."""

import pytest

from qhal.errors import DeviceError, OutOfRange, ProtocolError, ReplyTimeout, WrongDevice
from qhal_drivers.ozoptics.dd100 import _limits

FAST = {"move_time_s": 0.0, "home_time_s": 0.0}


@pytest.mark.parametrize(
    "options", [{}, {"error_trailer": "none"}, {"echo": True}, {"insertion_loss_db": 0.9}]
)
def test_set_and_read(bench, options):
    voa, background = bench("ozoptics.dd100", homed=True, **FAST, **options)
    assert voa.set_attenuation_db(20.0) == 20.0
    assert voa.read_attenuation_db() == 20.0
    assert background.unit("ozoptics.dd100").instrument.port.settings.attenuation_db == 20.0
    voa.make_safe()
    assert voa.read_attenuation_db() == voa.capabilities.max_attenuation_db
    assert voa.status().attenuation_db == 60.0


@pytest.mark.parametrize(
    "text",
    [
        "DD-100-MC\nIL: 1.20\nMAX ATTEN: 60.00\nWAVELENGTH: 1550",
        "IL: 1.20 dB\nMAX ATTEN: 60.00 dB",
        "il:1.2(dB)\nMax Atten:60(dB)",
        "IL: 1.20, MAX ATTEN: 60.00, WAVELENGTH: 1550",
        "IL: 1.20 MAX ATTEN: 60.00 WAVELENGTH: 1550",
        "IL: 1.20dB; MAX ATTEN: 60.0 (dB);",
    ],
)
def test_limits_of_the_configuration(text):
    assert _limits(text) == (1.2, 60.0)


@pytest.mark.parametrize(
    "text",
    [
        "IL: 1.20\nMAX ATTEN: 6 0.00",
        "IL: 1.20\nMAX ATTEN: 6,0.00",
        "IL: 1,20\nMAX ATTEN: 60.00",
        "IL: 1.20\nMAX ATTEN: 60.00 steps",
        "IL: 1.20\nMAX ATTEN: 60.00 of 80.00",
        "IL: 1.20\nMAX ATTEN:",
        "IL: 1.20\nMAX ATTEN: \n60.00",
        "IL: 1.20 (1.50)\nMAX ATTEN: 60.00",
        pytest.param("IL:" + " " * 1_000_000 + "\nMAX ATTEN: 60.00", id="blanks"),
        pytest.param("IL:" + " a" * 500_000 + "\nMAX ATTEN: 60.00", id="words"),
    ],
)
def test_limits_that_are_no_number_as_a_whole_are_refused(text):
    with pytest.raises(ProtocolError, match=r"is not a number|unknown unit"):
        _limits(text)


def test_unknown_until_homed(bench):
    voa, _ = bench("ozoptics.dd100", **FAST)
    with pytest.raises(DeviceError, match="unknown before homing"):
        voa.read_attenuation_db()
    assert voa.status().attenuation_db is None
    voa.home()
    assert voa.read_attenuation_db() == voa.capabilities.min_attenuation_db


@pytest.mark.parametrize("wrong", [0.5, 60.01, float("nan"), -3.0])
def test_beyond_the_limits_nothing_is_sent(bench, wrong):
    voa, _ = bench("ozoptics.dd100", homed=True, **FAST)
    before = voa.health.exchanges
    with pytest.raises(OutOfRange, match=r"not between 1.2 and 60 dB"):
        voa.set_attenuation_db(wrong)
    assert voa.health.exchanges == before


@pytest.mark.parametrize("trailer", ["done", "none"])
@pytest.mark.parametrize(("fault", "text"), [(5, "home sensor error"), (7, "motor voltage unsafe")])
def test_faults_of_the_unit(bench, fault, text, trailer):
    voa, _ = bench("ozoptics.dd100", homed=True, fault=fault, error_trailer=trailer, **FAST)
    with pytest.raises(DeviceError, match=text):
        voa.set_attenuation_db(20.0)
    assert voa.read_attenuation_db() == 60.0


def test_lost_steps_are_told(bench):
    voa, _ = bench("ozoptics.dd100", lost_steps=7, **FAST)
    with pytest.raises(DeviceError, match="7 lost steps"):
        voa.home()


def test_power_cycle_is_reported(bench):
    voa, background = bench("ozoptics.dd100", homed=True, **FAST)
    voa.set_attenuation_db(20.0)
    background.run(lambda: background.simulation.restart("ozoptics.dd100"))
    assert voa.read_attenuation_db() == 60.0
    assert voa.health.settings_changed == {"attenuation_db": ("20.0", "60.0")}


def test_another_device_at_the_address(simulate):
    from qhal import open_device

    background = simulate("ozoptics.dd100", homed=True)
    with pytest.raises(WrongDevice, match=r"shape is '1\.20 to 60.00 dB'"):
        open_device(
            "ozoptics.dd100", background.address("ozoptics.dd100"), expected={"shape": "1.00 to 60.00 dB"}
        )


def test_no_answer_within_the_deadline(bench):
    voa, background = bench("ozoptics.dd100", homed=True, **FAST)
    background.unit("ozoptics.dd100").endpoints["main"].silent = True
    voa.connection.timeout_s, voa.connection.line_delay_s = 0.2, 0.1
    with pytest.raises(ReplyTimeout):
        voa.read_attenuation_db()
    background.unit("ozoptics.dd100").endpoints["main"].heal()
    voa.connection.timeout_s = 10.0
    assert voa.read_attenuation_db() == 60.0
