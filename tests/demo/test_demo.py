"""The demonstration over several seeds: within bounds, honest on average, and the same every time.

``make pulls`` runs 50 seeds, ``make samples`` one, twice, and a report.
"""

import html
import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from uncertainties import ufloat

from qhal.cli import app
from qhal.demo.truth_checks import alignment_check, link_checks
from qhal.link.estimates import GainEstimate, QberEstimate
from qhal.records.uncertain import shown

SECONDS = 4
FIRST_SEED = 500
pytestmark = pytest.mark.timeout(600)


def run_demo(seed: int, folder: Path, *more: str) -> dict:
    folder.mkdir()
    command = [sys.executable, "-m", "qhal", "demo", "--seconds", str(SECONDS), "--seed", str(seed), "--json"]
    done = subprocess.run([*command, *more], capture_output=True, text=True, timeout=3000, cwd=folder)
    assert done.returncode in (0, 1), done.stderr
    found = json.loads(done.stdout)
    assert found["passed"] == (done.returncode == 0)
    return found


@pytest.mark.long
def test_over_seeds(request, tmp_path):
    # One test, because two workers would each run what a fixture made for several.
    seeds = [FIRST_SEED + n for n in range(request.config.getoption("--seeds"))]
    jobs = [(seeds[0], tmp_path / "again"), *((seed, tmp_path / str(seed)) for seed in seeds)]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        runs = list(pool.map(lambda job: run_demo(*job), jobs))
    assert_same_seed_same_tags(runs)
    assert_within_bounds(runs)
    assert_pulls_have_mean_0_and_width_1(runs)


def assert_same_seed_same_tags(runs):
    again, first, *others = runs
    assert again["checks"] == first["checks"]
    assert all(other["checks"] != first["checks"] for other in others)


def assert_within_bounds(runs):
    # With 27 checks of 4 sigma a run in six hundred fails by chance alone.
    failures = [(run["seed"], c) for run in runs for c in run["checks"] if c["passed"] is False]
    assert len(failures) <= len(runs) // 100, failures
    for run in runs:
        names = [check["name"] for check in run["checks"]]
        assert len(names) == len(set(names)) >= 25
        assert {check["basis"] for check in run["checks"]} == {"truth", "reported"}
        assert all(check["judged"] for check in run["checks"])
        assert run["note"] == "test pattern, no key is made"


def assert_pulls_have_mean_0_and_width_1(runs):
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
    # Those of the data sheets have one error for all runs.
    return "Raman" if name.startswith("Raman noise") and "data sheets" not in name else None


@pytest.mark.long
def test_report(tmp_path):
    """The report is a page with every check and picture, also of a run that is too short for some checks."""
    folder = tmp_path / "report"
    command = [sys.executable, "-m", "qhal", "demo", "--seconds", "1", "--seed", "9", "--report", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    pictures = {"symbol-phase.png", "click-matrix.png", "qber-over-time.png", "background.png"}
    assert {"report.html", "report.json", "records", *pictures} == {path.name for path in folder.iterdir()}
    found = json.loads((folder / "report.json").read_text())
    page = html.unescape((folder / "report.html").read_text())
    assert page.count("data:image/png;base64,") == len(pictures)
    for check in found["checks"]:
        assert check["name"] in page
    assert found["verdict"] in page
    short = [check["name"] for check in found["checks"] if not check["judged"]]
    assert "gain, classical off, vacuum" in short
    assert f"{len(short)} not judged" in found["verdict"]
    printed = " ".join(done.stdout.split())  # it may be wrapped
    assert found["verdict"] in printed
    assert "test pattern, no key is made" in printed
    for text in (re.sub("base64,[^']*", "", page), printed):
        assert not re.search(r"± ?\d*e[+-]\d|± 0e|e\+0\d", text)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (("--seconds", "0"), "greater than or equal to 1"),
        (("--report", "{folder}/absent/report"), "No such file"),
        (("--report", "{folder}/file"), "File exists|Not a directory"),
    ],
)
def test_wrong_requests(wrong, message, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(sys, "argv", ["qhal", "demo", *(each.format(folder=tmp_path) for each in wrong)])
    with pytest.raises(SystemExit) as ended:
        app.run()
    assert ended.value.code == 2
    assert re.search(message, capsys.readouterr().err)


@pytest.mark.parametrize(
    ("value", "sigma", "text"),
    [
        (384.5, 10.3, "384 ± 10"),
        (243_000.2, 312, "243000 ± 310"),
        (3.1e-5, 1.2e-7, "(3.100 ± 0.012)×10⁻⁵"),
        (0.0315, 0.0007, "0.03150 ± 0.00070"),
        (0.0, 0.0, "0"),
        (0.0, 1.2e-6, "(0.0 ± 1.2)×10⁻⁶"),
    ],
)
def test_numbers_and_uncertainties_have_the_same_digits(value, sigma, text):
    assert shown(value, sigma) == text


def test_the_floor_of_the_alignment_knows_that_fibres_walk():
    """After 400 s a walk of 1e-3 is no alarm; the same error after a second is one."""
    counts = SimpleNamespace(
        qber=lambda level: SimpleNamespace(value=0.0121 + 1.6e-3, standard_uncertainty=3e-5)
    )
    expected = {"best_error_rates": [0.0121] * 3}
    for stop_s, passes in ((400.0, True), (2.0, False)):
        pattern = SimpleNamespace(counts=counts)
        measurement = SimpleNamespace(start_s=0.0, stop_s=stop_s, pattern=pattern)
        state = SimpleNamespace(measurement=measurement, expected=expected)
        assert alignment_check(state, 0.0, 86_400.0).passed is passes


def test_few_errors_are_as_uncertain_as_many():
    """Deviations of rare errors average to 0 with width 1: low ones do not count more than high ones."""
    expected = {
        "gains": [0.03, 0.006, 3e-5],
        "error_rates": [0.012, 0.012, 0.03],
        "single_photon_error": 0.01,
    }
    rng, pulls = np.random.default_rng(1), []
    for _ in range(2000):
        errors = int(rng.binomial(700, 0.03))
        counts = SimpleNamespace(
            gain=lambda level: GainEstimate(10**6, 100), qber=lambda level, n=errors: QberEstimate(700, n)
        )
        bound = ufloat(0.02, 1e-3)
        state = SimpleNamespace(
            name="off",
            measurement=SimpleNamespace(pattern=SimpleNamespace(counts=counts)),
            expected=expected,
            bounds=SimpleNamespace(single_photon_error=bound),
        )
        (found,) = [check for check in link_checks(state) if check.name == "QBER, off, vacuum"]
        pulls.append(found.deviation_sigma)
    assert abs(np.mean(pulls)) < 3 / np.sqrt(len(pulls))
    assert np.std(pulls) == pytest.approx(1, abs=0.05)
    assert max(pulls) > -min(pulls) > 2.5
