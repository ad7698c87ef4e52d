"""Run a scenario or a single instrument until interrupted: what ``qhal simulate`` does."""

import asyncio
import json
import signal
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qhal.errors import ConfigurationError
from qhal_simulators.clock import SimulationClock
from qhal_simulators.nodefile import node_file_text
from qhal_simulators.registry import instruments, make_unit
from qhal_simulators.servers.control import ControlServer, Handler
from qhal_simulators.servers.simulation import Simulation


def run(
    name: str,
    options: Sequence[str],
    *,
    node_file: Path | None = None,
    seed: int | None = None,
    stepped: bool = False,
    speed: float = 1.0,
    print_control: bool = False,
) -> None:
    """Simulate until interrupted. One JSON line is printed for each instrument when it can be connected to.

    ``options`` are ``key=value`` for a single instrument, ``unit.key=value`` in a scenario. With
    ``print_control`` the last line is ``{"control": address}``. Raises ConfigurationError.
    """
    clock = SimulationClock(stepped=stepped, speed=speed)
    handlers: dict[str, Handler] = {}
    tables: dict[str, Any] = {}
    if name in instruments():
        units = [make_unit(name, name, _parsed(options), clock)]
    else:
        from qhal_simulators.physics.scenario import load_scenario
        from qhal_simulators.scenario import build

        units, handlers, tables = build(load_scenario(name), _by_unit(options), clock, seed)
    simulation = Simulation(units, clock)
    asyncio.run(_serve(name, simulation, handlers, tables, node_file, print_control))


async def _serve(
    name: str,
    simulation: Simulation,
    handlers: dict[str, Handler],
    tables: dict[str, Any],
    node_file: Path | None,
    print_control: bool,
) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    control = ControlServer(simulation, handlers)
    await control.start()
    try:
        await simulation.start(lambda unit: _print_line(unit.description()))
        if node_file is not None:
            text = node_file_text(name, simulation, control.address, tables)
            node_file.write_text(text, encoding="utf-8")
        if print_control:
            _print_line({"control": control.address})
        await simulation.run_until(stop)
    finally:
        control.stop()
        await simulation.stop()


def _print_line(content: dict[str, Any]) -> None:
    print(json.dumps(content), flush=True)  # noqa: T201


def _parsed(options: Sequence[str]) -> dict[str, Any]:
    """Return ``key=value`` texts as values; a value is read as TOML, or taken as text."""
    values: dict[str, Any] = {}
    for text in options:
        key, separator, value = text.partition("=")
        if not separator or not key:
            raise ConfigurationError(f"option {text!r}: KEY=VALUE is needed")
        try:
            values[key] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            values[key] = value
    return values


def _by_unit(options: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return ``unit.key=value`` texts by unit."""
    units: dict[str, dict[str, Any]] = {}
    for key, value in _parsed(options).items():
        unit, separator, name = key.partition(".")
        if not separator:
            raise ConfigurationError(f"option {key!r}: in a scenario it is UNIT.KEY=VALUE")
        units.setdefault(unit, {})[name] = value
    return units
