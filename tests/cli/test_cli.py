"""The command line as a user runs it, on simulators in processes of their own: exit codes, JSON."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from qhal.transport.control import SimulatorControl
from tests.cli.command import qhal

pytestmark = pytest.mark.timeout(300)  # processes of their own, on a machine that others use


@pytest.fixture
def simulator(tmp_path: Path):
    """Start ``qhal simulate`` and return its JSON lines; interrupted at the end."""
    started = []

    def start(*arguments: object) -> list[dict]:
        command = [sys.executable, "-m", "qhal", "simulate", *map(str, arguments), "--control"]
        command += ["--at", str(tmp_path / f"lines{len(started)}"), "--port-base", "0"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        lines = []
        for text in process.stdout:
            lines.append(json.loads(text))
            if "control" in lines[-1]:
                break
        return lines

    yield start
    for process in started:
        process.terminate()
        assert process.wait(timeout=20) == 0
        process.stdout.close()


def test_one_simulated_instrument_from_start_to_status(simulator, tmp_path):
    node = tmp_path / "node.toml"
    unit, control = simulator("ozoptics.dd100", "--option", "homed=true", "--node-file", node)
    assert unit["name"] == unit["driver"] == "ozoptics.dd100"
    assert unit["address"].startswith("serial:///")
    assert unit["connections"] == {}
    assert control["control"].startswith("tcp://127.0.0.1:")
    found = json.loads(qhal("check", node, "--json").stdout)
    assert found["failures"] == {}
    status = json.loads(qhal("status", node, "--json").stdout)
    assert status["devices"]["ozoptics.dd100"]["quality"] == "good"
    assert "passed" in qhal("test", node).stdout


def test_check_reports_all_failures_together(tmp_path):
    node = tmp_path / "node.toml"
    node.write_text(
        '[node]\nname = "n"\n[devices.a]\ndriver = "ozoptics.dd100"\naddress = "serial:///dev/qhal-absent"\n'
        '[devices.b]\ndriver = "hubersuhner.polatis"\naddress = "tcp://127.0.0.1:1"\n'
    )
    done = qhal("check", node, check=False)
    assert done.returncode == 1
    assert "a: Disconnected" in done.stderr
    assert "b: Disconnected" in done.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[node]\nname = "n"\ncolour = "red"\n',
            "node.colour: unknown key 'colour'; allowed: name, safe_on_exit",
        ),
        ('[node]\nname = "n"\n', "devices: Field required"),
        (
            '[node]\nname = "n"\n[devices.a]\ndriver = "nobody.knows"\naddress = "tcp://h:1"\n',
            "no driver 'nobody.knows'",
        ),
        (
            '[node]\nname = "n"\n[devices.a]\ndriver = "ozoptics.dd100"\naddress = "zmq+tcp://h:1"\n',
            "allowed schemes are",
        ),
        (
            '[node]\nname = "n"\n[devices.a]\ndriver = "ozoptics.dd100"\naddress = "serial:///x?speed=3"\n',
            "unknown option speed",
        ),
        ("[node\n", "Expected"),
    ],
)
def test_wrong_node_files_are_refused_before_anything_is_opened(tmp_path, text, message):
    node = tmp_path / "wrong.toml"
    node.write_text(text)
    done = qhal("check", node, check=False)
    assert done.returncode == 2
    assert message in done.stderr.replace("\n", " ")


def test_wrong_requests(tmp_path):
    for arguments, message in (
        (("check", tmp_path / "absent.toml"), "No such file"),
        (("simulate", "nobody.knows"), "nobody.knows"),
        (("simulate", "ozoptics.dd100", "-o", "homed"), "KEY=VALUE"),
        (("simulate", "ozoptics.dd100", "-o", "colour=red"), "colour"),
    ):
        done = qhal(*arguments, check=False)
        assert done.returncode == 2, arguments
        assert message in done.stderr, arguments


def test_drivers_lists_what_is_published():
    rows = json.loads(qhal("drivers", "--json").stdout)
    assert {row["name"] for row in rows} >= {"ozoptics.dd100", "idquantique.id900"}
    assert all(row["rests_on"] and row["interface"] and row["transports"] for row in rows)


def test_udev_file_is_what_the_command_writes():
    written = Path(__file__).parents[2] / "udev" / "70-qhal.rules"
    assert qhal("udev").stdout == written.read_text()


def test_a_scenario_from_start_to_status(simulator, tmp_path):
    node = tmp_path / "node.toml"
    *units, last = simulator("wuhan-metro-link", "--stepped", "--node-file", node, "-o", "voa.homed=true")
    assert [unit["name"] for unit in units][:3] == ["quantum-laser", "classical-laser", "awg"]
    assert set(units[-1]["connections"]) == {"dlt", "stream1", "stream2", "stream3", "stream4"}
    assert len(json.loads(qhal("check", node, "--json").stdout)["devices"]) == 8
    status = json.loads(qhal("status", node, "--json").stdout)["devices"]
    assert status["voa"]["attenuation_db"] == 60.0
    assert status["quantum-laser"]["emitting"] is False
    world = SimulatorControl(last["control"])
    assert world.request("now")["now_s"] == 0.0, "questions move no world"
    world.close()
    done = qhal("test", node, "voa", "--json")
    assert "passed" in done.stderr
    assert all(o["outcome"] == "passed" for o in json.loads(done.stdout)["tests"])
    assert "no device 'attic'" in qhal("test", node, "attic", check=False).stderr
    assert "allowed are moves, emits, biases" in qhal("test", node, "--allow", "reads2", check=False).stderr


def test_status_of_a_node_that_is_half_there(simulator, tmp_path):
    node = tmp_path / "node.toml"
    simulator("ozoptics.dd100", "--option", "homed=true", "--node-file", node)
    node.write_text(
        node.read_text() + '[devices.switch]\ndriver = "hubersuhner.polatis"\naddress = "tcp://127.0.0.1:1"\n'
    )
    done = qhal("status", node, "--json", check=False)
    assert done.returncode == 1
    devices = json.loads(done.stdout)["devices"]
    assert devices["ozoptics.dd100"]["quality"] == "good"
    assert devices["switch"]["quality"] == "unreadable"
    assert "Disconnected" in devices["switch"]["problems"][0]
