"""Which instruments can be simulated, as strings: a module is loaded when its instrument is asked for."""

from typing import Any

from pydantic import ValidationError

from qhal.errors import ConfigurationError
from qhal.explain import explain
from qhal.published import Published, published
from qhal_simulators.instrument import Instrument
from qhal_simulators.physics.ports import Part
from qhal_simulators.servers.simulation import Unit
from qhal_simulators.simulated_time import SimulationClock


def instruments() -> dict[str, str]:
    """Return all published instruments, ``name -> module:class``."""
    return dict(_published().places)


def _published() -> Published:
    return published("qhal.simulators", "simulated instrument")


def load(name: str) -> type[Instrument]:
    """Return the class of an instrument. Raises ConfigurationError for a name that is not published."""
    found = _published().load(name)
    if not (isinstance(found, type) and issubclass(found, Instrument)):
        raise ConfigurationError(f"simulated instrument {name!r}: not a class derived from Instrument")
    return found


def make_unit(
    name: str,
    model: str,
    options: dict[str, Any],
    clock: SimulationClock,
    part: Part | None = None,
    *,
    driver_options: dict[str, Any] | None = None,
) -> Unit:
    """Return an instrument, not yet reachable. Raises ConfigurationError for a wrong model or option."""
    kind = load(model)
    try:
        settings = kind.options_model(**options)
    except ValidationError as error:
        raise ConfigurationError(
            f"options of {name} ({model}): {explain(error, kind.options_model)}"
        ) from error
    return Unit(name, model, kind(clock, part, settings), options=dict(driver_options or {}))
