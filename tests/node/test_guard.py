"""The guard process: what it may hold, when it acts, when it does not, and who waits for it."""

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import qhal
from qhal.devices.kind import SafeState
from qhal.errors import Busy, Disconnected, OpenFailed
from qhal.node.guard_lock import at_work, wait_for_guards
from qhal.node.guard_process import Rescue
from qhal.node.open import make_clock, make_devices
from qhal.node.schema import load_node_file
from tests.node.test_leaving import background, bench, light_up, lit

__all__ = ["background", "bench"]


def test_the_guard_holds_no_device_and_little_memory(bench):
    with qhal.open_node(bench(guard=True)) as node:
        pid = node._guard.pid
        held = {os.readlink(f"/proc/{pid}/fd/{n}") for n in os.listdir(f"/proc/{pid}/fd")}
        assert not [name for name in held if name.startswith(("socket:", "/dev/pts/"))]
        mapped = Path(f"/proc/{pid}/maps").read_text()
        assert "numpy" not in mapped
        assert "numba" not in mapped
        assert os.getsid(pid) == pid != os.getsid(0)
        assert rss_mb(pid) < 80
    with pytest.raises(ProcessLookupError):  # it has ended, and left no zombie
        os.kill(pid, 0)


def rss_mb(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmRSS")


def test_a_guard_that_cannot_be_started_is_an_error(bench, monkeypatch):
    path = bench(guard=True)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(OpenFailed, match=r"guard: Disconnected: .*No such file"):
        qhal.open_node(path)


@pytest.mark.parametrize("settings", [{"guard": False}, {"guard": True, "safe_on_failure": False}])
def test_no_guard_where_none_is_wanted(settings, bench):
    with qhal.open_node(bench(**settings)) as node:
        assert node._guard is None


def test_a_clean_end_leaves_the_hardware_and_signals_of_the_terminal_the_guard(bench, background):
    with qhal.open_node(bench(guard=True)) as node:
        light_up(node)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            os.kill(node._guard.pid, number)
        node.open()  # again: the same guard
    assert lit(background) == (True, True, True)


def test_a_guard_that_died_is_told(bench, caplog):
    with qhal.open_node(bench(guard=True)) as node:
        os.kill(node._guard.pid, signal.SIGKILL)
        node._guard._process.wait()
    assert "its guard ended before it" in caplog.text


def test_a_guard_that_does_not_start_is_an_error(bench, monkeypatch):
    path = bench(guard=True)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(OpenFailed, match=r"guard.* did not start"):
        qhal.open_node(path)


def test_the_guard_goes_on_where_the_owner_failed(bench, background, monkeypatch, caplog):
    def fails(emitting):
        raise Disconnected("laser: gone")

    node = qhal.open_node(bench(guard=True))
    guard = node._guard._process

    def slips():
        with node:
            light_up(node)
            monkeypatch.setattr(node.device("laser"), "_write_emitting", fails)
            raise ValueError("a slip")

    with pytest.raises(ValueError, match="a slip") as caught:
        slips()
    assert "NOT SAFE: Disconnected: gone" in "".join(caught.value.__notes__)
    assert guard.wait(60) == 0
    assert "made safe by its guard" in caplog.text
    guard.stdout.close()
    assert lit(background) == (False, False, False)


OWNER = """
import os, sys, time
import qhal
node = qhal.open_node(sys.argv[1])
node.source("laser").enable()
print(node._guard.pid, flush=True)
if sys.argv[2] == "fork" and os.fork() == 0:
    time.sleep(60)
if sys.argv[2] == "forget":
    del node
if sys.argv[2] == "stop":
    os.kill(os.getpid(), 19)
sys.stdin.readline()
"""


@pytest.fixture
def owner(bench):
    started = []

    def start(how):
        command = [sys.executable, "-c", OWNER, str(bench(guard=True)), how]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        started.append(process)
        return process, int(process.stdout.readline())

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def gone(pid):
    deadline = time.monotonic() + 50
    while os.path.exists(f"/proc/{pid}"):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_stopped_owner_is_left_alone(owner, background):
    process, guard = owner("stop")
    os.waitid(os.P_PID, process.pid, os.WSTOPPED)
    assert os.path.exists(f"/proc/{guard}")
    assert lit(background)[0]
    process.send_signal(signal.SIGCONT)
    process.kill()
    gone(guard)
    assert not lit(background)[0]


def test_a_forked_child_does_not_hide_the_end_of_the_owner(owner, background):
    process, guard = owner("fork")
    process.kill()
    gone(guard)
    assert not lit(background)[0]
    os.killpg(process.pid, signal.SIGKILL)


def test_forgetting_the_node_is_not_its_end_but_leaving_the_program_is(owner, background):
    process, guard = owner("forget")
    assert lit(background)[0]
    assert os.path.exists(f"/proc/{guard}")
    process.communicate(b"\n", timeout=50)
    assert process.returncode == 0
    gone(guard)
    assert not lit(background)[0]


def test_a_held_line_is_tried_until_it_is_free(bench, background):
    """Reported when it lasts; a new owner is told to wait; given up on demand."""
    file = load_node_file(bench())
    address, clock = file.devices["laser"].address, make_clock(file)
    told = queue.Queue()
    holder = make_devices(file, clock)["laser"].open()
    holder.enable()

    def rescue():
        work = Rescue("bench", report_s=0.0)
        work.tell = told.put
        device = make_devices(file, clock)["laser"]
        return work, threading.Thread(target=lambda: outcomes.append(work.all({"laser": device})["laser"]))

    outcomes = []
    work, thread = rescue()
    thread.start()
    assert "NOT SAFE: Disconnected" in told.get(timeout=30)
    with pytest.raises(Busy, match=f"guard {os.getpid()} makes laser of node 'bench' safe"):
        wait_for_guards([address], 0.05)
    work.give_up.set()
    thread.join(30)
    assert isinstance(outcomes.pop(), Disconnected)
    wait_for_guards([address], 0.05)
    assert lit(background)[0]
    work, thread = rescue()
    thread.start()
    assert "trying again" in told.get(timeout=30)
    holder.close()
    thread.join(30)
    clock.close()
    assert outcomes == [SafeState.VERIFIED]
    assert not lit(background)[0]


def test_two_guards_take_turns():
    entered, held = threading.Event(), []

    def second():
        with at_work("tcp://example:1", "b"):
            held.append("second")
            entered.set()

    with at_work("tcp://example:1", "a"):
        thread = threading.Thread(target=second)
        thread.start()
        assert not entered.wait(0.1)
        held.append("first")
    assert entered.wait(30)
    thread.join()
    assert held == ["first", "second"]
    wait_for_guards(["tcp://example:1", "tcp://example:2"], 0.0)
