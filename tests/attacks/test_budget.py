"""Every call ends in time: a dead unit, a flood, a peer that reads slowly, a reply that may still come."""

import logging
import socket
import threading
import time
from contextlib import ExitStack
from functools import partial

import pytest

from qhal.devices.declaration import ConnectionSpec
from qhal.errors import ConfigurationError, Disconnected, ProtocolError, QhalError, ReplyTimeout
from qhal.node.device_factory import make_device
from qhal.node.driver_registry import drivers, load_driver
from qhal.transport.address import Address
from qhal.transport.open import make_transport
from tests.attacks import dialects
from tests.attacks.middle import Faults, SerialMiddle, TcpMiddle, ZmqMiddle

TIMEOUT_S, LINE_DELAY_S = 0.3, 0.1
OWN_TIME_S = 1.0
"""What a busy machine may add; recovery adds two line delays, and a second for a new connection."""
BRIDGE = partial(TcpMiddle, bridge=True)
PAIRS = {
    "dd100": (SerialMiddle, dialects.Dd100),
    "dd100 bridge": (BRIDGE, dialects.Dd100),
    "ppcl550": (SerialMiddle, dialects.Ppcl550),
    "mpc320": (SerialMiddle, dialects.Mpc320),
    "polatis": (TcpMiddle, dialects.Polatis),
    "polatis visa": (TcpMiddle, dialects.VisaPolatis),
    "polatis visa serial": (SerialMiddle, dialects.VisaPolatis),
    "awg5014": (TcpMiddle, dialects.Awg5014),
    "websq": (TcpMiddle, dialects.WebSq),
    "id900": (ZmqMiddle, dialects.Id900),
}


@pytest.fixture
def through():
    """Open a driver through a man in the middle."""
    with ExitStack() as stack:

        def start(name):
            make, kind = PAIRS[name]
            middle = stack.enter_context(make(kind()))
            connections = {}
            if kind is dialects.WebSq:
                counts = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=64))
                connections = {"counts": f"tcp://127.0.0.1:{counts.getsockname()[1]}"}
            device = stack.enter_context(
                make_device(middle.dialect.model, middle.address, connections=connections)
            )
            device.connection.timeout_s, device.connection.line_delay_s = TIMEOUT_S, LINE_DELAY_S
            return device, middle

        yield start


def ask_until_good(device, middle):
    """Return how many calls it took."""
    for number in range(1, 20):
        try:
            assert middle.dialect.ask(device) == pytest.approx(middle.dialect.encoded(middle.number))
        except QhalError:
            continue
        return number
    raise AssertionError("it does not come back")


@pytest.mark.parametrize(
    "faults", [Faults(lost=1.0), Faults(flood=b"123,junk\r\n" * 50)], ids=["dead", "flood"]
)
@pytest.mark.parametrize("name", PAIRS)
def test_a_call_ends_in_time_and_the_unit_comes_back(through, name, faults, caplog):
    caplog.set_level(logging.CRITICAL)
    if name == "id900" and faults.flood:
        pytest.skip("libzmq itself drops a peer that does not speak its protocol")
    device, middle = through(name)
    middle.inject(faults)
    while faults.flood and not device.connection.reader.pending():
        time.sleep(0.001)
    for _ in range(5):
        started = time.monotonic()
        with pytest.raises((ReplyTimeout, ProtocolError, Disconnected)):
            middle.dialect.ask(device)
        assert time.monotonic() - started < TIMEOUT_S + 2 * LINE_DELAY_S + 1.0 + OWN_TIME_S
    middle.inject(Faults())
    assert ask_until_good(device, middle) < 6


@pytest.mark.parametrize("form", ["tcp://127.0.0.1:{}", "visa:TCPIP::127.0.0.1::{}::SOCKET?backend=@py"])
def test_a_write_ends_in_time_however_slowly_the_peer_reads(form):
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

        def read_slowly():
            with server.accept()[0] as client:
                while not stop.wait(0.05):
                    client.recv(10_000)

        reading = threading.Thread(target=read_slowly)
        reading.start()
        connection = make_transport(Address(form.format(server.getsockname()[1])))
        connection.open(time.monotonic() + 5.0)
        started = time.monotonic()
        with pytest.raises(ReplyTimeout):
            connection.write(bytes(24 << 20), started + 0.3)
        assert time.monotonic() - started < 0.3 + OWN_TIME_S
        stop.set()
        connection.close()
        reading.join()


def test_an_interrupted_home_is_waited_for_aloud_and_no_longer_than_needed(bench, caplog):
    voa, _ = bench("ozoptics.dd100", homed=True, home_time_s=3.0, move_time_s=0.0)

    def interrupted(connection, deadline):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        voa.connection.exchange(b"H\r", interrupted, timeout_s=40.0)
    started = time.monotonic()
    with pytest.raises(ReplyTimeout, match=r"reply to b'H\\r' may still come, for 3\d\.\d s"):
        voa.read_attenuation_db()
    assert time.monotonic() - started < 1.0 + 2 * voa.connection.line_delay_s + OWN_TIME_S
    assert "waiting up to" in caplog.text
    while True:
        try:
            assert voa.read_attenuation_db() == 1.2
            break
        except ReplyTimeout:
            assert time.monotonic() - started < 20.0
    assert voa.health.reconnects == 0


@pytest.mark.parametrize("driver", sorted(drivers()))
def test_a_dead_unit_is_noticed_soon_and_late_replies_are_waited_for(driver):
    for name, spec in load_driver(driver).declaration.connections.items():
        assert spec.stale_reply_s > spec.timeout_s, name
        if "serial" in spec.schemes or driver == "singlequantum.websq":
            assert spec.timeout_s <= 1.0, name


@pytest.mark.parametrize("wrong", [{"timeout_s": 0.0}, {"line_delay_s": 0.0}, {"line_delay_s": float("nan")}])
def test_a_declaration_that_waits_for_nothing_is_refused(wrong):
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        ConnectionSpec(("serial",), **wrong)
