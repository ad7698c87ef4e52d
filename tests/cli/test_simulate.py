"""``qhal simulate`` as a user runs it: own scenarios, the same addresses again, a clean end."""

import json
import signal
import subprocess
import sys
from importlib.resources import files

import pytest

from tests.cli.command import qhal

SCENARIO = (files("qhal_simulators") / "scenarios" / "detector-bench.toml").read_text()


def started(*arguments, **options):
    """Start it; return the process and its lines up to the control connection's."""
    command = [sys.executable, "-m", "qhal", "simulate", *map(str, arguments), "--control"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, **options
    )
    lines = []
    for text in process.stdout:
        lines.append(json.loads(text))
        if "control" in lines[-1]:
            return process, lines
    raise AssertionError(process.communicate()[1])


def ended(process, number):
    process.send_signal(number)
    output, errors = process.communicate(timeout=40)
    return process.returncode, output, errors


def test_an_own_scenario_by_its_path_at_the_same_addresses_again(tmp_path):
    scenario = tmp_path / "own.toml"
    scenario.write_text(SCENARIO.replace('name = "detector-bench"', 'name = "my own bench"'))
    node, texts = tmp_path / "n.toml", []
    where = ("--at", tmp_path / "lines", "--node-file", node)
    for number in (signal.SIGKILL, signal.SIGINT):
        process, lines = started(scenario, *where)
        texts.append(node.read_text())
        assert f"tcp://127.0.0.1:{lines[3]['address'].rpartition(':')[2]}" in texts[-1]
        checked = qhal("check", node, check=False)
        code, output, errors = ended(process, number)
        assert checked.returncode == 0, checked.stderr + errors
    assert texts[0] == texts[1]
    assert 'name = "own"' in texts[0], "what cannot name a node is named after its file"
    assert code == 0
    late = {key for line in output.splitlines() for key in json.loads(line)}
    assert late <= {"lag_s"}, "what a busy machine makes it print"
    assert "Traceback" not in errors
    assert not (tmp_path / "lines").exists() or not list((tmp_path / "lines").iterdir())


@pytest.mark.parametrize("arguments", [("--list",), ("--list", "--json")])
def test_the_list_names_all_with_their_options(arguments):
    text = qhal("simulate", *arguments).stdout
    for part in ("wuhan-hefei-span", "second-voa", "tektronix.awg5014", "switching_time_s", "0.025"):
        assert part in text
    if "--json" in arguments:
        found = json.loads(text)
        assert found["instruments"]["hubersuhner.polatis"]["options"]["inputs"] == {
            "type": "int",
            "default": 16,
        }
