"""The drivers: strings published in the entry-point group ``qhal.drivers``.

A driver's module is imported only when a device needs it.
"""

import inspect

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
    where = f"driver {name!r} ({known.places[name]})"
    if not (isinstance(found, type) and issubclass(found, Device) and issubclass(found, Interface)):
        raise ConfigurationError(
            f"{where}: not a class derived from Device and an interface such as Attenuator"
        )
    if fault := _fault(found):
        raise ConfigurationError(f"{where}: {fault}")
    return found


def _fault(driver: type[Device]) -> str:
    """Return what is missing in a driver, or wrong; an empty text when nothing is."""
    if inspect.isabstract(driver):
        return f"incomplete: it lacks {', '.join(sorted(driver.__abstractmethods__))}"
    if not isinstance(getattr(driver, "declaration", None), Declaration):
        return "incomplete: it lacks its declaration"
    if "main" not in driver.declaration.connections:
        return "its declaration has no connection 'main'"
    if not (isinstance(driver.options_model, type) and issubclass(driver.options_model, Options)):
        return "its options_model is not derived from Options"
    return ""
