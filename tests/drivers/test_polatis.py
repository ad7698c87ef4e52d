"""The Polatis driver over a real socket, raw and through VISA, under every option."""

import pytest

from qhal import open_device
from qhal.devices.power_meter import PowerMeter
from qhal.errors import Busy, Unsupported, WrongDevice

NAME = "hubersuhner.polatis"


@pytest.mark.parametrize(
    "options",
    [{}, {"add_in_use": "error"}, {"reply_end": "lf"}, {"boot_mode": "REST"}, {"inputs": 8, "outputs": 24}],
)
def test_connect_and_disconnect(bench, options):
    switch, background = bench(NAME, **options)
    first = switch.capabilities.egress[0]
    switch.connect(1, first)
    switch.connect(2, first + 1)
    assert switch.read_pattern() == {1: first, 2: first + 1}
    switch.connect(1, first)
    with pytest.raises(Busy, match=f"1 is connected to {first}"):
        switch.connect(1, first + 2)
    with pytest.raises(Busy, match=f"2 is connected to {first + 1}"):
        switch.connect(3, first + 1)
    switch.disconnect(1)
    switch.set_pattern({3: first, 4: first + 1})
    assert switch.read_pattern() == {3: first, 4: first + 1}
    assert background.unit(NAME).instrument.pairs == {3: first, 4: first + 1}
    switch.make_safe()
    assert switch.status().pattern == {}


def test_reserved_paths(bench):
    switch, _ = bench(NAME)
    switch.connect(1, 17)
    switch.reserve(1, "key-link")
    for change in (
        lambda: switch.disconnect(1),
        lambda: switch.set_pattern({2: 18}),
        lambda: switch.reserve(1, "x"),
    ):
        with pytest.raises(Busy, match="reserved by 'key-link'"):
            change()
    switch.set_pattern({1: 17, 2: 18})
    switch.disconnect(1, owner="key-link")
    switch.release("key-link")
    switch.connect(1, 17)


def test_bad_input_sends_nothing(bench):
    switch, _ = bench(NAME)
    before = switch.health.exchanges
    for wrong in (
        lambda: switch.connect(0, 17),
        lambda: switch.connect(1, 16),
        lambda: switch.connect(17, 1),
    ):
        with pytest.raises(Unsupported, match="port"):
            wrong()
    with pytest.raises(Unsupported, match="two ingress ports on one egress"):
        switch.set_pattern({1: 17, 2: 17})
    assert switch.health.exchanges == before


def test_power_monitors_are_a_sub_device_where_they_are_fitted(bench):
    switch, background = bench(NAME)
    background.do(
        lambda: setattr(background.unit(NAME).instrument.readings, "power_dbm", {17: -3.2, 18: -40.0}.get)
    )
    meter = switch.get(PowerMeter)
    assert meter.read_power_dbm(17) == -3.2
    assert meter.read_power_dbm(18) is None
    with pytest.raises(Unsupported, match="no power monitor 33; there are 32 between 1 and 32"):
        meter.read_power_dbm(33)


def test_no_monitors_no_meter(bench):
    switch, _ = bench(NAME, monitors="none")
    with pytest.raises(Unsupported, match="no PowerMeter interface"):
        switch.get(PowerMeter)


def test_over_visa_and_wrong_shape(simulate):
    background = simulate(NAME)
    host, port = background.address(NAME).removeprefix("tcp://").split(":")
    with open_device(NAME, f"TCPIP0::{host}::{port}::SOCKET") as switch:
        switch.connect(1, 17)
        assert switch.read_pattern() == {1: 17}
    with pytest.raises(WrongDevice, match="shape is '16x16', '24x24' is expected"):
        open_device(NAME, background.address(NAME), expected={"shape": "24x24"})


def test_another_device_at_the_address(simulate):
    background = simulate("tektronix.awg5014")
    with pytest.raises(WrongDevice, match="expected a Polatis"):
        open_device(NAME, background.address("tektronix.awg5014"))


def test_monitors_of_the_outputs_only(bench):
    switch, _ = bench(NAME, monitors="outputs")
    meter = switch.get(PowerMeter)
    assert meter.capabilities.channels == tuple(range(17, 33))
    assert set(meter.status().power_dbm) == set(range(17, 33))
    with pytest.raises(Unsupported, match="no power monitor 1"):
        meter.read_power_dbm(1)
