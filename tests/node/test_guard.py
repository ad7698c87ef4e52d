"""The guard process: what it may hold, when it acts, when it does not, and who waits for it."""

import fcntl
import os
import queue
import resource
import signal
import subprocess
import sys
import termios
import threading
import time
from functools import partial
from pathlib import Path

import pytest

import qhal
from qhal.devices.device import Device
from qhal.devices.interface import SafeState
from qhal.errors import Disconnected, OpenFailed
from qhal.node.device_factory import make_clock, make_devices
from qhal.node.guard_process import Rescue
from qhal.node.schema import load_node_file
from tests.node.test_leaving import HOOKS, background, bench, light_up, lit

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
import atexit, os, signal, sys
import qhal
from qhal.errors import Disconnected

def fails(emitting):
    raise Disconnected("laser: gone")

def slips(node, broken=True):
    try:
        with node:
            node.source("laser").enable()
            if broken:
                node.device("laser")._write_emitting = fails
            raise ValueError("a slip")
    except ValueError:
        pass

class AtTheVeryEnd:
    def __del__(self):
        leave(ValueError, ValueError("a slip"), None)

path, how = sys.argv[1:]
if how == "no note":
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
if how == "children ignored":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
node = qhal.open_node(path)
node.source("laser").enable()
pid = node._guard.pid
if how in ("fork", "fork and fail") and os.fork() == 0:
    sys.stdin.readline()
    os._exit(0)
if how == "left by a child":
    child = os.fork()
    if child == 0:
        node.__exit__(ValueError, ValueError("a slip"), None)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
if how == "fork and fail":
    slips(node)
if how == "children ignored":
    os.kill(pid, signal.SIGKILL)
    slips(node)
if how == "full pipe":
    os.set_blocking(2, False)
    try:
        while True:
            os.write(2, bytes(4096))
    except BlockingIOError:
        os.set_blocking(2, True)
if how == "forget":
    del node
if how == "at exit":
    atexit.register(slips, node, False)
if how == "at the very end":
    leave, end = node.__exit__, AtTheVeryEnd()
print(pid, flush=True)
if how == "stop":
    os.kill(os.getpid(), signal.SIGSTOP)
