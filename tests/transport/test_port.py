"""A port over every transport: faults end in typed errors, and the next call works again."""

import os
import threading
import time

import pytest

from qhal.errors import Disconnected, ProtocolError, QhalError, ReplyTimeout, WrongDevice
from qhal.transport.connection import ConnectionState


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_asks_and_counts(echo):
    device, _ = echo()
    assert device.read() == 1.2345e-3
    assert [device.ask(n) for n in range(20)] == list(range(20))
    assert device.identity.serial_number == "0001"
    assert device.health.exchanges == 23
    assert device.health.timeouts == device.health.losses == 0


def test_open_and_close_are_idempotent_and_leak_nothing(echo):
    device, background = echo()
    device.close()
    descriptors, threads = open_descriptors(), threading.active_count()
    for _ in range(5):
        assert device.open() is device.open()
        assert device.ask(7) == 7
        device.close()
        device.close()
    background.run(_let_the_server_notice)
    # libzmq closes in a thread of its own and keeps a small pool; what leaks grows with the rounds.
    deadline = time.monotonic() + 20.0
    while open_descriptors() > descriptors + 2:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    assert threading.active_count() == threads


def ask_again(device, number):
    """Ask; a question that was on its way when the peer went may fail once."""
    try:
        assert device.ask(number) == number
    except (Disconnected, ReplyTimeout):
        assert device.ask(number) == number


async def _let_the_server_notice():
    import asyncio

    for _ in range(10):
        await asyncio.sleep(0)


def test_closed_device_refuses(echo):
    device, _ = echo()
    device.close()
    with pytest.raises(Disconnected, match="not open"):
        device.read()


def test_two_threads_on_one_port_get_their_own_answers(echo):
    device, _ = echo()
    wrong = []

    def ask(start):
        wrong.extend(n for n in range(start, start + 200) if device.ask(n) != n)

    threads = [threading.Thread(target=ask, args=(start,)) for start in (1000, 5000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("reset", [False, True])
def test_peer_gone_in_idle_then_back(echo, reset):
    device, background = echo()
    device.set(5)
    background.do(lambda: background.simulation.unplug("echo1", reset=reset))
    started = time.monotonic()
    with pytest.raises(QhalError) as failure:
        device.ask(1)
    assert isinstance(failure.value, Disconnected | ReplyTimeout)
    assert time.monotonic() - started < 5.0
    background.run(lambda: background.simulation.plug("echo1"))
    assert device.ask(2) == 2
    assert device.health.reconnects == 1
    assert device.health.settings_changed == {}


def test_peer_gone_in_a_command(echo):
    device, background = echo()
    endpoint = background.unit("echo1").endpoints["main"]
    endpoint.silent = True
    threading.Timer(0.1, lambda: background.do(lambda: background.simulation.unplug("echo1"))).start()
    with pytest.raises((Disconnected, ReplyTimeout)):
        device.ask(1)
    endpoint.heal()
    background.run(lambda: background.simulation.plug("echo1"))
    assert device.ask(2) == 2


def test_restart_is_noticed_and_lost_settings_are_reported_not_repaired(echo):
    device, background = echo()
    device.set(5)
    background.run(lambda: background.simulation.restart("echo1"))
    ask_again(device, 3)
    assert device.health.settings_changed == {"value": ("5", "0")}
    assert background.do(lambda: background.unit("echo1").instrument.value) == 0


def test_another_unit_at_the_address_is_refused(echo):
    device, background = echo()
    background.do(lambda: setattr(background.unit("echo1").instrument, "serial", "0002"))
    device.session.expected = {"serial_number": "0001"}
    background.run(lambda: background.simulation.restart("echo1"))
    with pytest.raises(WrongDevice, match=r"serial_number is '0002', '0001' is expected"):
        ask_again(device, 1)


def test_silence_taints_and_heals(echo):
    device, background = echo()
    endpoint = background.unit("echo1").endpoints["main"]
    background.do(lambda: setattr(endpoint, "silent", True))
    started = time.monotonic()
    with pytest.raises(ReplyTimeout, match=r"echo.*ASK 1.*no reply"):
        device.ask(1, timeout_s=0.2)
    assert 0.15 < time.monotonic() - started < 0.6
    assert device.connection.state is ConnectionState.TAINTED
    background.do(endpoint.heal)
    assert device.ask(2) == 2
    assert device.health.timeouts == 1


def test_surplus_bytes_are_an_error_and_never_an_answer(echo, transport):
    if transport == "zmq":
        pytest.skip("test_zeromq.py sends a second message; here it would be part of the first one")
    device, background = echo()
    background.do(lambda: setattr(_instrument(background), "answer", lambda text: "11\n22"))
    assert device.ask(11) == 11
    background.do(lambda: delattr(_instrument(background), "answer"))
    with pytest.raises(ProtocolError, match=r"22.*without a request"):
        device.ask(33)
    assert device.ask(44) == 44


def _instrument(background):
    return background.unit("echo1").instrument
