"""pytest plugin behind ``qhal test``: one open device per interface fixture, from an open node."""

from collections import Counter
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import pytest

from qhal.devices.device import Device
from qhal.testing.interfaces import INTERFACES

MARKS = ("reads", "moves", "emits", "biases")
"""What a test does to a device."""


class Suites:
    """The plugin: open devices by name; ``outcomes`` and ``left_out`` (tests by mark) are filled by the run.

    The fixture of a suite has the name of its interface.
    """

    def __init__(self, devices: dict[str, Device]) -> None:
        self._devices = devices
        self.outcomes: list[dict[str, Any]] = []
        self.left_out: Counter[str] = Counter()

    def pytest_configure(self, config: pytest.Config) -> None:
        """Make the marks known."""
        for mark in MARKS:
            config.addinivalue_line("markers", f"{mark}: what a test does to the device")

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        """Leave out the suites of interfaces that no device offers."""
        fixture = collection_path.stem.removeprefix("test_")
        return True if fixture in INTERFACES and not self._names(fixture) else None

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run a suite on each device that offers its interface."""
        for fixture in INTERFACES:
            if fixture in metafunc.fixturenames:
                metafunc.parametrize(fixture, self._names(fixture), indirect=True)

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Count what is not allowed."""
        self.left_out.update(mark for item in items for mark in MARKS if item.get_closest_marker(mark))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Note the outcome of each test."""
        report = yield
        if report.when == "call" or report.outcome != "passed":
            self.outcomes.append(
                {
                    "test": item.nodeid.rpartition("/")[2],
                    "outcome": report.outcome,
                    "seconds": report.duration,
                }
            )
        return report

    def _names(self, fixture: str) -> list[str]:
        return [name for name, device in self._devices.items() if device.offers(INTERFACES[fixture])]

    def _device(self, request: pytest.FixtureRequest) -> Any:
        return self._devices[request.param].get(INTERFACES[request.fixturename or ""])


for _name in INTERFACES:
    setattr(Suites, _name, pytest.fixture(Suites._device, name=_name))
