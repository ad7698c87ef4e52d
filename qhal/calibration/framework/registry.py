"""Known calibrations: modules by name, published in the entry-point group ``qhal.calibrations``."""

from typing import Any

from qhal.calibration.framework.calibration import Calibration
from qhal.extras import missing
from qhal.published import Published, published


def calibrations() -> dict[str, str]:
    """Return all published calibrations, ``name -> module``."""
    return dict(_published().places)


def _published() -> Published:
    return published("qhal.calibrations", "calibration")


def load_calibration(name: str) -> Calibration[Any, Any]:
    """Return a calibration. Raises ConfigurationError for an unknown name."""
    try:
        found = _published().load(name).CALIBRATION
    except ModuleNotFoundError as error:
        raise missing(name, error, "calibration") from error
    assert isinstance(found, Calibration)
    return found
