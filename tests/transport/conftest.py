"""Echo devices on each transport."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from qhal.transport.address import Address
from qhal.transport.open import make_transport
from qhal_simulators.instrument import Wire
from qhal_simulators.servers.background import Background
from tests.echo import EchoDevice, echo_simulation

TRANSPORTS = {"serial": Wire.PTY, "tcp": Wire.TCP, "visa": Wire.TCP, "zmq": Wire.ZMQ_REP}

Opened = tuple[EchoDevice, Background]


def address_of(transport: str, background: Background, name: str = "echo1") -> str:
    """Return the address by which a transport reaches an echo instrument."""
    address = background.address(name)
    if transport == "visa":
        host, port = address.removeprefix("tcp://").split(":")
        return f"visa:TCPIP0::{host}::{port}::SOCKET?backend=@py"
    return address


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def echo(transport: str) -> Iterator[Callable[[], Opened]]:
    """Start an echo instrument and open its driver over the transport."""
    with ExitStack() as stack:

        def start() -> Opened:
            background = stack.enter_context(echo_simulation(TRANSPORTS[transport]))
            device = EchoDevice(
                {"main": make_transport(Address(address_of(transport, background)))}, name="echo"
            )
            stack.callback(device.close)
            return device.open(), background

        yield start
