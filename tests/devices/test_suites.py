"""Every driver passes the suites of its interfaces on its simulator, at the wire, as ``qhal test`` runs them."""

import json
import subprocess
import sys

import pytest

from qhal.cli.drivers import describe
from qhal.node.driver_registry import drivers, load_driver
from qhal.testing.interfaces import INTERFACES
from qhal_simulators.nodefile import node_file_text

pytestmark = pytest.mark.timeout(300)  # processes of their own, on a machine that others use
OTHERS = {name: interface for name, interface in INTERFACES.items() if name != "device"}


@pytest.mark.parametrize("driver", sorted(drivers()))
def test_passes_its_suites(driver, simulate, tmp_path):
    background = simulate(driver, speed=20.0)
    node = tmp_path / "node.toml"
    node.write_text(node_file_text("suites", background.simulation, "", {}))
    done = subprocess.run(
        [sys.executable, "-m", "qhal", "test", str(node), "--json"]
        + [option for mark in ("moves", "emits", "biases") for option in ("--allow", mark)],
        capture_output=True,
        text=True,
        timeout=250,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    outcomes = json.loads(done.stdout)["tests"]
    assert {outcome["outcome"] for outcome in outcomes} == {"passed"}
    suites = {outcome["test"].partition(".py")[0].rpartition("/")[2] for outcome in outcomes}
    row = describe(driver, load_driver(driver))
    names = {interface.__name__: name for name, interface in OTHERS.items()}
    assert suites == {
        "test_device",
        *(f"test_{names[interface]}" for interface in (row["interface"], *row["sub_devices"])),
    }


def test_only_reading_tests_run_unless_more_is_allowed(simulate, tmp_path):
    background = simulate("ozoptics.dd100", homed=True)
    node = tmp_path / "node.toml"
    node.write_text(node_file_text("suites", background.simulation, "", {}))
    command = [sys.executable, "-m", "qhal", "test", str(node)]
    done = subprocess.run(
        [*command, "--json"],
        check=True,
        capture_output=True,
        timeout=250,
        cwd=tmp_path,
    )
    found = json.loads(done.stdout)
    names = {entry["test"] for entry in found["tests"]}
    assert found["not_run"] == {"moves": 2}
    assert any("test_beyond_the_limits_nothing_is_sent" in name for name in names)
    assert not any("test_goes_where_it_is_told" in name for name in names)
    shown = subprocess.run(command, capture_output=True, text=True, timeout=250, cwd=tmp_path).stdout
    assert shown.endswith("2 tests not run; they need --allow moves\n")
