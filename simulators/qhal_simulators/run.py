"""Run a scenario or a single instrument until interrupted: what ``qhal simulate`` does."""

import asyncio
import contextlib
import json
import re
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from qhal.errors import ConfigurationError
from qhal.key_values import toml_values
from qhal_simulators.catalogue import catalogue, is_file, unknown_name
from qhal_simulators.instrument_registry import instruments, make_unit
from qhal_simulators.nodefile import node_file_text
from qhal_simulators.servers.addresses import addresses_for
from qhal_simulators.servers.control_server import ControlServer, Handler
from qhal_simulators.servers.simulation import Simulation, Unit
from qhal_simulators.simulated_time import SimulationClock

__all__ = ["catalogue", "run"]

_LAG_STEP_S, _LAG_PAUSE_S = 0.5, 10.0
_NODE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def run(
    name: str,
    options: Sequence[str],
    *,
    node_file: Path | None = None,
    seed: int | None = None,
    stepped: bool = False,
    speed: float = 1.0,
    print_control: bool = False,
    at: Path | None = None,
    first_port: int | None = None,
) -> None:
    """Simulate until interrupted. When all can be connected to, one JSON line is printed for each instrument.

    ``name``: a scenario, an instrument, or the path of a scenario's file. ``options`` are ``key=value`` for a single
    instrument, ``unit.key=value`` in a scenario. With ``print_control`` the last line is ``{"control": address}``.
    A live world that falls behind the wall is reported now and then: ``{"lag_s": by how much since the start}``.
    ``at`` and ``first_port``: see :func:`~qhal_simulators.servers.addresses.addresses_for`. Raises ConfigurationError;
    then nothing is left behind.
    """
    if node_file is not None and not node_file.absolute().parent.is_dir():
        raise ConfigurationError(f"--node-file {node_file}: no folder {node_file.absolute().parent}")
    clock = SimulationClock(stepped=stepped, speed=speed)
    short = Path(name).stem if is_file(name) else name
    node_name, units, handlers, tables = _made(name, options, clock, seed)
    for candidate in (node_name, short):
        if _NODE_NAME.fullmatch(candidate):
            node_name = candidate
            break
    else:
        raise ConfigurationError(
            f"{name}: {node_name!r} is not a name of a node: letters, digits, _ . and - (name = ...)"
        )
    simulation = Simulation(units, clock, addresses_for(short, at, first_port))
    asyncio.run(_serve(node_name, simulation, handlers, tables, node_file, print_control))


def _made(
    name: str, options: Sequence[str], clock: SimulationClock, seed: int | None
) -> tuple[str, list[Unit], dict[str, Handler], dict[str, Any]]:
    """Return the node's name, its units, handlers for the control connection and tables for the node file."""
    if name in instruments():
        values = toml_values(options, "--option")
        with _naming_options(values):
            return name, [make_unit(name, name, values, clock)], {}, {}
    if unknown := unknown_name(name):
        raise ConfigurationError(unknown)
    from qhal_simulators.physics.scenario_tables import load_scenario
    from qhal_simulators.scenario_units import build

    scenario, by_unit = load_scenario(name), _by_unit(options)
    with _naming_options(by_unit):
        return scenario.name, *build(scenario, by_unit, clock, seed, report=_tell)


@contextlib.contextmanager
def _naming_options(options: dict[str, Any]) -> Iterator[None]:
    """Name ``--option`` in an error, if the user gave any."""
    try:
        yield
    except ConfigurationError as error:
        raise (ConfigurationError(f"--option: {error}") if options else error) from error


class LagReport:
    """Prints ``{"lag_s": ...}`` when a live world has fallen further behind the wall, and not too often."""

    def __init__(self, write: Callable[[dict[str, Any]], None]) -> None:
        self._write = write
        self._reported_s = 0.0
        self._free_s = 0.0

    def __call__(self, lag_s: float) -> None:
        """Report a lag in s if there is something to report."""
        if lag_s - self._reported_s >= _LAG_STEP_S and time.monotonic() >= self._free_s:
            self._reported_s, self._free_s = lag_s, time.monotonic() + _LAG_PAUSE_S
            self._write({"lag_s": round(lag_s, 3)})


async def _serve(
    name: str,
    simulation: Simulation,
    handlers: dict[str, Handler],
    tables: dict[str, Any],
    node_file: Path | None,
    print_control: bool,
) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    control = ControlServer(simulation, handlers)
    try:
        await simulation.start()
        await control.start()
        if node_file is not None:
            text = node_file_text(name, simulation, control.address, tables)
            try:
                node_file.write_text(text, encoding="utf-8")
            except OSError as error:
                raise ConfigurationError(f"--node-file {node_file}: {error.strerror}") from error
        for unit in simulation.units.values():
            _print_line(unit.description())
        if print_control:
            _print_line({"control": control.address})
        simulation.watch_lag = LagReport(_print_line)  # after the addresses, which clients expect first
        await simulation.run_until(stop)
    finally:
        control.stop()
        await simulation.stop()


def _print_line(content: dict[str, Any]) -> None:
    """Print a line of JSON, unless its reader is gone or has stopped reading: that must not stop a simulation."""
    with contextlib.suppress(BrokenPipeError):
        if select.select([], [sys.stdout], [], 0)[1]:
            print(json.dumps(content), flush=True)  # noqa: T201


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def _by_unit(options: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return ``unit.key=value`` texts by unit."""
    units: dict[str, dict[str, Any]] = {}
    for key, value in toml_values(options, "--option").items():
        unit, separator, name = key.partition(".")
        if not separator:
            raise ConfigurationError(f"--option {key!r}: in a scenario it is UNIT.KEY=VALUE")
        units.setdefault(unit, {})[name] = value
    return units
