"""pytest plugin behind ``qhal test``: one open device per kind fixture, taken from an open node."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from qhal.devices.device import Device
from qhal.testing.kinds import KINDS, has_kind

MARKS = ("reads", "moves", "emits", "biases")
"""What a test does to a device."""


class Suites:
    """The plugin: open devices by name; ``outcomes`` and ``left_out`` (tests by mark) are filled by the run.

    A suite asks for a fixture named after its kind.
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
        """Leave out the suites of kinds that no device offers."""
        fixture = collection_path.stem.removeprefix("test_")
        return True if fixture in KINDS and not self._names(fixture) else None

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run a suite on each device that offers its kind."""
        for fixture in KINDS:
            if fixture in metafunc.fixturenames:
                metafunc.parametrize(fixture, self._names(fixture), indirect=True)

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Count what is not allowed."""
        self.left_out.update(mark for item in items for mark in MARKS if item.get_closest_marker(mark))

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Iterator[None]:
        """Note the outcome of each test."""
        outcome = yield
        report = outcome.get_result()  # type: ignore[attr-defined]
        if report.when == "call" or report.outcome != "passed":
            self.outcomes.append(
                {
                    "test": item.nodeid.rpartition("/")[2],
                    "outcome": report.outcome,
                    "seconds": report.duration,
                }
            )

    def _names(self, fixture: str) -> list[str]:
        return [name for name, device in self._devices.items() if has_kind(device, KINDS[fixture])]

    def _device(self, request: pytest.FixtureRequest) -> Any:
        return self._devices[request.param].facet(KINDS[request.fixturename or ""])


for _name in KINDS:
    setattr(Suites, _name, pytest.fixture(Suites._device, name=_name))
