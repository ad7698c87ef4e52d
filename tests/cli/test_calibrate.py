"""``qhal calibrate`` and ``qhal records`` as a user runs them, on a simulated bench."""

import json
import signal
import subprocess
import sys
import tomllib

import pytest

from tests.cli.test_cli import qhal, simulator

__all__ = ["simulator"]
DARK = ("--set", "period_s=0.5", "--set", "step_ua=0.25", "--operator", "somebody")
pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def bench(simulator, tmp_path):
    node = tmp_path / "bench.toml"
    simulator("detector-bench", "--stepped", "--node-file", node)
    return node


def test_from_calibration_to_picture_and_use(bench, tmp_path):
    folder = ("--folder", tmp_path / "records")
    done = qhal("calibrate", "dark-counts", bench, *DARK, *folder)
    assert "bias_point (channel 4)" in done.stdout
    (listed,) = json.loads(qhal("records", "list", "--json", *folder).stdout)
    assert listed["operator"] == "somebody"
    shown = json.loads(qhal("records", "show", "dark-counts", "--json", *folder).stdout)
    assert shown["calibration"] == "dark-counts"
    assert shown["id"] == listed["record"]
    assert "budget" in qhal("records", "show", "dark-counts", *folder).stdout
    picture = tmp_path / "dark.png"
    qhal("records", "plot", "dark-counts", picture, *folder)
    assert picture.read_bytes().startswith(b"\x89PNG")
    qhal("calibrate", "dark-counts", bench, *DARK, *folder)
    ids = [row["record"] for row in json.loads(qhal("records", "list", "--json", *folder).stdout)]
    compared = json.loads(qhal("records", "compare", *ids, "--json", *folder).stdout)
    assert {row["quantity"] for row in compared} >= {"dark_count_slope (channel 1)"}
    # The node uses it; then the fibre... the detector is another one.
    bench.write_text(bench.read_text() + f'\n[[records]]\nfile = "records/{ids[0]}.h5"\n')
    status = json.loads(qhal("status", bench, "--json").stdout)
    assert status["records"] == {ids[0]: []}
    assert tomllib.loads(bench.read_text())["records"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_and_resumed(number, bench, tmp_path):
    folder = tmp_path / "records"
    command = [sys.executable, "-m", "qhal", "calibrate", "dark-counts", bench, *DARK, "--folder", folder]
    process = subprocess.Popen(
        [*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for line in process.stdout:
        if "dark" in line and "points" in line:
            process.send_signal(number)
            break
    _, errors = process.communicate(timeout=50)
    assert process.returncode == 128 + number, errors
    assert "the devices are safe" in errors
    (journal,) = folder.glob("*.partial.jsonl")
    assert str(journal.name) in errors.replace("\n", "")
    detectors = json.loads(qhal("status", bench, "--json").stdout)["devices"]["detectors"]
    assert set(detectors["states"]) == {"off"}
    done = qhal("calibrate", "dark-counts", bench, *DARK, "--folder", folder, "--resume", journal)
    assert "kept as" in done.stdout
    assert not journal.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("dark-count", "{node}"), "no calibration 'dark-count'; there are afterpulse, attenuator-curve"),
        (("dark-counts",), "which node"),
        (
            ("dark-counts", "{node}", "--set", "perod_s=1"),
            "perod_s: Extra inputs are not permitted; it takes",
        ),
        (("dark-counts", "{node}", "--set", "period_s"), "KEY=VALUE is needed"),
        (("dark-counts", "{node}", "-d", "detectors=voa"), "'voa' is no Detector"),
        (("dark-counts", "{node}", "-d", "lamp=voa"), "no role lamp; there are detectors"),
        (("dark-counts", "{node}", "--path", "dark"), "no path 'dark'; there are light"),
        (("dark-counts", "{node}", "--record", "absent"), "no record 'absent'"),
    ],
)
def test_wrong_requests_send_nothing(bench, tmp_path, arguments, message):
    done = qhal("calibrate", *(str(a).format(node=bench) for a in arguments), check=False)
    assert done.returncode == 2
    assert message in done.stderr.replace("\n", " ")
    for wrong, text in ((("show", "absent"), "no record"), (("plot", "absent"), "no record")):
        failed = qhal("records", *wrong, "--folder", tmp_path, check=False)
        assert failed.returncode == 2
        assert text in failed.stderr
