"""The PM100D driver over a real socket, raw and through VISA: units, wavelength, dark sensor, identity."""

import pytest

from qhal import open_device
from qhal.errors import DeviceError, OutOfRange, WrongDevice

NAME = "thorlabs.pm100d"


@pytest.mark.parametrize("unit", ["W", "DBM"])
@pytest.mark.parametrize("power_dbm", [-40.0, -3.0, 10.0])
def test_power_in_either_unit(bench, unit, power_dbm):
    meter, _ = bench(NAME, unit=unit, power_dbm=power_dbm)
    assert meter.read_power_dbm() == pytest.approx(power_dbm, abs=0.02)
    assert meter.status().power_dbm == {1: pytest.approx(power_dbm, abs=0.02)}


@pytest.mark.parametrize("unit", ["W", "DBM"])
@pytest.mark.parametrize("dark_w", [-5e-10, 5e-11])
def test_a_dark_sensor_is_below_range(bench, unit, dark_w):
    meter, _ = bench(NAME, unit=unit, dark_w=dark_w)
    assert meter.read_power_dbm() is None
    status = meter.status()
    assert (status.below_range, status.problems) == ((1,), ())


def test_light_above_the_range_is_an_error(bench):
    meter, _ = bench(NAME, power_dbm=14.0)
    with pytest.raises(DeviceError, match=r"MEAS:POW"):
        meter.read_power_dbm()


def test_wavelength_corrects_the_reading(bench):
    meter, background = bench(NAME, power_dbm=0.0, light_nm=1310.0)
    assert meter.settings == {"wavelength_nm": 1550.0}
    assert meter.read_power_dbm() == pytest.approx(-0.73, abs=0.02)
    assert meter.set_wavelength_nm(1310.0) == 1310.0
    assert meter.read_power_dbm() == pytest.approx(0.0, abs=0.02)
    before = meter.health.exchanges
    for wrong in (50.0, float("nan"), "1550"):
        with pytest.raises(OutOfRange, match="wavelength"):
            meter.set_wavelength_nm(wrong)
    assert meter.health.exchanges == before
    with pytest.raises(DeviceError, match=r"SENS:CORR:WAV 532\.0: -222 Data out of range"):
        meter.set_wavelength_nm(532.0)
    meter.close()
    background.run(lambda: background.simulation.restart(NAME))
    assert meter.open().health.settings_changed == {"wavelength_nm": ("1310.0", "1550.0")}


@pytest.mark.parametrize("maker", ["Thorlabs", "THORLABS"])
@pytest.mark.parametrize("model", ["PM100D", "PM100USB", "PM400"])
def test_identity_has_the_sensor(bench, maker, model):
    meter, _ = bench(NAME, maker=maker, model=model)
    assert (meter.identity.model, meter.identity.shape) == (model, "sensor S155C 17042801")
    assert meter.capabilities.max_power_dbm == pytest.approx(13.01, abs=0.01)


def test_over_visa_and_another_device(simulate):
    background = simulate(NAME, power_dbm=-10.0)
    host, tcp_port = background.address(NAME).removeprefix("tcp://").split(":")
    with open_device(NAME, f"TCPIP0::{host}::{tcp_port}::SOCKET") as meter:
        assert meter.read_power_dbm() == pytest.approx(-10.0, abs=0.02)
    switch = simulate("hubersuhner.polatis")
    with pytest.raises(WrongDevice, match=r"a Polatis .* answers, expected a Thorlabs power meter"):
        open_device(NAME, switch.address("hubersuhner.polatis"))
