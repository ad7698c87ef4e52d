"""The demonstration over several seeds: within bounds, honest on average, and the same every time.

``make pulls`` runs 50 seeds; CI runs three.
"""

import json
import os
import subprocess
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

SECONDS = 4
FIRST_SEED = 500
pytestmark = pytest.mark.timeout(600)


def run_demo(seed: int, folder: Path, *more: str) -> dict:
    folder.mkdir()
    command = [sys.executable, "-m", "qhal", "demo", "--seconds", str(SECONDS), "--seed", str(seed)]
    done = subprocess.run(
        [*command, "--json", *more], capture_output=True, text=True, timeout=3000, cwd=folder
    )
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    assert found["passed"] == (done.returncode == 0)
    return found | {"output": done.stderr}


@pytest.fixture(scope="module")
def runs(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    seeds = [FIRST_SEED + n for n in range(request.config.getoption("--seeds"))]
    jobs = [(seeds[0], folder / "again"), *((seed, folder / str(seed)) for seed in seeds)]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return list(pool.map(lambda job: run_demo(*job), jobs))


def test_same_seed_same_tags(runs):
    again, first, other = runs[:3]
    assert again["checks"] == first["checks"]
    assert other["checks"] != first["checks"]


def test_checks_are_within_bounds(runs):
    # With 27 checks of 4 sigma a run in six hundred fails by chance alone.
    failures = [(run["seed"], c) for run in runs for c in run["checks"] if not c["passed"]]
    assert len(failures) <= len(runs) // 100, failures
    for run in runs:
        names = [check["name"] for check in run["checks"]]
        assert len(names) == len(set(names)) >= 25
        assert {check["basis"] for check in run["checks"]} == {"truth", "reported"}
        assert "test pattern, no key is made" in run["output"]


def test_pulls_have_mean_0_and_width_1(runs):
    pulls = defaultdict(list)
    for run in runs[1:]:
        for check in run["checks"]:
            family = pull_family(check["name"])
            if family is not None:
                pulls[family].append(check["deviation_sigma"])
    assert len(pulls) == 8
    for family, values in pulls.items():
        count, mean, width = len(values), np.mean(values), np.std(values, ddof=1)
        assert abs(mean) <= max(0.3, 3 / np.sqrt(count)), family
        assert abs(width - 1) <= max(0.2, 3 / np.sqrt(2 * count)), family


def pull_family(name: str) -> str | None:
    """Return what is averaged over: the states of the classical channel are one family."""
    if name.startswith(("gain,", "QBER,")):
        return f"{name.partition(',')[0]} {name.rpartition(', ')[2]}"
    if name.startswith("background"):
        return "background"
    return "Raman" if name.startswith("Raman on") else None


def test_report_and_wrong_requests(tmp_path):
    found = run_demo(FIRST_SEED, tmp_path / "run", "--report", str(tmp_path / "report"))
    written = {path.name for path in (tmp_path / "report").iterdir()}
    assert {
        "report.json",
        "symbol-phase.png",
        "click-matrix.png",
        "qber-over-time.png",
        "background.png",
    } <= written
    assert json.loads((tmp_path / "report" / "report.json").read_text())["checks"] == found["checks"]
    for wrong, message in (
        (("--seconds", "0"), "greater than or equal to 1"),
        (("--report", str(tmp_path / "absent" / "report")), "no folder"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "qhal", "demo", *wrong], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 2, wrong
        assert message in done.stderr
