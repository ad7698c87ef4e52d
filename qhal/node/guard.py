"""The guard of a node, seen from its owner: a process that makes the node safe when the owner dies.

It holds one end of a pipe. A node that is closed in good order says so on it; a pipe that breaks without a word, or an
owner that has ended, is what the guard acts on (:mod:`qhal.node.guard_process`).
"""

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from typing import Self

from qhal.errors import Disconnected
from qhal.node.schema import NodeFile

_READY_S = 60.0
_STOP_S = 10.0
_HANDED_OVER_S = 10.0
DISARM = b"disarm\n"
READY = b"ready\n"

_armed: "set[Guard]" = set()
"""Kept until they are disarmed, so that a pipe breaks only when the process ends, not when a Node is forgotten."""


class Guard:
    """A guard process for some devices of a node file. ``ready`` waits until it can act without delay."""

    def __init__(self, file: NodeFile, names: frozenset[str]) -> None:
        self._name = file.node.name
        self._owner = os.getpid()
        self._is_ready = False
        devices = {name: table for name, table in file.devices.items() if name in names}
        guarded = file.model_copy(update={"devices": devices, "paths": {}, "clock_tree": {}, "records": ()})
        content = guarded.model_dump(mode="json", include={"node", "clock", "devices"})
        order = json.dumps({"owner": self._owner, "file": content}).encode() + b"\n"
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "qhal.node.guard_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(os.path.abspath(path) for path in sys.path)},
            start_new_session=True,  # the terminal's signals are the owner's business
        )
        _armed.add(self)
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # then `ready` tells
            self._process.stdin.write(order)
            self._process.stdin.flush()

    @property
    def pid(self) -> int:
        """Process id of the guard."""
        return self._process.pid

    def ready(self) -> Self:
        """Return when the guard has loaded its drivers. Raises Disconnected when it does not start."""
        assert self._process.stdout is not None
        deadline, said = time.monotonic() + _READY_S, b""
        while not self._is_ready:
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not select.select([self._process.stdout], [], [], left_s)[0]:
                raise Disconnected(f"guard of node {self._name!r}: not ready after {_READY_S:g} s")
            piece = os.read(self._process.stdout.fileno(), 4096)
            if not piece:
                reason = said.decode("utf-8", "replace").strip() or f"exit code {self._process.wait()}"
                raise Disconnected(f"guard of node {self._name!r} did not start: {reason}")
            said += piece
            self._is_ready = READY in said
        return self

    def hand_over(self) -> bool:
        """Let the guard act now, on what the owner could not make safe itself; return whether it soon succeeds."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        _armed.discard(self)
        try:
            return self._process.wait(_HANDED_OVER_S) == 0
        except subprocess.TimeoutExpired:
            return False

    def disarm(self) -> bool:
        """End the guard, which then touches nothing; return whether it was there until now. Idempotent."""
        if self not in _armed or os.getpid() != self._owner:  # a forked child does not speak for the owner
            return True
        was_there = self._process.poll() is None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(DISARM)
            self._process.stdin.flush()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        _armed.discard(self)
        return was_there
