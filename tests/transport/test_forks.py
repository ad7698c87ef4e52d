"""What a forked process does with the transports of its parent disturbs nothing there and keeps nothing from it."""

import subprocess
import sys

import pytest

from tests.echo import echo_simulation
from tests.transport.conftest import TRANSPORTS, address_of

FORK = """
import fcntl, json, os, socket, sys, time, warnings
warnings.simplefilter("error")
from qhal.errors import Disconnected, QhalError
from qhal.transport.address import Address
from qhal.transport.address import Address
from qhal.transport.open import make_transport
from tests.echo import EchoDevice

address, record = sys.argv[1:]
device = EchoDevice({"main": make_transport(Address(address))}, name="echo").open()
transport = device.connection.transport
assert device.ask(1) == 1

def held():
    # how many descriptors of this process lead to the unit
    found = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
            if target.startswith("socket:"):
                with socket.socket(fileno=os.dup(int(name))) as each:
                    found += each.family == socket.AF_INET and each.getpeername() is not None
            found += target.startswith("/dev/pts/")
        except OSError:
            continue
    return found

terminals = sum(os.isatty(n) for n in range(3))
here = held() - terminals
assert here == 1, here
read_end, write_end = os.pipe()
child = os.fork()
if child == 0:
    os.close(write_end)
    assert held() - terminals == 0, "a descriptor is kept"
    soon = time.monotonic() + 5.0
    refused = 0
    for action in (
        lambda: device.ask(2), lambda: device.session.open_connection("main"),
        lambda: device.session.close_connection("main"),
        device.open,
        device.close, transport.close, lambda: transport.write(b"ASK 3\\n", soon),
        lambda: transport.read_chunk(soon, b"\\n"), lambda: transport.read_chunk(soon, 1), transport.readable,
        lambda: device.connection.reader.discard(soon), transport.close, device.close,
    ):
        try:
            action()
        except Disconnected:
            refused += 1
    assert refused == 6, refused
    os.read(read_end, 1)
    sys.exit(0)  # with all that runs at the end of a program
os.close(read_end)
assert [device.ask(n) for n in range(50)] == list(range(50))
if address.startswith("serial"):
    assert fcntl.ioctl(transport._descriptor, 0x80045440, bytes(4)) != bytes(4), "the line is not locked any more"
device.close()
with EchoDevice({"main": make_transport(Address(address))}, name="again") as again:
    assert again.ask(4) == 4
    os.close(write_end)
    assert os.waitpid(child, 0)[1] == 0
    assert [again.ask(n) for n in range(50)] == list(range(50))
    assert again.health.timeouts == again.health.losses == again.health.protocol_errors == 0
assert device.health.timeouts == device.health.losses == device.health.protocol_errors == 0
"""


@pytest.mark.parametrize("recorded", [False, True])
def test_a_forked_process_disturbs_and_keeps_nothing(transport, recorded, tmp_path):
    with echo_simulation(TRANSPORTS[transport]) as background:
        address = address_of(transport, background)
        if recorded:
            address = f"record+{address}&trace={tmp_path / 'trace.txt'}"
        done = subprocess.run(
            [sys.executable, "-c", FORK, address, ""], capture_output=True, text=True, timeout=60, check=False
        )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
