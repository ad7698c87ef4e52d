"""A typed query through a driver, against the bare library on the same server."""

import os
import socket
from collections.abc import Callable, Iterator
from functools import partial

import pyvisa
import serial
import zmq

from benchmarks.runner import Outcome, compare, server
from qhal.transport.address import Address
from qhal.transport.open import make_transport
from tests.echo import EchoDevice

QUERIES = 30
"""Of a round: shorter than the time slice of a scheduler, so that some rounds are undisturbed."""


def outcomes() -> Iterator[Outcome]:
    # One core for both sides: waking a sleeping core costs more than everything measured here, and
    # which connection has to is a matter of luck.
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        with server("benchmarks.echo_server") as at:
            tcp, visa = f"tcp://127.0.0.1:{at['tcp']}", f"TCPIP0::127.0.0.1::{at['tcp']}::SOCKET"
            yield measure("tcp query / raw socket", tcp, raw_socket(at["tcp"]), 1.3)
            yield measure("visa query / bare PyVISA-py", f"visa:{visa}?backend=@py", raw_visa(visa), 1.15)
            yield measure(
                "zmq query / bare pyzmq", f"zmq+tcp://127.0.0.1:{at['zmq']}", raw_zmq(at["zmq"]), 1.15
            )
            yield measure(
                "serial query / pyserial read_until", f"serial://{at['pty']}", raw_serial(at["pty"]), 0.45
            )
    finally:
        os.sched_setaffinity(0, cores)


def measure(name: str, address: str, baseline: Callable[[], object], bound: float) -> Outcome:
    transport = make_transport(Address(address))
    if address.startswith("serial"):
        # Both must have the one pty open at a time; the exclusive lock is the driver's alone.
        transport = _Shared(transport)
    with EchoDevice({"main": transport}) as device:
        return compare(name, partial(repeat, device.read), partial(repeat, baseline), bound, rounds=301)


def _Shared(transport):  # noqa: N802
    import fcntl
    import termios

    opened = transport.open

    def open_shared(deadline: float) -> None:
        opened(deadline)
        fcntl.flock(transport._descriptor, fcntl.LOCK_UN)
        fcntl.ioctl(transport._descriptor, termios.TIOCNXCL)

    transport.open = open_shared
    return transport


def repeat(query: Callable[[], object]) -> None:
    for _ in range(QUERIES):
        query()


def raw_socket(port: int) -> Callable[[], float]:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def query() -> float:
        connection.sendall(b"MEAS?\n")
        reply = connection.recv(4096)
        while reply[-1:] != b"\n":
            reply += connection.recv(4096)
        return float(reply)

    return query


def raw_visa(name: str) -> Callable[[], float]:
    resource = pyvisa.ResourceManager("@py").open_resource(
        name, read_termination="\n", write_termination="\n"
    )
    return lambda: float(resource.query("MEAS?"))


def raw_zmq(port: int) -> Callable[[], float]:
    peer = zmq.Context.instance().socket(zmq.REQ)
    peer.connect(f"tcp://127.0.0.1:{port}")

    def query() -> float:
        peer.send(b"MEAS?")
        return float(peer.recv())

    return query


def raw_serial(path: str) -> Callable[[], float]:
    line = serial.Serial(path, 9600, timeout=1)

    def query() -> float:
        line.write(b"MEAS?\n")
        return float(line.read_until(b"\n"))

    return query
