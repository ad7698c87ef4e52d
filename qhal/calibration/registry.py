"""Which calibrations there are: strings published in the entry-point group ``qhal.calibrations``."""

from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from qhal.calibration.calibrate import Calibration
from qhal.errors import ConfigurationError
from qhal.extras import missing


def calibrations() -> dict[str, str]:
    """Return all published calibrations, ``name -> module``."""
    found: dict[str, str] = {}
    for entry in entry_points(group="qhal.calibrations"):
        found |= entry.load()
    return found


def load_calibration(name: str) -> Calibration[Any]:
    """Return a calibration. Raises ConfigurationError for a name that nobody published."""
    known = calibrations()
    if name not in known:
        raise ConfigurationError(f"no calibration {name!r}; there are {', '.join(sorted(known))}")
    try:
        found = import_module(known[name]).CALIBRATION
    except ModuleNotFoundError as error:
        raise missing(name, error, "calibration") from error
    assert isinstance(found, Calibration)
    return found
