"""Requests and replies over ZeroMQ: numbered, surplus, from a unit that loses the number, too large."""

import threading
import time

import pytest
import zmq

from qhal.errors import Disconnected, ProtocolError
from qhal.transport.address import Address
from qhal.transport.connection import Connection, ConnectionState
from qhal.transport.frames import message
from qhal.transport.open import make_transport
from qhal.transport.settings import ZmqSettings
from qhal_simulators.instrument import Wire
from tests.echo import EchoDevice, echo_simulation


@pytest.fixture
def router():
    """A ROUTER on which a test answers by hand."""
    socket = zmq.Context.instance().socket(zmq.ROUTER)
    socket.linger, socket.rcvtimeo = 0, 10_000
    socket.bind("tcp://127.0.0.1:*")
    yield socket
    socket.close()


def url(socket):
    return f"zmq+{socket.last_endpoint.decode()}"


@pytest.fixture
def connection(router):
    transport = make_transport(Address(url(router)))
    transport.open(time.monotonic() + 10.0)
    connection = Connection(transport, "unit", timeout_s=10.0)
    connection.state = ConnectionState.READY
    yield connection
    transport.close()


def answering(router, *answers):
    """Answer one request in a thread: each answer is made from its envelope and content."""

    def serve():
        *envelope, request = router.recv_multipart()
        for answer in answers:
            router.send_multipart(answer(envelope, request))

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


def echoed(envelope, request):
    return [*envelope, request]


def test_a_second_reply_is_an_error_and_never_an_answer(connection, router):
    thread = answering(router, echoed, echoed)
    assert connection.exchange(b"1", message) == b"1"
    thread.join()
    with pytest.raises(ProtocolError, match="b'1' does not answer this request but another one"):
        connection.exchange(b"2", message)
    assert connection.state is ConnectionState.TAINTED


def test_a_reply_to_another_request_is_refused(connection, router):
    thread = answering(router, lambda envelope, request: [envelope[0], bytes(8), b"", b"old"])
    with pytest.raises(ProtocolError, match="b'old' does not answer this request but another one"):
        connection.exchange(b"1", message)
    thread.join()
    assert connection.state is ConnectionState.TAINTED


@pytest.mark.parametrize("stripped", [lambda e, r: [e[0], b"", r], lambda e, r: [e[0], r]])
def test_a_unit_that_loses_the_number_is_named(connection, router, stripped):
    thread = answering(router, stripped)
    with pytest.raises(ProtocolError, match="add correlate=false to the address"):
        connection.exchange(b"1", message)
    thread.join()


def test_a_stream_takes_messages_that_a_query_does_not(router):
    large = bytes(2 << 20)
    for streams, limit in ((True, 4 << 20), (False, 1 << 20)):
        settings = {"zmq+tcp": ZmqSettings(streams=streams)}
        transport = make_transport(Address(url(router)), settings)
        server = router
        if streams:
            server = zmq.Context.instance().socket(zmq.PAIR)
            server.linger = 0
            server.bind("tcp://127.0.0.1:*")
            transport = make_transport(Address(url(server)), settings)
        transport.max_frame_bytes = limit
        transport.open(time.monotonic() + 10.0)
        if streams:
            server.send(large)
            assert transport.read_chunk(time.monotonic() + 10.0, 1) == large
            server.close()
        else:
            thread = answering(router, lambda envelope, request: [*envelope, large])
            transport.write(b"1", time.monotonic() + 10.0)
            while not transport.readable():
                time.sleep(0.001)
            with pytest.raises(Disconnected):
                transport.read_chunk(time.monotonic() + 10.0, 1)
            thread.join()
        transport.close()


@pytest.mark.parametrize("returns_envelope", [True, False])
def test_either_kind_of_unit_is_served(returns_envelope):
    with echo_simulation(Wire.ZMQ_REP) as background:
        endpoint = background.unit("echo1").endpoints["main"]
        background.do(lambda: setattr(endpoint, "returns_envelope", returns_envelope))
        address = background.address("echo1")
        with EchoDevice({"main": make_transport(Address(f"{address}?correlate=false"))}) as device:
            assert [device.ask(number) for number in range(20)] == list(range(20))
        if returns_envelope:
            with EchoDevice({"main": make_transport(Address(f"{address}?correlate=true"))}) as device:
                assert device.ask(7) == 7
        else:
            with pytest.raises(ProtocolError, match="correlate=false"):
                EchoDevice({"main": make_transport(Address(address))}).open()


def test_a_plain_rep_socket_is_served():
    with zmq.Context.instance().socket(zmq.REP) as unit:
        unit.linger, unit.rcvtimeo = 0, 10_000
        unit.bind("tcp://127.0.0.1:*")

        def serve():
            for _ in range(6):
                unit.send(unit.recv())

        thread = threading.Thread(target=serve)
        thread.start()
        for option in ("", "?correlate=false"):
            transport = make_transport(Address(url(unit) + option))
            transport.open(time.monotonic() + 10.0)
            for question in (b"1", b"", b"3"):
                transport.write(question, time.monotonic() + 10.0)
                assert transport.read_chunk(time.monotonic() + 10.0, 1) == question
            transport.close()
        thread.join()
