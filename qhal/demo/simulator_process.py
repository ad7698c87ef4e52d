"""A simulator in a process of its own, started as from the command line."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from qhal.errors import Disconnected
from qhal.transport.control import SimulatorControl

_STOP_S = 10.0


class SimulatorProcess:
    """``qhal simulate SCENARIO`` with a stepped clock, its node file and its control connection."""

    def __init__(self, scenario: str, seed: int | None, announce: Callable[[str], None]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="qhal-demo-")
        self.node_file = Path(self._folder.name) / "node.toml"
        self._announce = announce
        command = [sys.executable, "-m", "qhal", "simulate", scenario, "--stepped", "--control"]
        command += ["--node-file", str(self.node_file)]
        command += ["--at", str(Path(self._folder.name) / "lines"), "--port-base", "0"]
        command += [] if seed is None else ["--seed", str(seed)]
        self._command = command
        self._process: subprocess.Popen[str] | None = None
        self._control: SimulatorControl | None = None

    @property
    def control(self) -> SimulatorControl:
        """The control connection of the running simulator."""
        if self._control is None:
            raise Disconnected("the simulator is not running")
        return self._control

    def __enter__(self) -> Self:
        # In a session of its own: Ctrl-C on the terminal must not end it before its instruments are made safe.
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        assert self._process.stdout is not None
        for text in self._process.stdout:
            line = json.loads(text)
            if "control" in line:
                self._control = SimulatorControl(line["control"])
                return self
            self._announce(f"{line['name']}: {line['driver']} at {line['address']}")
        code = self._process.wait()
        self._folder.cleanup()
        raise Disconnected(f"the simulator ended with exit code {code} before it was ready")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()
        self._folder.cleanup()
