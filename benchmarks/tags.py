"""Time tags on one core, beside the peers that install: run in ``.venv-tags``, left out where that is not installed."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from benchmarks.runner import Outcome

ROOT = Path(__file__).parents[1]
ONE_THREAD = ("OMP_NUM_THREADS", "POLARS_MAX_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def outcomes() -> Iterator[Outcome]:
    python = ROOT / ".venv-tags" / "bin" / "python"
    if not python.exists():
        return
    environment = os.environ | dict.fromkeys(ONE_THREAD, "1") | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [python, "-W", "ignore", "-m", "benchmarks.tag_rates"],
        stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("{"):
                yield Outcome(**json.loads(line))
    if process.returncode:
        raise RuntimeError(f"benchmarks.tag_rates ended with {process.returncode}")
