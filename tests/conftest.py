"""Fixtures shared by all tests: simulated instruments on real wires."""

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from qhal.node.device_factory import open_device
from qhal_simulators.servers.background import Background


@pytest.fixture(autouse=True, scope="session")
def _heard_signals() -> None:
    """Let tests and the processes that they start hear signals that ``nohup`` or a background job ignores."""
    for number, handler in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGTERM, signal.SIG_DFL),
        (signal.SIGHUP, signal.SIG_DFL),
    ):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.fixture
def simulate() -> Iterator[Callable[..., Background]]:
    """Start simulated instruments: ``simulate("ozoptics.dd100", move_time_s=0)``; stopped at the end."""
    with ExitStack() as stack:
        yield lambda *models, **options: stack.enter_context(Background.of(*models, **options))


@pytest.fixture
def bench(simulate: Callable[..., Background]) -> Iterator[Callable[..., tuple[Any, Background]]]:
    """Start one instrument and open its driver: ``device, background = bench("ozoptics.dd100")``."""
    with ExitStack() as stack:

        def start(model: str, /, *, driver_options: dict[str, Any] | None = None, **options: Any) -> Any:
            background = simulate(model, **options)
            device = open_device(
                model,
                background.address(model),
                connections=background.connections(model),
                **(driver_options or {}),
            )
            stack.callback(device.close)
            return device, background

        yield start


@pytest.fixture
def attacks(request: pytest.FixtureRequest) -> Callable[[int], int]:
    """Scale a number of attacks: ``attacks(100_000)`` is all in ``make attacks``, a fraction in ``make samples``."""
    fraction = float(request.config.getoption("--attacks"))
    return lambda full: max(1, round(full * fraction))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark all attacks as long, and give those time that are asked to do more than a sample."""
    for item in items:
        if item.path.parent.name == "attacks":
            item.add_marker(pytest.mark.long)
        long_run = (
            config.getoption("--interruptions") != 1 and item.path.name == "test_interruptions.py"
        ) or (config.getoption("--attacks") >= 1 and item.path.parent.name == "attacks")
        if long_run:
            item.add_marker(pytest.mark.timeout(7200), append=False)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--tags", type=int, default=2_000_000, help="tags through the faulty stream")
    parser.addoption("--seeds", type=int, default=1, help="seeds of the demonstration")
    parser.addoption("--pull-seeds", type=int, default=1, help="worlds in which each calibration is tried")
    parser.addoption(
        "--attacks", type=float, default=0.01, help="fraction of the attacks of `make attacks` that is tried"
    )
    parser.addoption(
        "--interruptions", type=int, default=1, help="steps at which calibrations are interrupted, 0: all"
    )
