"""The guard's own process: it waits for its owner to end, and then makes the node safe over its own connections.

Detectors' bias goes first, then quantum light, then attenuators close; devices of one danger in parallel. At each
device the safe command comes before anything is asked, the proof after it. A line that a dying owner still holds, or a
device that does not answer, is tried again: at once, reported after ``REPORT_S``, then with growing pauses for an hour.

It acts first and reports then, from threads of their own. SIGTERM is ignored while the owner lives, because a service
manager sends it to both; it ends a guard that has tried in vain for ``REPORT_S``. Signals of a terminal are ignored.
"""

import contextlib
import json
import logging
import os
import select
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from importlib import import_module
from types import FrameType
from typing import Any

from qhal.devices.device import Device
from qhal.devices.interface import SafeState
from qhal.devices.safety import hazard_of, in_order_of_danger, in_thread, open_and_make_safe, report
from qhal.errors import QhalError
from qhal.node.device_factory import make_clock, make_devices
from qhal.node.guard import ACT, DISARM, READY, SAFE
from qhal.node.guard_lock import Notice
from qhal.node.guard_report import Reports
from qhal.node.schema import parse_node

REPORT_S = 2.0
_GIVE_UP_S = 3600.0
_GIVE_UP_SIMULATED_S = 20.0
"""A stepped clock is a simulator's: instruments that are gone with it do not come back."""
_LAST_REPORTS_S = 5.0
_LOOK_MS = 200
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 5.0
_IGNORED = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)

Start = Callable[[Callable[[], Any]], "Future[Any]"]


class Rescue:
    """Makes devices safe, however long it takes; ``give_up`` ends what is in vain.

    ``say`` reports and must not wait; ``done`` is called with the name of each device that is safe.
    """

    def __init__(
        self,
        say: Callable[[str], object],
        done: Callable[[str], object],
        report_s: float = REPORT_S,
        give_up_s: float = _GIVE_UP_S,
    ) -> None:
        self.give_up = threading.Event()
        self._say = say
        self._done = done
        self._report_s = report_s
        self._give_up_s = give_up_s

    def all(self, devices: dict[str, Device], start: Start = in_thread) -> dict[str, SafeState | Exception]:
        """Make all devices safe in the order of danger; return how safe each is, or what failed at last."""
        actions = [(hazard_of(device), partial(self.one, name, device)) for name, device in devices.items()]
        return dict(zip(devices, in_order_of_danger(actions, start=start), strict=True))

    def one(self, name: str, device: Device) -> SafeState:
        """Make one device safe, trying again until it is. Raises what failed when it is given up."""
        started, pause_s, reported = time.monotonic(), _FIRST_PAUSE_S, False
        while True:
            try:
                state = open_and_make_safe(device)
            except BaseException as error:  # noqa: BLE001  # whatever a driver raises is tried again
                failure = error
            else:
                self._done(name)
                self._say(report({name: state}))
                return state
            self._close(device, failure)
            elapsed_s = time.monotonic() - started
            late = elapsed_s > self._report_s
            if late and not reported:
                self._say(f"{name}: NOT SAFE: {type(failure).__name__}: {failure}; trying again")
                reported = True
            if elapsed_s > self._give_up_s or (late and self.give_up.is_set()):
                raise failure
            # A service manager sends SIGTERM when the owner has died, too: before it is late that ends nothing.
            (self.give_up.wait if late else time.sleep)(pause_s)
            pause_s = min(1.5 * pause_s, _LONGEST_PAUSE_S)

    def _close(self, device: Device, failure: BaseException) -> None:
        try:
            device.close()
        except BaseException as error:  # noqa: BLE001  # as above
            failure.add_note(f"closing it failed, too: {type(error).__name__}: {error}")


def started_threads(number: int) -> ThreadPoolExecutor:
    """Return a pool of threads that run already, so that acting does not depend on whether one can start then."""
    pool = ThreadPoolExecutor(max(1, number))
    all_run = threading.Barrier(number + 1)
    for _ in range(number):
        pool.submit(all_run.wait)
    all_run.wait()
    return pool


def wait_for_owner(owner: int, ended: int | None) -> bool:
    """Return whether the owner has disarmed the guard, when it has, or has ordered it to act, or its end is sure.

    ``ended``: a descriptor that becomes readable when the owner ends; without one its process id is looked at.
    """
    poll, said = select.poll(), b""
    poll.register(0, select.POLLIN)
    if ended is not None:
        poll.register(ended, select.POLLIN)
    while True:
        ready = [descriptor for descriptor, _ in poll.poll(None if ended is not None else _LOOK_MS)]
        if 0 in ready or select.select([0], [], [], 0)[0]:
            piece = os.read(0, 4096)
            said += piece
            if not piece or ACT in said:
                return False
            if DISARM in said:
                return True
        elif ready or os.getppid() != owner:
            return False


def main() -> int:
    """Arm, wait for the owner, act. Exit code 0 when all is safe."""
    rescue: Rescue | None = None

    def terminate(number: int, frame: FrameType | None) -> None:
        if rescue is not None:
            rescue.give_up.set()

    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, terminate)
    _hold_standard_streams()
    logging.getLogger("qhal").addHandler(logging.NullHandler())  # the reports say all
    order = json.loads(_read_line())
    owner = int(order["owner"])
    ended = _watch(owner)
    try:
        file = parse_node(order["file"], "guard")
        devices = make_devices(file, make_clock(file))
        for device in devices.values():
            for module in device.connection.transport.loads_when_opened:
                import_module(module)
        threads = started_threads(len(devices))
        reports = Reports(f"qhal guard {os.getpid()}: node {file.node.name!r}: ")
    except (QhalError, ImportError, RuntimeError) as error:
        os.write(1, f"{type(error).__name__}: {error}\n".encode())
        return 2
    notice = _notice(owner, file.node.name, devices, reports)
    _answer(READY)
    if wait_for_owner(owner, ended):
        if notice is not None:
            notice.end()
        return 0
    if notice is not None:
        notice.act()
    limit_s = _GIVE_UP_SIMULATED_S if file.clock.mode == "stepped" else _GIVE_UP_S
    rescue = Rescue(reports.say, notice.done if notice is not None else _nothing, give_up_s=limit_s)
    reports.say("its owner did not disarm it; making safe")
    states = rescue.all(devices, threads.submit)
    failed = any(isinstance(state, Exception) for state in states.values())
    if not failed:
        _answer(SAFE)
    reports.say(report(states))
    if notice is not None:
        notice.end()
    reports.end(_LAST_REPORTS_S)
    return int(failed)


def _notice(owner: int, node: str, devices: dict[str, Device], reports: Reports) -> Notice | None:
    """Note what is watched; without a notice the guard does all the same, but a new owner does not wait for it."""
    try:
        return Notice(owner, node, {name: device.connection.address for name, device in devices.items()})
    except (OSError, QhalError) as error:
        reports.say(f"a new owner will not wait for this guard: it cannot note what it watches: {error}")
        return None


def _nothing(name: str) -> None:
    del name


def _answer(word: bytes) -> None:
    """Say a word to the owner, if it is still there."""
    with contextlib.suppress(OSError):
        os.write(1, word)


def _hold_standard_streams() -> None:
    """Open what the owner had closed, so that no report goes to a device that got the number of the error stream."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


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
    if owner != os.getppid():
        raise SystemExit(0)  # the owner is gone before anything was opened
    try:
        return os.pidfd_open(owner)
    except (OSError, AttributeError):
        return None


if __name__ == "__main__":
    # A library that hangs at the end of the interpreter must not keep a guard that has done its work.
    os._exit(main())
