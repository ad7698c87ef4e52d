"""Which instruments can be simulated, as strings: a module is loaded when its instrument is asked for."""

from importlib import import_module
from importlib.metadata import entry_points

from qhal.errors import ConfigurationError
from qhal_simulators.instrument import Instrument


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
