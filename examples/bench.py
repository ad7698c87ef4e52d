"""A simulated bench in a process of its own, for the notebooks; with real instruments, open your own node file."""

import atexit
import json
import subprocess
import sys
from pathlib import Path


class SimulatedBench:
    """``qhal simulate NAME``, in stepped time: what takes a minute of the instruments takes a second here."""

    def __init__(self, name: str, folder: Path) -> None:
        self.node_file = folder / "bench.toml"
        command = [sys.executable, "-m", "qhal", "simulate", name, "--stepped", "--control"]
        self._process = subprocess.Popen(
            [*command, "--node-file", str(self.node_file), "--at", str(folder / "lines"), "--port-base", "0"],
            stdout=subprocess.PIPE,
            text=True,
        )
        atexit.register(self.stop)  # when a cell fails, too
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if "control" in json.loads(line):  # the last line: everything is up
                return
        raise RuntimeError(f"the simulator of {name} ended with exit code {self._process.wait()}")

    def stop(self) -> None:
        """End the simulator."""
        self._process.terminate()
        self._process.wait(20)
        assert self._process.stdout is not None
        self._process.stdout.close()
