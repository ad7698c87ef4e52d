"""The AWG5014 driver over a real socket, raw and through VISA, under every option."""

import numpy as np
import pytest

from qhal import open_device
from qhal.errors import DeviceError, OutOfRange, Unsupported

NAME = "tektronix.awg5014"


def ramp(points=960):
    return np.linspace(-1.0, 2.0, points)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"pending_error": True},
        {"reply_end": "crlf"},
        {"delete_unknown_is_error": False},
        {"model": "AWG5014"},
    ],
)
def test_play(bench, options):
    awg, background = bench(NAME, **options)
    port = background.unit(NAME).instrument.port
    for _ in range(2):
        awg.play({1: ramp(), 4: -ramp()}, 1.0e9)
    assert awg.read_running()
    assert port.settings.sample_rate_hz == 1.0e9
    assert port.settings.volts[1] == pytest.approx(ramp(), abs=3.0 / 16382)
    assert port.settings.volts[4] == pytest.approx(-ramp(), abs=3.0 / 16382)
    status = awg.status()
    assert status.outputs == (True, False, False, True)
    assert status.problems == ()
    awg.make_safe()
    assert not port.settings.running
    assert awg.status().outputs == (False,) * 4


def test_over_visa(simulate):
    background = simulate(NAME)
    host, port = background.address(NAME).removeprefix("tcp://").split(":")
    with open_device(NAME, f"TCPIP0::{host}::{port}::SOCKET") as awg:
        assert awg.identity.serial_number == "B010101"
        awg.play({2: ramp(100_000)}, 1.2e9)
        assert awg.read_running()


@pytest.mark.parametrize(
    ("volts", "rate", "error", "message"),
    [
        ({1: ramp(), 2: ramp(961)}, 1e9, OutOfRange, "different lengths"),
        ({1: 3 * ramp()}, 1e9, OutOfRange, "at most 4.5 Vpp fit"),
        ({1: ramp() + 5}, 1e9, OutOfRange, "offsets end at 2.25 V"),
        ({5: ramp()}, 1e9, Unsupported, "channel 5; there are 1 to 4"),
        ({1: ramp()}, 2e9, OutOfRange, "sample rate"),
        ({1: np.zeros(16_200_001, np.float32)}, 1e9, OutOfRange, "16200001 points"),
        ({1: np.array([np.nan, 0.0])}, 1e9, OutOfRange, "nan"),
        ({}, 1e9, OutOfRange, "a mapping of channel to volts is needed"),
    ],
)
def test_what_does_not_fit_is_not_sent(bench, volts, rate, error, message):
    awg, _ = bench(NAME)
    before = awg.health.exchanges
    with pytest.raises(error, match=message):
        awg.play(volts, rate)
    assert awg.health.exchanges == before


def test_refusals_of_the_instrument_are_errors(bench):
    awg, _ = bench(NAME)
    with pytest.raises(DeviceError, match="Settings conflict"):
        awg.start()
    with pytest.raises(DeviceError, match="output 1 is not on"):
        awg.set_output(1, True)


def test_restart_is_reported(bench):
    awg, background = bench(NAME)
    awg.play({1: ramp()}, 1e9)
    background.run(lambda: background.simulation.restart(NAME))
    assert not awg.read_running()
    assert awg.health.settings_changed["running"] == ("True", "False")
