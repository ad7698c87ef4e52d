"""Which instruments can be simulated, as strings: a module is loaded when its instrument is asked for."""

from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from pydantic import ValidationError

from qhal.errors import ConfigurationError
from qhal.node.schema import explain
from qhal_simulators.clock import SimulationClock
from qhal_simulators.instrument import Instrument
from qhal_simulators.physics.ports import Port
from qhal_simulators.servers.simulation import Unit


def instruments() -> dict[str, str]:
    """Return all published instruments, ``name -> module:class``."""
    found: dict[str, str] = {}
    for entry in entry_points(group="qhal.simulators"):
        found |= entry.load()
    return found


def load(name: str) -> type[Instrument]:
    """Return the class of an instrument. Raises ConfigurationError for a name that nobody published."""
    known = instruments()
    if name not in known:
        raise ConfigurationError(f"no simulated instrument {name!r}; there are {', '.join(sorted(known))}")
    module, _, attribute = known[name].partition(":")
    found = getattr(import_module(module), attribute)
    if not (isinstance(found, type) and issubclass(found, Instrument)):
        raise ConfigurationError(f"{known[name]} is no instrument")
    return found


def make_unit(
    name: str,
    model: str,
    options: dict[str, Any],
    clock: SimulationClock,
    port: Port | None = None,
    *,
    driver_options: dict[str, Any] | None = None,
) -> Unit:
    """Return an instrument, not yet reachable. Raises ConfigurationError for a wrong model or option."""
    kind = load(model)
    try:
        settings = kind.options_model(**options)
    except ValidationError as error:
        raise ConfigurationError(f"options of {name} ({model}): {explain(error)}") from error
    return Unit(name, model, kind(clock, port, settings), options=dict(driver_options or {}))
