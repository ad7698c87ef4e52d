"""The guard of a node, seen from its owner: a process that makes the node safe when the owner dies.

It holds one end of a pipe. A node that is closed in good order disarms it there, one that could not make itself safe
orders it to act; a pipe that breaks without a word, or an owner that has ended, is what it acts on unasked
(:mod:`qhal.node.guard_process`).
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
from qhal.transport.forking import forget_in_forked

_READY_S = 60.0
_STOP_S = 10.0
_HANDED_OVER_S = 10.0
DISARM = b"disarm\n"
ACT = b"act\n"
READY = b"ready\n"
SAFE = b"safe\n"

_armed: "set[Guard]" = set()
"""Kept until they are disarmed, so that a pipe breaks only when the process ends, not when a Node is forgotten."""


class _Pipe:
    """The owner's end of the pipe. A forked process closes it at once, so that it breaks when the owner ends."""

    def __init__(self) -> None:
        self.guards_end, self._descriptor = os.pipe()
        forget_in_forked(self)

    def write(self, line: bytes) -> None:
        """Write a line; a guard that has ended misses it, and its own end of the other pipe shows that."""
        with contextlib.suppress(OSError):
            while line:
                line = line[os.write(self._descriptor, line) :]

    def close(self) -> None:
        """Close this end."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def forget(self) -> None:
        """Close the end of a forked process."""
        self.close()


class Guard:
    """A guard process for some devices of a node file. ``ready`` waits until it can act without delay."""

    def __init__(self, file: NodeFile, names: frozenset[str]) -> None:
        self._name = file.node.name
        self._owner = os.getpid()
        self._is_ready = False
        self._said = b""
        devices = {name: table for name, table in file.devices.items() if name in names}
        guarded = file.model_copy(update={"devices": devices, "paths": {}, "clock_tree": {}, "records": ()})
        content = guarded.model_dump(mode="json", include={"node", "clock", "devices"})
        order = json.dumps({"owner": self._owner, "file": content}).encode() + b"\n"
        self._pipe = _Pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "qhal.node.guard_process"],
                stdin=self._pipe.guards_end,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(os.path.abspath(path) for path in sys.path)},
                start_new_session=True,  # the terminal's signals are the owner's business
            )
        except BaseException:
            self._pipe.close()
            raise
        finally:
            os.close(self._pipe.guards_end)
        _armed.add(self)
        self._pipe.write(order)

    @property
    def pid(self) -> int:
        """Process id of the guard."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the guard is there, as far as its owner can see."""
        return self._process.poll() is None

    def ready(self) -> Self:
        """Return when the guard has loaded its drivers. Raises Disconnected when it does not start."""
        try:
            self._is_ready = self._is_ready or self._hears(READY, _READY_S)
        except TimeoutError:
            raise Disconnected(f"guard of node {self._name!r}: not ready after {_READY_S:g} s") from None
        if not self._is_ready:
            reason = self._said.decode("utf-8", "replace").strip() or f"exit code {self._process.wait()}"
            raise Disconnected(f"guard of node {self._name!r} did not start: {reason}")
        return self

    def act(self) -> None:
        """Let the guard act now, on what the owner could not make safe itself. A forked process orders nothing."""
        if os.getpid() == self._owner:
            self._pipe.write(ACT)

    def hand_over(self) -> bool:
        """Let the guard act now and return whether it succeeds within 10 s; it keeps trying if it does not.

        Returns False in a forked process.
        """
        if os.getpid() != self._owner:
            return False
        self.act()
        try:
            succeeded = self._hears(SAFE, _HANDED_OVER_S)
            self._process.wait(_STOP_S)
        except (TimeoutError, subprocess.TimeoutExpired):
            return False
        self._forget()
        return succeeded

    def disarm(self) -> bool:
        """End the guard, which then touches nothing; return whether it was there until now. Idempotent."""
        if self not in _armed or os.getpid() != self._owner:  # a forked child does not speak for the owner
            return True
        was_there = self.is_alive
        self._pipe.write(DISARM)
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._forget()
        return was_there

    def _hears(self, word: bytes, limit_s: float) -> bool:
        """Return whether the guard says a word before it ends. Raises TimeoutError when it does neither in time.

        Its exit code is not asked: a program that reaps its children itself, or ignores SIGCHLD, takes that away.
        """
        assert self._process.stdout is not None
        descriptor, poll = self._process.stdout.fileno(), select.poll()
        poll.register(descriptor, select.POLLIN)
        deadline = time.monotonic() + limit_s
        while word not in self._said:
            if not poll.poll(max(0.0, 1e3 * (deadline - time.monotonic()))):
                raise TimeoutError
            piece = os.read(descriptor, 4096)
            if not piece:
                return False
            self._said += piece
        return True

    def _forget(self) -> None:
        assert self._process.stdout is not None
        self._pipe.close()
        self._process.stdout.close()
        _armed.discard(self)
