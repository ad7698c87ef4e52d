"""Serial lines that another program used before, or wants to use meanwhile."""

import fcntl
import os
import random
import subprocess
import sys

import pytest

from qhal.errors import Disconnected
from qhal.node.device_factory import open_device
from qhal.node.driver_registry import drivers, load_driver

SERIAL = sorted(
    name for name in drivers() if "serial" in load_driver(name).declaration.connections["main"].schemes
)
TIOCGEXCL = 0x80045440
REST = {
    "ozoptics.dd100": [b"A", b"\x12\x00\x00\x00\x50\x01", b"H2 spam", b"CD\rA?\rCD\r", b"\xff\x00"],
    "thorlabs.mpc320": [bytes(range(0x41, 0x41 + n)) for n in range(1, 6)]
    + [b"\x05", bytes.fromhex("90 04 01")],
    "purephotonics.ppcl550": [
        b"CD\r",
        b"\x00",
        b"\x00\x00",
        bytes.fromhex("20 02"),
        bytes.fromhex("81 31 03"),
    ],
}
REMEMBERS = {
    "thorlabs.mpc320": {"message_timeout_s": 1000.0},
    "purephotonics.ppcl550": {"frame_timeout_s": 1000.0},
}
"""Units that do not forget an unfinished message after a pause."""


@pytest.mark.parametrize("driver", SERIAL)
@pytest.mark.parametrize("case", range(5))
@pytest.mark.parametrize("forgets", [True, False])
def test_opening_ends_what_another_program_left_half_said(simulate, driver, case, forgets):
    options = {} if forgets else REMEMBERS.get(driver, {})
    background = simulate(driver, **options)
    address = background.address(driver)
    rest = REST[driver][case] if driver in REST else random.Random(case).randbytes(case + 1)
    line = os.open(address.removeprefix("serial://"), os.O_WRONLY | os.O_NOCTTY)
    os.write(line, rest)
    os.close(line)
    with open_device(driver, address) as device:
        before = device.status().model_dump(exclude={"time"})
        assert device.status().model_dump(exclude={"time"}) == before
        assert device.health.losses == 0
        assert device.health.state == "ready"


@pytest.mark.parametrize("driver", SERIAL)
def test_a_line_is_kept_to_one_program(simulate, driver):
    background = simulate(driver)
    address = background.address(driver)
    with open_device(driver, address):
        assert in_exclusive_use(address)
        with pytest.raises(Disconnected, match=rf"in use by this program \(process {os.getpid()}\)"):
            open_device(driver, address)
    assert not in_exclusive_use(address)


def test_the_program_that_uses_a_line_is_named(simulate):
    driver = SERIAL[0]
    address = simulate(driver).address(driver)
    script = f"import qhal; qhal.open_device({driver!r}, {address!r}); print('open', flush=True); input()"
    holder = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(Disconnected, match=rf"in use by python\S* \(process {holder.pid}\)"):
            open_device(driver, address)
        holder.communicate("\n", timeout=60)
    with open_device(driver, address) as device:
        assert device.status()


@pytest.mark.parametrize("driver", SERIAL)
def test_a_killed_program_does_not_keep_a_simulated_line(simulate, driver):
    background = simulate(driver)
    address = background.address(driver)
    script = f"import os, qhal; qhal.open_device({driver!r}, {address!r}); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", script], check=False, timeout=60)
    while in_exclusive_use(address):
        background.do(lambda: None)
    with open_device(driver, address) as device:
        assert device.status()


def in_exclusive_use(address):
    """Tell whether others are refused (root, who runs many tests, never is)."""
    line = os.open(address.removeprefix("serial://"), os.O_RDWR | os.O_NOCTTY)
    try:
        return fcntl.ioctl(line, TIOCGEXCL, bytes(4)) != bytes(4)
    finally:
        os.close(line)
