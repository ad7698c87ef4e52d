"""Interleaved rounds of subject and baseline; a goal fails only when wall and CPU, median and best, all miss.

Machines are shared and noisy, so only ratios inside one run mean anything, and one lucky figure among
median and best of wall and process time is enough to show that the code itself is not at fault.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Outcome:
    """One goal: the ratios measured and the bound. ``wanted`` is "at most" or "at least"."""

    name: str
    wanted: str
    bound: float
    ratios: dict[str, float]
    detail: str = ""

    @property
    def met(self) -> bool:
        if self.wanted == "at most":
            return min(self.ratios.values()) <= self.bound
        return max(self.ratios.values()) >= self.bound

    def record(self) -> dict[str, object]:
        return {**asdict(self), "met": self.met}


@dataclass(slots=True)
class _Times:
    wall_s: list[float]
    cpu_s: list[float]


def processor() -> str:
    """The processor that the figures are of, how many of it, and the load that was on it before."""
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    names = {line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))}
    load = os.getloadavg()[0]
    return f"{', '.join(sorted(names)) or platform.machine()}, {os.cpu_count()} processors, load {load:.1f}"


def compare(
    name: str,
    subject: Callable[[], object],
    baseline: Callable[[], object],
    bound: float,
    *,
    wanted: str = "at most",
    rounds: int = 15,
) -> Outcome:
    """Time both by turns and return the ratio subject / baseline (of times: below 1 is faster)."""
    for warm_up in (subject, baseline):
        warm_up()
    times = {subject: _Times([], []), baseline: _Times([], [])}
    for number in range(rounds):
        for task in (subject, baseline) if number % 2 else (baseline, subject):
            wall, cpu = time.perf_counter(), time.process_time()
            task()
            times[task].cpu_s.append(time.process_time() - cpu)
            times[task].wall_s.append(time.perf_counter() - wall)
    ours, theirs = times[subject], times[baseline]
    ratios = {
        "wall median": statistics.median(ours.wall_s) / statistics.median(theirs.wall_s),
        "wall best": min(ours.wall_s) / min(theirs.wall_s),
        "cpu median": statistics.median(ours.cpu_s) / max(1e-9, statistics.median(theirs.cpu_s)),
        "cpu best": min(ours.cpu_s) / max(1e-9, min(theirs.cpu_s)),
    }
    detail = f"{min(ours.wall_s) * 1e3:.4g} ms against {min(theirs.wall_s) * 1e3:.4g} ms (best)"
    return Outcome(name, wanted, bound, ratios, detail)


@contextmanager
def server(module: str, *arguments: str) -> Iterator[Any]:
    """Run a module that prints its addresses as JSON, and serves until its input is closed."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()
