"""The ITLA driver over a real pty against the simulator, under every option."""

import pytest

from qhal.devices.power_meter import PowerMeter
from qhal.errors import Busy, DeviceError, OutOfRange

NAME = "purephotonics.ppcl550"
FAST = {"speed": 20.0}


@pytest.mark.parametrize(
    "options",
    [{}, {"ce_sense": 0}, {"constant_bit": False}, {"fcf_range_error": True}, {"initialising_s": 1.0}],
)
def test_tune_and_emit(bench, options):
    laser, background = bench(NAME, **FAST, **options)
    port = background.unit(NAME).instrument.port
    assert laser.identity.serial_number == "CRTMXC0001"
    assert not laser.read_emitting()
    assert laser.set_frequency_thz(194.4) == 194.4
    assert laser.set_power_dbm(10.0) == 10.0
    laser.enable()
    assert laser.read_emitting()
    assert (port.settings.enabled, port.settings.power_dbm, port.settings.frequency_thz) == (
        True,
        10.0,
        pytest.approx(194.4),
    )
    assert laser.status().power_dbm == 10.0
    assert laser.get(PowerMeter).read_power_dbm() == 10.0
    laser.make_safe()
    assert not port.settings.enabled
    assert laser.status().power_dbm is None
    assert laser.get(PowerMeter).read_power_dbm() is None


def test_opening_leaves_a_laser_as_it_is(bench):
    laser, background = bench(NAME, **FAST)
    laser.enable()
    laser.close()
    assert background.unit(NAME).instrument.port.settings.enabled
    laser.open()
    assert laser.read_emitting()


def test_bad_input_sends_nothing(bench):
    laser, _ = bench(NAME, **FAST)
    before = laser.health.exchanges
    with pytest.raises(OutOfRange, match=r"power 5\.9 is not between 6 and 13\.5 dBm"):
        laser.set_power_dbm(5.9)
    with pytest.raises(OutOfRange, match=r"frequency 200\.0 is not between 190\.95 and 197\.88 THz"):
        laser.set_frequency_thz(200.0)
    assert laser.health.exchanges == before


def test_no_retuning_while_emitting(bench):
    laser, _ = bench(NAME, **FAST)
    laser.enable()
    with pytest.raises(Busy, match="while it emits"):
        laser.set_frequency_thz(193.5)


def test_power_cycle_leaves_it_dark_and_is_reported(bench):
    laser, background = bench(NAME, **FAST)
    laser.enable()
    background.run(lambda: background.simulation.restart(NAME))
    assert not laser.read_emitting()
    assert laser.health.settings_changed["emitting"] == ("True", "False")


@pytest.mark.parametrize(
    ("stuck", "said"),
    [("enabled", r"the output is enabled and has -60 dBm"), ("lit", r"is disabled for 1 s and has 10 dBm")],
)
def test_a_laser_is_off_when_it_is_disabled_and_dark(bench, stuck, said):
    laser, _ = bench(NAME, **FAST, stuck=stuck)
    laser.connection.timeout_s = 10.0
    laser.enable()
    for turn_off in (laser.disable, laser.make_safe):
        with pytest.raises(DeviceError, match=said):
            turn_off()
    status = laser.status()
    assert status.emitting is None
    assert any("the output is" in problem for problem in status.problems)