sys.stdin.readline()
"""


@pytest.fixture
def owner(bench):
    started = []

    def start(how, settings=(), **options):
        command = [sys.executable, "-c", OWNER, str(bench(**{"guard": True, **dict(settings)})), how]
        options = {"stdin": subprocess.PIPE, "start_new_session": True, **options}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, **options)
        started.append(process)
        guard = process.stdout.readline()
        assert guard, process.communicate()
        return process, int(guard)

    yield start
    for process in started:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


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


@pytest.mark.parametrize("how", ["at exit", "at the very end"])
def test_leaving_while_the_interpreter_ends(how, owner, background):
    """No thread, or none in a pool, can start then."""
    process, guard = owner(how, stderr=subprocess.PIPE)
    assert lit(background)[0]
    _, errors = process.communicate(b"\n", timeout=50)
    gone(guard)
    assert not lit(background)[0]
    assert b"laser: safe" in errors


def test_a_forked_child_does_not_keep_the_guard_from_acting_where_the_owner_failed(owner, background):
    process, guard = owner("fork and fail", stderr=subprocess.PIPE)
    gone(guard)
    assert not lit(background)[0]
    _, errors = process.communicate(b"\n\n", timeout=50)
    assert b"made safe by its guard" in errors


def test_a_forked_child_leaves_the_node_to_its_parent(owner, background):
    process, guard = owner("left by a child", stderr=subprocess.PIPE)
    assert lit(background)[0]
    assert os.path.exists(f"/proc/{guard}")
    process.kill()
    gone(guard)
    assert not lit(background)[0]
    assert b"ended by" not in process.communicate()[1]


def test_success_of_a_guard_is_not_guessed_from_an_exit_code(owner):
    process, _ = owner("children ignored", stderr=subprocess.PIPE)
    _, errors = process.communicate(b"\n", timeout=50)
    assert b"not safe, and its guard has ended" in errors


def test_a_full_pipe_does_not_keep_the_guard_from_acting(owner, background):
    process, guard = owner("full pipe", stderr=subprocess.PIPE)
    process.kill()
    gone(guard)
    assert not lit(background)[0]


def test_without_room_for_its_notice_the_guard_says_so_and_acts(owner, background):
    process, guard = owner("no note", stderr=subprocess.PIPE)
    process.kill()
    gone(guard)
    assert not lit(background)[0]
    assert b"a new owner will not wait for this guard: " in process.communicate()[1]


def test_a_terminal_that_is_closed_does_not_end_the_guard(owner, background):
    """Nor one that stops what writes to it from the background."""
    main, terminal = os.openpty()
    settings = termios.tcgetattr(terminal)
    settings[3] |= termios.TOSTOP
    termios.tcsetattr(terminal, termios.TCSANOW, settings)

    def take_terminal():
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    process, guard = owner("", stdin=terminal, stderr=terminal, preexec_fn=take_terminal)
    os.close(terminal)
    process.send_signal(signal.SIGSTOP)  # so that it does not make safe itself
    os.close(main)
    process.kill()
    gone(guard)
    assert not lit(background)[0]


@pytest.mark.parametrize("closed", ["2>&-", "<&- 2>&-"])
def test_streams_that_the_owner_has_closed_are_not_a_devices(closed, bench, background):
    """A report must not go to a descriptor that has got the number of the error stream."""
    script = OWNER.replace("print(pid, flush=True)", "os.write(1, b'%d\\n' % pid); signal.pause()")
    command = [sys.executable, "-c", script, str(bench(guard=True)), ""]
    with subprocess.Popen(
        ["sh", "-c", f'exec "$@" {closed}', "sh", *command], stdout=subprocess.PIPE
    ) as process:
        guard = int(process.stdout.readline())
        assert {os.readlink(f"/proc/{guard}/fd/2")} == {os.devnull}
        process.kill()
        gone(guard)
    assert not lit(background)[0]


def test_a_held_line_is_tried_until_it_is_free(bench, background):
    """Reported when it lasts; given up on demand."""
    file = load_node_file(bench())
    clock = make_clock(file)
    said, done = queue.Queue(), []
    holder = make_devices(file, clock)["laser"].open()
    holder.enable()

    def rescue():
        work = Rescue(said.put, done.append, report_s=0.0)
        device = make_devices(file, clock)["laser"]
        return work, threading.Thread(target=lambda: outcomes.append(work.all({"laser": device})["laser"]))

    outcomes = []
    work, thread = rescue()
    thread.start()
    assert "NOT SAFE: Disconnected" in said.get(timeout=30)
    work.give_up.set()
    thread.join(30)
    assert isinstance(outcomes.pop(), Disconnected)
    assert not done
    assert lit(background)[0]
    work, thread = rescue()
    thread.start()
    assert "trying again" in said.get(timeout=30)
    holder.close()
    thread.join(30)
    clock.close()
    assert outcomes == [SafeState.VERIFIED]
    assert done == ["laser"]
    assert not lit(background)[0]


@pytest.mark.parametrize("fault", [ValueError("of a driver"), SystemExit(0), KeyboardInterrupt()], ids=repr)
def test_the_guard_tries_again_whatever_a_driver_raises(fault, bench, background, monkeypatch):
    """Also after a SIGTERM that came with the end of its owner."""
    with qhal.open_node(bench()) as node:
        light_up(node)
    file = load_node_file(bench())
    devices = {name: each for name, each in make_devices(file, make_clock(file)).items() if name in HOOKS}
    real_close, starts, closings = Device.close, dict.fromkeys(devices, 0), dict.fromkeys(devices, 0)

    def fails_first(device, real_start):
        starts[device.name] += 1
        if starts[device.name] == 1:
            raise fault
        real_start()

    def closes_and_fails_first(device):
        real_close(device)
        closings[device.name] += 1
        if closings[device.name] == 1:
            raise fault

    monkeypatch.setattr(Device, "close", closes_and_fails_first)
    for device in devices.values():
        monkeypatch.setattr(device, "_start", partial(fails_first, device, device._start))
    work = Rescue(lambda text: None, lambda name: None, report_s=30.0)
    work.give_up.set()
    states = work.all(devices)
    assert set(states.values()) == {SafeState.VERIFIED}
    assert lit(background) == (False, False, False)


def test_a_guard_of_a_process_with_many_descriptors(bench):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        with qhal.open_node(bench(guard=True)) as node:
            assert node._guard.is_alive
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
