"""``import qhal`` against ``import numpy``, bare interpreter subtracted; and what it must not load."""

import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks.runner import Outcome

REPETITIONS = 15
HEAVY = ("serial", "pyvisa", "zmq", "numpy", "numba", "pydantic")


def outcomes() -> Iterator[Outcome]:
    best = {"pass": 1e9, "import qhal": 1e9, "import numpy": 1e9}
    for _ in range(REPETITIONS):
        for code in best:
            started = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            best[code] = min(best[code], time.perf_counter() - started)
    ours, theirs = (best[code] - best["pass"] for code in ("import qhal", "import numpy"))
    yield Outcome(
        "import qhal / import numpy",
        "at most",
        0.6,
        {"wall best": ours / theirs},
        f"{ours * 1e3:.1f} ms against {theirs * 1e3:.1f} ms",
    )
    code = f"import qhal, sys; print([m for m in {HEAVY} if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    found = loaded.stdout.strip()
    yield Outcome("heavy modules loaded by import qhal", "at most", 0, {"count": found.count("'") / 2}, found)
