"""What every driver, simulator, interface and file of this project owes; walks the registries and the tree."""

import inspect
import re
from pathlib import Path

import pytest

from qhal.devices.declaration import Evidence, Options
from qhal.devices.device import Device
from qhal.devices.interface import Interface
from qhal.node.driver_registry import drivers, load_driver
from qhal.testing import suites
from qhal.testing.interfaces import INTERFACES
from qhal_simulators.instrument_registry import instruments, load

ROOT = Path(__file__).parents[1]
NAMES = sorted(drivers())
SOURCES = sorted(
    path
    for folder in ("qhal", "drivers", "simulators", "tests", "benchmarks", "examples")
    for path in (ROOT / folder).rglob("*.py")
)


@pytest.mark.parametrize("name", NAMES)
def test_driver(name):
    driver = load_driver(name)
    assert issubclass(driver, Interface)
    assert set(instruments()) >= {name}, "a driver without a simulator cannot be tested"
    declaration = driver.declaration
    assert "main" in declaration.connections
    assert declaration.evidence
    assert Evidence.HARDWARE not in declaration.evidence, "nothing was tried on hardware by this project"
    source = inspect.getmodule(driver).__doc__
    assert re.search(r"[Mm]anual|client|specification|library|controllers|manufacturer publishes", source), (
        "where is it from?"
    )
    assert issubclass(driver.options_model, Options)
    if driver.options_model is not Options:
        assert "``" in inspect.getdoc(driver.options_model), "its options are not explained"


@pytest.mark.parametrize("name", NAMES)
def test_usb_driver_has_udev_rule(name):
    driver = load_driver(name)
    rules = (ROOT / "udev" / "70-qhal.rules").read_text()
    assert 'MODE="0666"' not in rules
    for usb in driver.declaration.usb:
        assert f'ATTRS{{idVendor}}=="{usb.vendor:04x}", ATTRS{{idProduct}}=="{usb.product:04x}"' in rules
        found = [
            line
            for line in rules.splitlines()
            if f'{{idProduct}}=="{usb.product:04x}"' in line and "SYMLINK" in line
        ]
        ignored = [
            line
            for line in rules.splitlines()
            if "ID_MM_DEVICE_IGNORE" in line and f"{usb.product:04x}" in line
        ]
        assert found
        assert ignored, "ModemManager would write to it"
        for line in found:
            assert "{manufacturer}" in line or line.startswith("#"), "takes every user of a bridge chip"
            assert '{serial}=="' in line or "ID_PATH" in line, (
                "units without a serial number would have one name"
            )


@pytest.mark.parametrize("name", sorted(instruments()))
def test_simulator(name):
    simulator = load(name)
    assert "main" in simulator.wires
    defaults = simulator.options_model()
    explained = inspect.getdoc(simulator.options_model) or ""
    assert explained
    assert defaults.model_config["extra"] == "forbid"
    assert name in NAMES


def test_every_kind_has_a_suite():
    folder = Path(suites.__file__).parent
    assert {path.stem for path in folder.glob("test_*.py")} == {f"test_{name}" for name in INTERFACES}
    for name, interface in INTERFACES.items():
        assert issubclass(interface, Device if name == "device" else Interface)
        for verb, method in inspect.getmembers(interface, inspect.isfunction):
            assert verb.startswith("_") or method.__doc__, f"{interface.__name__}.{verb} has no docstring"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_too_long(path):
    assert len(path.read_text().splitlines()) <= 400


def test_readme_lists_every_driver():
    readme = (ROOT / "README.md").read_text()
    assert [name for name in NAMES if f"`{name}`" not in readme] == []
