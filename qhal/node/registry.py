"""Which drivers there are: strings published in the entry-point group ``qhal.drivers``.

A driver's module is imported only when a device needs it.
"""

from importlib import import_module
from importlib.metadata import entry_points

from qhal.devices.device import Device
from qhal.errors import ConfigurationError


def drivers() -> dict[str, str]:
    """Return all published drivers, ``name -> module:class``."""
    found: dict[str, str] = {}
    for entry in entry_points(group="qhal.drivers"):
        found |= entry.load()
    return found


def load_driver(name: str) -> type[Device]:
    """Return a driver's class. Raises ConfigurationError for a name that nobody published."""
    known = drivers()
    if name not in known:
        raise ConfigurationError(f"no driver {name!r}; there are {', '.join(sorted(known))}")
    module, _, attribute = known[name].partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except ImportError as error:
        raise ConfigurationError(f"driver {name!r}: {known[name]} cannot be imported: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Device)):
        raise ConfigurationError(f"{known[name]} is no device")
    return found
