"""A request that breaks the simulator itself is logged and refused; the next client is answered."""

import socket
import time
from functools import reduce

import pytest
import zmq

MESSAGE = "a fault of the simulator"
SECONDS = 60


def broken(*_):
    raise ZeroDivisionError(MESSAGE)


def test_zeromq(simulate, caplog, monkeypatch):
    background = simulate("idquantique.id900")
    unit = background.unit("idquantique.id900").instrument
    with zmq.Context() as context, context.socket(zmq.REQ) as link:
        link.linger, link.rcvtimeo = 0, SECONDS * 1000
        link.connect(background.address("idquantique.id900").removeprefix("zmq+"))
        with monkeypatch.context() as patch:
            patch.setattr(unit.table, "run", broken)
            link.send_string("*IDN?")
            assert link.recv_string().endswith("SCPI_ERR_PARAM_TYPE")
        link.send_string("*IDN?")
        assert "ID900" in link.recv_string()
    assert MESSAGE in caplog.text


@pytest.mark.parametrize(
    ("model", "method", "odd", "question", "answer"),
    [
        ("hubersuhner.polatis", "meter_dbm", b":PMON:POW? (@17)\n", b":SYST:ERR?\n", b"-300, "),
        ("tektronix.awg5014", "generator.run", b"AWGC:RUN\n", b"SYST:ERR?\n", b"-300,"),
        ("singlequantum.websq", "voltages", b'{"request": "BiasVoltage"}', b"", b'{"label": "ErrorMessage"'),
    ],
)
def test_tcp(simulate, caplog, monkeypatch, model, method, odd, question, answer):
    background = simulate(model)
    *parts, name = method.split(".")
    monkeypatch.setattr(reduce(getattr, parts, background.unit(model).instrument), name, broken)
    host, port = background.address(model).removeprefix("tcp://").split(":")
    with (
        socket.create_connection((host, int(port)), timeout=SECONDS) as first,
        socket.create_connection((host, int(port)), timeout=SECONDS) as other,
    ):
        first.sendall(odd)
        asked = other if question else first
        deadline = time.monotonic() + SECONDS
        reply = b""
        while not reply.startswith(answer) and time.monotonic() < deadline:
            asked.sendall(question)
            reply = asked.recv(100)
        assert reply.startswith(answer)
    assert MESSAGE in caplog.text


@pytest.mark.parametrize("odd", [[b"*IDN?" * (1 << 20)], [b"*IDN?", b"*IDN?"], [b""], [b"\xff" * 1000]])
def test_odd_messages_over_zeromq_leave_others_alone(simulate, odd):
    background = simulate("idquantique.id900")
    address = background.address("idquantique.id900").removeprefix("zmq+")
    with zmq.Context() as context, context.socket(zmq.REQ) as first, context.socket(zmq.REQ) as other:
        for link in (first, other):
            link.linger, link.rcvtimeo = 0, SECONDS * 1000
            link.connect(address)
        first.send_multipart(odd)
        for _ in range(3):
            other.send_string("*IDN?")
            assert "ID900" in other.recv_string()
