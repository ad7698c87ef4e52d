"""``qhal calibrate`` and ``qhal records`` as a user runs them, on a simulated bench."""

import io
import json
import re
import signal
import subprocess
import sys
import tomllib

import pytest
from rich.console import Console

from qhal.calibration import load_calibration
from qhal.calibration.framework.journal import Journal
from qhal.calibration.framework.points import Progress
from qhal.cli import calibrate
from qhal.cli.app import run
from tests.calibration.hidden import hidden_world, run_case
from tests.calibration.test_cases import CASES
from tests.cli.command import qhal
from tests.cli.test_cli import simulator

__all__ = ["simulator"]
DARK = ("--set", "period_s=0.5", "--set", "step_ua=0.25", "--operator", "somebody")
pytestmark = pytest.mark.timeout(300)


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
    status = json.loads(qhal("status", bench, "--json", check=False).stdout)
    assert status["records"] == {ids[0]: []}
    assert tomllib.loads(bench.read_text())["records"]


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGINT,
        *(pytest.param(each, marks=pytest.mark.long) for each in (signal.SIGTERM, signal.SIGHUP)),
    ],
)
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
    detectors = json.loads(qhal("status", bench, "--json", check=False).stdout)["devices"]["detectors"]
    assert set(detectors["states"]) == {"off"}
    done = qhal("calibrate", "dark-counts", bench, *DARK, "--folder", folder, "--resume", journal)
    assert "kept as" in done.stdout
    assert not journal.exists()


NODE = """
[node]
name = "dead"
[clock]
mode = "wall"
[devices.detectors]
driver = "singlequantum.websq"
address = "tcp://127.0.0.1:9"
connections = {counts = "tcp://127.0.0.1:9" }
[devices.voa]
driver = "ozoptics.dd100"
address = "serial:///dev/qhal-absent"
[paths.light]
elements = [{ device = "voa" }]
"""
"""A node none of whose devices can be opened: what is wrong with a request is known before."""


@pytest.fixture(scope="module")
def dark_record(tmp_path_factory):
    """Return a record of dark-counts."""
    folder = tmp_path_factory.mktemp("dark")
    case = CASES["dark_counts"]
    with hidden_world(case, 1) as hidden:
        record = run_case(case, hidden, folder)
    return folder / f"{record.id}.h5"


@pytest.mark.parametrize("command", ["show", "plot"])
def test_an_absent_record_is_named(command, tmp_path):
    failed = qhal("records", command, "absent", "--folder", tmp_path, check=False)
    assert failed.returncode == 2
    assert "no record" in failed.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("dark-count", "{node}"), "no calibration 'dark-count'; there are afterpulse, attenuator-curve"),
        (("dark-counts",), "which node"),
        (("dark-counts", "{node}", "--set", "perod_s=1"), "perod_s: no such parameter; it takes"),
        (("dark-counts", "{node}", "--set", "period_s"), "KEY=VALUE is needed"),
        (("dark-counts", "{node}", "-d", "detectors=voa"), "'voa' does not offer Detector"),
        (("dark-counts", "{node}", "-d", "lamp=voa"), "no role lamp; there are detectors"),
        (("dark-counts", "{node}", "--record", "absent"), "no record 'absent'"),
        (("mean-photon-number", "{node}", "--resume", "{folder}/absent.jsonl"), "absent.jsonl: No such file"),
        (("--resume", "{folder}/absent.jsonl"), "absent.jsonl: No such file"),
        (("--resume", "{folder}/node.toml"), "not a qhal calibration journal"),
        (
            ("--resume", "{folder}/other.partial.jsonl"),
            "another calibration: modulator there, dark-counts now",
        ),
        (("--resume", "{folder}/same.partial.jsonl"), "another plan: period_s 3.0 there, 2.0 now"),
        (("--set", "period_s=1", "--set", "period_s=2"), "--set period_s is given twice: 1 and 2"),
        (("-d", "detectors=detectors", "-d", "detectors=x"), "--device detectors is given twice"),
        (("--set", "step_ua=1e-9"), "dark-counts: step_ua: 1e-09 is less than 1e-06 uA"),
        (("--set", "step_ua=1e-6"), "points, at most 100000"),
        (("--path", "nowhere"), "no path 'nowhere'; there are light"),
        (("--record", "{record}"), "is not used: no input of dark-counts comes from it"),
    ],
)
def test_wrong_requests_open_nothing(arguments, message, dark_record, tmp_path, monkeypatch, capsys):
    (tmp_path / "node.toml").write_text(NODE)
    plan = load_calibration("dark-counts").plan(period_s=3.0).model_dump(mode="json")
    header = {"calibration": "dark-counts", "plan": plan}
    started = {"started": "2026-01-01T00:00:00+00:00"}
    Journal.create(tmp_path / "same.partial.jsonl", header | started).close()
    other = header | started | {"calibration": "modulator"}
    Journal.create(tmp_path / "other.partial.jsonl", other).close()
    before = sorted(tmp_path.iterdir())
    node = tmp_path / "node.toml"
    words = [each.format(record=dark_record, folder=tmp_path, node=node) for each in arguments]
    if words[0].startswith("-"):
        words = ["dark-counts", str(node), *words]
    monkeypatch.setattr(sys, "argv", ["qhal", "calibrate", *words])
    with pytest.raises(SystemExit) as ended:  # in this process: a new one takes a second
        run()
    assert ended.value.code in (1, 2)
    errors = capsys.readouterr().err
    assert re.search(message, errors.replace("\n", " ")), errors
    assert "127.0.0.1" not in errors
    assert sorted(tmp_path.iterdir()) == before


def test_a_damaged_record_stops_only_what_may_need_it(bench, dark_record, tmp_path):
    damaged = bytearray(dark_record.read_bytes())
    damaged[len(damaged) // 2] ^= 255
    (tmp_path / dark_record.name).write_bytes(damaged)
    bench.write_text(bench.read_text() + f'\n[[records]]\nfile = "{dark_record.name}"\n')
    folder = ("--folder", tmp_path / "records")
    done = qhal("calibrate", "dark-counts", bench, *DARK, *folder)
    assert "kept as" in done.stdout
    assert f"not used: {tmp_path / dark_record.name}" in done.stderr
    named_after = tmp_path / "dead-time-20260101T000000000000Z.h5"
    (tmp_path / dark_record.name).rename(named_after)
    bench.write_text(bench.read_text().replace(dark_record.name, named_after.name))
    status = json.loads(qhal("status", bench, "--json", check=False).stdout)
    assert "damaged" in " ".join(status["records"][named_after.stem])
    refused = qhal("calibrate", "afterpulse", bench, *folder, check=False)
    assert refused.returncode == 1
    assert named_after.name in refused.stderr.replace("\n", "")


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_by_stage(terminal, monkeypatch):
    """A terminal shows points and the time that is left; a pipe gets a line for each stage and nothing else."""
    screen = io.StringIO()
    monkeypatch.setattr(calibrate, "CONSOLE", Console(file=screen, force_terminal=terminal, width=120))
    with calibrate._progress() as report:
        for stage, total in (("dark", 4), ("search", None)):
            for done in range(5):
                report(Progress(stage, done, total))
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue())
    if terminal:
        assert "4/4 points" in text
        assert re.search(r"4/4 points, \d:\d\d:\d\d passed, [-\d]:[-\d]{2}:[-\d]{2} left", text), text
    else:
        assert text == "  dark (4 points)\n  search\n"
