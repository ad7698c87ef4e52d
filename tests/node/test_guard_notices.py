"""The notices of guards: for which of them a new owner waits, and what is refused as such."""

import logging
import os
import re
import signal
import subprocess
import sys
import threading

import pytest

import qhal
from qhal.errors import Busy
from qhal.node.guard_lock import Notice, wait_for_guards
from tests.node.test_guard import background, bench, lit, owner

__all__ = ["background", "bench", "owner"]


def test_a_new_owner_waits_for_a_guard_that_has_not_begun(owner, bench, background, caplog):
    process, guard = owner("")
    os.kill(guard, signal.SIGSTOP)
    process.kill()
    # Until then it holds its lines. Its parent has not yet seen that it has ended.
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    waits = threading.Event()

    class Waits(logging.Handler):
        def emit(self, record):
            waits.set()

    handler = Waits(logging.WARNING)
    logging.getLogger("qhal").addHandler(handler)
    states = []

    def own():
        with qhal.open_node(bench()):
            states.append(lit(background)[0])

    try:
        thread = threading.Thread(target=own)
        thread.start()
        assert waits.wait(30)
    finally:
        logging.getLogger("qhal").removeHandler(handler)
        os.kill(guard, signal.SIGCONT)
    thread.join(50)
    assert states == [False]
    assert re.search(f"node .*: waits up to 60 s, .*: guard {guard} makes ", caplog.text)


def ended_process():
    return subprocess.Popen([sys.executable, "-c", ""])


def test_for_which_guards_a_new_owner_waits(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    addresses = {"a": "tcp://example:1", "b": "tcp://example:2"}
    wait_for_guards(addresses.values(), 0.0)  # the folder is absent
    notice = Notice(os.getpid(), "n", addresses)
    wait_for_guards(addresses.values(), 0.0)  # the owner lives
    notice.act()
    with pytest.raises(Busy, match=f"tcp://example:2: guard {os.getpid()} makes b of node 'n' safe"):
        wait_for_guards(["tcp://example:2"], 0.0)
    notice.done("b")
    wait_for_guards(["tcp://example:2"], 0.0)
    with pytest.raises(Busy, match="makes a of node"):
        wait_for_guards(addresses.values(), 0.0)
    notice.end()
    wait_for_guards(addresses.values(), 0.0)
    with ended_process() as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        notice = Notice(process.pid, "n", addresses)
        with pytest.raises(Busy):  # not yet reaped
            wait_for_guards(addresses.values(), 0.0)
    with pytest.raises(Busy):
        wait_for_guards(addresses.values(), 0.0)
    os.close(notice._descriptor)  # as of a guard that was killed
    wait_for_guards(addresses.values(), 0.0)
    assert list((tmp_path / f"qhal-{os.getuid()}").iterdir()) == []


@pytest.mark.parametrize("fault", ["a file", "a link", "open to others", "a folder in it", "not JSON"])
def test_a_bad_folder_of_notices_is_a_typed_error(fault, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    folder = tmp_path / f"qhal-{os.getuid()}"
    if fault == "a file":
        folder.touch()
    elif fault == "a link":
        folder.symlink_to(tmp_path)
    else:
        folder.mkdir(mode=0o700)
        notice = Notice(os.getpid(), "n", {"a": "tcp://example:1"})
        if fault == "open to others":
            folder.chmod(0o777)
        elif fault == "a folder in it":
            (folder / "guard-1.json").mkdir()
        else:
            os.pwrite(notice._descriptor, b"}", 0)
    with pytest.raises(Busy, match=str(folder)):
        wait_for_guards(["tcp://example:1"], 0.0)
    if fault in ("a file", "a link", "open to others"):
        with pytest.raises((OSError, Busy)):
            Notice(os.getpid(), "n", {})
