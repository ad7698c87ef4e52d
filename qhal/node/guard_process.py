"""The guard's own process: it waits for its owner to end, and then makes the node safe over its own connections.

Detectors' bias goes first, then quantum light, then attenuators close; devices of one danger in parallel. At each
device the safe command comes before anything is asked, the proof after it. A line that a dying owner still holds, or a
device that does not answer, is tried again: at once, reported after ``REPORT_S``, then with growing pauses for an hour.

SIGINT and SIGHUP are ignored. SIGTERM is ignored while the owner lives, because a service manager sends it to both; it
ends a guard that is trying in vain.
"""

import contextlib
import json
import logging
import os
import select
import signal
import sys
import syslog
import threading
import time
from functools import partial
from importlib import import_module
from types import FrameType

from qhal.devices.device import Device
from qhal.devices.kind import SafeState
from qhal.devices.safety import hazard_of, in_order_of_danger, kinds_of, report, worst
from qhal.errors import QhalError
from qhal.node.guard import DISARM, READY
from qhal.node.guard_lock import at_work
from qhal.node.open import make_clock, make_devices
from qhal.node.schema import parse_node
from qhal.transport.address import Address

REPORT_S = 2.0
_GIVE_UP_S = 3600.0
_GIVE_UP_SIMULATED_S = 20.0
"""A stepped clock is a simulator's: instruments that are gone with it do not come back."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 5.0
_LOADED_WHEN_OPENED = {"serial": "serial", "visa": "pyvisa"}


class Rescue:
    """Makes devices safe, however long it takes; ``give_up`` ends what is in vain."""

    def __init__(self, node: str, report_s: float = REPORT_S, give_up_s: float = _GIVE_UP_S) -> None:
        self.give_up = threading.Event()
        self._node = node
        self._report_s = report_s
        self._give_up_s = give_up_s

    def all(self, devices: dict[str, Device]) -> dict[str, SafeState | Exception]:
        """Make all devices safe in the order of danger; return how safe each is, or what failed at last."""
        actions = [(hazard_of(device), partial(self.one, name, device)) for name, device in devices.items()]
        return dict(zip(devices, in_order_of_danger(actions), strict=True))

    def one(self, name: str, device: Device) -> SafeState:
        """Make one device safe, trying again until it is. Raises what failed when it is given up."""
        started, pause_s, reported = time.monotonic(), _FIRST_PAUSE_S, False
        with at_work(device.port.link.address, f"{name} of node {self._node!r}"):
            while True:
                try:
                    return self._attempt(name, device)
                except Exception as error:  # a fault of a driver is tried again, too
                    device.close()
                    elapsed_s = time.monotonic() - started
                    if elapsed_s > self._report_s and not reported:
                        self.tell(f"{report({name: error})}; trying again")
                        reported = True
                    if elapsed_s > self._give_up_s or self.give_up.wait(pause_s):
                        raise
                    pause_s = min(1.5 * pause_s, _LONGEST_PAUSE_S)

    def tell(self, text: str) -> None:
        """Report on the owner's error stream, if that is still there, and in the system's log."""
        line = f"qhal guard {os.getpid()}: node {self._node!r}: {text}"
        with contextlib.suppress(OSError):
            os.write(2, line.encode("utf-8", "replace") + b"\n")
        syslog.syslog(syslog.LOG_WARNING, line)

    def _attempt(self, name: str, device: Device) -> SafeState:
        def command() -> None:
            for kind in kinds_of(device):
                kind.command_safe()

        device.open(first=command)
        state = worst(kind.make_safe() for kind in kinds_of(device))
        device.close()
        self.tell(report({name: state}))
        return state


def wait_for_owner(owner: int) -> bool:
    """Return whether the owner has disarmed the guard, when it has or its end is sure."""
    poll, said = select.poll(), b""
    poll.register(0, select.POLLIN)
    alive = _watch(owner)
    if alive is not None:
        poll.register(alive, select.POLLIN)
    while True:
        ready = [descriptor for descriptor, _ in poll.poll()]
        if 0 in ready or select.select([0], [], [], 0)[0]:
            piece = os.read(0, 4096)
            said += piece
            if DISARM in said:
                return True
            if not piece:
                return False
        else:
            return False


def main() -> int:
    """Arm, wait for the owner, act. Exit code 0 when all is safe."""
    rescue: Rescue | None = None

    def terminate(number: int, frame: FrameType | None) -> None:
        if rescue is not None:
            rescue.give_up.set()

    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, terminate)
    logging.getLogger("qhal").addHandler(logging.NullHandler())  # `tell` reports
    order = json.loads(_read_line())
    try:
        file = parse_node(order["file"], "guard")
        devices = make_devices(file, make_clock(file))
        for device in devices.values():
            scheme = Address(device.port.link.address).scheme
            if scheme in _LOADED_WHEN_OPENED:
                import_module(_LOADED_WHEN_OPENED[scheme])
    except (QhalError, ImportError) as error:
        os.write(1, f"{type(error).__name__}: {error}\n".encode())
        return 2
    os.write(1, READY)
    if wait_for_owner(int(order["owner"])):
        return 0
    limit_s = _GIVE_UP_SIMULATED_S if file.clock.mode == "stepped" else _GIVE_UP_S
    rescue = Rescue(file.node.name, give_up_s=limit_s)
    rescue.tell("its owner did not disarm it; making safe")
    states = rescue.all(devices)
    rescue.tell(report(states))
    return int(any(isinstance(state, Exception) for state in states.values()))


def _read_line() -> bytes:
    said = b""
    while not said.endswith(b"\n"):
        piece = os.read(0, 1)
        if not piece:
            raise SystemExit(0)  # the owner is gone before anything was opened
        said += piece
    return said


def _watch(owner: int) -> int | None:
    """Return a descriptor that becomes readable when the owner ends; None where the system has no such thing."""
    if owner != os.getppid() or not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(owner)
    except OSError:
        return None


if __name__ == "__main__":
    sys.exit(main())
