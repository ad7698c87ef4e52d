"""pytest plugin behind ``qhal test``: one open device per kind fixture, taken from a node file.

Load with ``-p qhal.testing.plugin``; a suite asks for a fixture named after its kind.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qhal.node.node import Node
from qhal.node.schema import load_node_file
from qhal.testing.kinds import KINDS, has_kind

_NODE = pytest.StashKey[Node]()
_OUTCOMES = pytest.StashKey[list[dict[str, Any]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that ``qhal test`` passes."""
    group = parser.getgroup("qhal")
    group.addoption("--qhal-node", type=Path, help="node file")
    group.addoption("--qhal-device", help="only this device")
    group.addoption("--qhal-json", type=Path, help="write the outcome of each test here")


def pytest_configure(config: pytest.Config) -> None:
    """Open the node once for the whole run."""
    for mark in ("reads", "moves", "emits", "biases"):
        config.addinivalue_line("markers", f"{mark}: what a test does to the device")
    config.stash[_NODE] = Node(load_node_file(config.getoption("--qhal-node"))).open()
    config.stash[_OUTCOMES] = []


def pytest_unconfigure(config: pytest.Config) -> None:
    """Close the node and write the outcomes."""
    if _NODE in config.stash:
        config.stash[_NODE].release()
        target = config.getoption("--qhal-json")
        if target is not None:
            target.write_text(json.dumps(config.stash[_OUTCOMES], indent=2), encoding="utf-8")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the suites of kinds that no device offers."""
    fixture = collection_path.stem.removeprefix("test_")
    return True if fixture in KINDS and not _names(config, fixture) else None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a suite on each device that offers its kind."""
    for fixture in KINDS:
        if fixture in metafunc.fixturenames:
            metafunc.parametrize(fixture, _names(metafunc.config, fixture), indirect=True)


def _names(config: pytest.Config, fixture: str) -> list[str]:
    """Return the devices that offer a kind and were asked for."""
    wanted = config.getoption("--qhal-device")
    devices = config.stash[_NODE].devices.items()
    return [name for name, device in devices if has_kind(device, KINDS[fixture]) and wanted in (None, name)]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Note the outcome of each test."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.when == "call" or report.outcome != "passed":
        item.config.stash[_OUTCOMES].append(
            {"test": item.nodeid.rpartition("/")[2], "outcome": report.outcome, "seconds": report.duration}
        )


def _device(request: pytest.FixtureRequest) -> Any:
    node = request.config.stash[_NODE]
    return node.facet(request.param, KINDS[request.fixturename or ""])


for _name in KINDS:
    globals()[_name] = pytest.fixture(_device, name=_name)
