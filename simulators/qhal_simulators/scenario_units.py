"""Units of a scenario: its links as worlds, and its instruments on the parts of these worlds."""

from collections.abc import Callable
from typing import Any

from qhal.errors import ConfigurationError
from qhal_simulators.instrument_registry import load, make_unit
from qhal_simulators.physics.kernel_compilation import compile_kernels
from qhal_simulators.physics.scenario_tables import InstrumentTable, Scenario
from qhal_simulators.physics.slow_grid import needed_grid_s
from qhal_simulators.physics.world import World
from qhal_simulators.physics.worlds import Worlds
from qhal_simulators.servers.control_server import Handler
from qhal_simulators.servers.simulation import Unit
from qhal_simulators.simulated_time import SimulationClock
from qhal_simulators.truth_service import TruthService


def build(
    scenario: Scenario,
    options: dict[str, dict[str, Any]],
    clock: SimulationClock,
    seed: int | None,
    *,
    report: Callable[[str], None] = lambda text: None,
) -> tuple[list[Unit], dict[str, Handler], dict[str, Any]]:
    """Return the units of a scenario, handlers for the control connection, and tables for the node file.

    ``options`` are further simulator options by unit. The physics is compiled when this returns; ``report`` gets lines
    of progress. Raises ConfigurationError.
    """
    name = scenario.name
    if unknown := set(options) - set(scenario.instruments):
        raise ConfigurationError(
            f"{name}: no instrument {', '.join(sorted(unknown))}; there are {', '.join(scenario.instruments)}"
        )
    links = scenario.by_link()
    grid_s = min(
        needed_grid_s(alone) for alone in links.values()
    )  # clocks of one name run alike on all links
    worlds = Worlds({link: World(alone, seed, link, grid_s) for link, alone in links.items()})
    clock.world = worlds
    units = [
        _unit(name, unit, table, options.get(unit, {}), worlds, clock)
        for unit, table in scenario.instruments.items()
    ]
    compile_kernels(scenario, report)
    tables = {
        "paths": {name: path.model_dump(exclude_defaults=True) for name, path in scenario.paths.items()},
        "clock_tree": scenario.clock_tree,
    }
    return units, TruthService(worlds).handlers(), tables


def _unit(
    scenario: str,
    name: str,
    table: InstrumentTable,
    options: dict[str, Any],
    worlds: Worlds,
    clock: SimulationClock,
) -> Unit:
    try:
        part = worlds.part(table.part)
    except KeyError as error:
        raise ConfigurationError(f"{scenario}: instruments.{name}: no part {table.part!r}") from error
    expected = load(table.model).settings_type
    if not isinstance(part.port.settings, expected):
        raise ConfigurationError(
            f"{scenario}: instruments.{name}: part {table.part!r} takes {type(part.port.settings).__name__}, "
            f"{table.model} has {expected.__name__}"
        )
    settings = {**table.options, **options}
    return make_unit(name, table.model, settings, clock, part, driver_options=table.driver_options)
