"""The log of the traffic: each message, bounded, and nothing at all unless it is asked for."""

import logging

import pytest

from qhal.transport.address import Address
from qhal.transport.frames import line
from qhal.transport.open import make_transport
from qhal.transport.tapped import LoggedTransport
from tests.echo import EchoDevice, echo_simulation
from tests.transport.conftest import TRANSPORTS, address_of


@pytest.mark.parametrize("recorded", [False, True])
def test_each_message_is_logged(transport, recorded, caplog, tmp_path):
    caplog.set_level(logging.DEBUG, "qhal.wire")
    with echo_simulation(TRANSPORTS[transport]) as background:
        address = address_of(transport, background)
        if recorded:
            address = f"record+{address}&trace={tmp_path / 'trace.txt'}"
        with EchoDevice({"main": make_transport(Address(address))}) as device:
            caplog.clear()
            assert device.ask(7) == 7
            device.connection.exchange(b"ASK \x00\x01" + b"x" * 1000 + b"\n", line())
        messages = [record.message for record in caplog.records if record.name == "qhal.wire"]
    assert messages[:2] == [rf"{address} > b'ASK 7\n'", rf"{address} < b'7\n'"]
    assert messages[2].startswith(rf"{address} > b'ASK \x00\x01xx")
    assert messages[2].endswith("x' and 807 bytes more")
    assert all(len(message) < 500 for message in messages)


def test_it_is_off_by_default(transport, caplog):
    with echo_simulation(TRANSPORTS[transport]) as background:
        device = EchoDevice({"main": make_transport(Address(address_of(transport, background)))})
        assert not isinstance(device.connection.transport, LoggedTransport)
        with device:
            device.ask(7)
    assert [record for record in caplog.records if record.name == "qhal.wire"] == []
