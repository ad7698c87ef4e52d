"""Odd clients on real wires: while they are there, and after them, the driver gets the answers that it got before.

They leave half a request, close half a connection, read nothing of what they asked for, or speak another protocol.
"""

import contextlib
import os
import socket
import struct
import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from qhal.devices.device import Device
from qhal.errors import QhalError
from qhal.node.device_factory import open_device
from qhal.node.driver_registry import drivers
from qhal.transport.address import Address

QUESTIONS = {
    "singlequantum.websq": b'{"request": "labelProps", "value": "None"}\n',
    "idquantique.id900": b"*IDN?",
}
"""What reads only; for other drivers the first of their proofs."""
UNREAD_REQUESTS = 200
LONGEST_S = 40.0
MOST_UNREAD_BYTES = 1 << 20
HELLO_TLS = bytes.fromhex("160301020001000001fc0303") + bytes(200)
OTHER_PROTOCOLS = (
    HELLO_TLS,
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\xff" + bytes(8) + b"\x7f\x03\x00",
    b"\xff" * 64,
)
HALF_A_ZMQ_FRAME = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x00NULL" + bytes(48) + b"\x02" + b"\x7f" * 8

Client = Callable[[ExitStack, str, bytes], None]


def connection(stack: ExitStack, address: str) -> socket.socket:
    return stack.enter_context(socket.create_connection(Address(address).endpoint(), timeout=30.0))


def half_a_request(stack: ExitStack, address: str, question: bytes) -> None:
    connection(stack, address).sendall(question[: len(question) // 2])


def half_closed(stack: ExitStack, address: str, question: bytes) -> None:
    client = connection(stack, address)
    client.sendall(question)
    client.shutdown(socket.SHUT_WR)


def reset(stack: ExitStack, address: str, question: bytes) -> None:
    client = connection(stack, address)
    client.sendall(question)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def never_reads(stack: ExitStack, address: str, question: bytes) -> None:
    client = connection(stack, address)
    client.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        client.send((question * UNREAD_REQUESTS)[:MOST_UNREAD_BYTES])


def many(stack: ExitStack, address: str, question: bytes) -> None:
    for number in range(100):
        connection(stack, address).sendall(question[:number])


def other_protocols(stack: ExitStack, address: str, question: bytes) -> None:
    for greeting in (*OTHER_PROTOCOLS, HALF_A_ZMQ_FRAME):
        with contextlib.suppress(ConnectionError):
            connection(stack, address).sendall(greeting)


def on_a_line(address: str, data: bytes) -> None:
    line = os.open(Address(address).path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        os.write(line, data)
    os.close(line)


def unread_on_a_line(address: str, question: bytes) -> None:
    on_a_line(address, question * UNREAD_REQUESTS)


def half_on_a_line(address: str, question: bytes) -> None:
    on_a_line(address, question + question[: len(question) // 2])


CLIENTS: tuple[Client, ...] = (half_a_request, half_closed, reset, never_reads, many, other_protocols)


def open_patiently(device: Device) -> None:
    """Open once the replies to hundreds of requests are over; until then opening fails in order."""
    deadline = time.monotonic() + LONGEST_S
    while not device.is_open:
        try:
            device.open()
        except QhalError:
            if time.monotonic() > deadline:
                raise


@pytest.mark.parametrize("driver", sorted(drivers()))
def test_the_driver_is_answered_as_before(simulate, driver):
    background = simulate(driver)
    address, connections = background.address(driver), background.connections(driver)
    with ExitStack() as stack:
        device = stack.enter_context(open_device(driver, address, connections=connections))
        # The error queue of the AWG is one for all clients: it shows what others sent.
        others = {"time", "problems", "quality"} if driver == "tektronix.awg5014" else {"time"}
        before = device.status().model_dump(exclude=others)
        question = QUESTIONS.get(driver) or device._proofs()[0].request
        if Address(address).scheme == "serial":
            device.close()
            for client in (unread_on_a_line, half_on_a_line):
                client(address, question)
                open_patiently(device)
                assert device.status().model_dump(exclude=others) == before, client.__name__
                device.close()
            return
        device.connection.timeout_s = LONGEST_S  # a busy machine is no odd client
        standing = [connection for name, connection in connections.items() if not name.startswith("stream")]
        for client in CLIENTS:
            for each in (address, *standing):
                client(stack, each, question)
            assert device.status().model_dump(exclude=others) == before, client.__name__
            with open_device(driver, address, connections=connections) as other:
                assert other.status().model_dump(exclude=others) == before, client.__name__
        assert device.health.losses == device.health.protocol_errors == device.health.timeouts == 0
