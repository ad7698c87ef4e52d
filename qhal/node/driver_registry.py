"""The drivers: strings published in the entry-point group ``qhal.drivers``.

A driver's module is imported only when a device needs it.
"""

import inspect
from typing import Any

from qhal.devices.declaration import Declaration, Options
from qhal.devices.device import Device
from qhal.devices.interface import Interface
from qhal.errors import ConfigurationError
from qhal.extras import missing
from qhal.published import Published, published


def published_drivers() -> Published:
    """Return all published drivers, and the entry points that cannot be loaded."""
    return published("qhal.drivers", "driver")


def drivers() -> dict[str, str]:
    """Return all published drivers, ``name -> module:class``."""
    return dict(published_drivers().places)


def load_driver(name: str) -> type[Device]:
    """Return a driver's class. Raises ConfigurationError for an unknown name and an incomplete driver."""
    known = published_drivers()
    try:
        found = known.load(name)
    except ModuleNotFoundError as error:
        raise missing(f"driver {name!r}", error) from error
    if wrong := _what_is_wrong(found):
        raise ConfigurationError(f"driver {name!r} ({known.places[name]}): {wrong}")
    assert isinstance(found, type)
    assert issubclass(found, Device)
    return found


def _what_is_wrong(found: Any) -> str:
    if not (isinstance(found, type) and issubclass(found, Device) and issubclass(found, Interface)):
        return "not a class derived from Device and an interface such as Attenuator"
    if inspect.isabstract(found):
        return f"incomplete: it lacks {', '.join(sorted(found.__abstractmethods__))}"
    if not isinstance(getattr(found, "declaration", None), Declaration):
        return "incomplete: it lacks its declaration"
    if "main" not in found.declaration.connections:
        return "its declaration has no connection 'main'"
    if not (isinstance(found.options_model, type) and issubclass(found.options_model, Options)):
        return "its options_model is not derived from Options"
    return ""
