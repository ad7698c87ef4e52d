"""What a device, its sub-devices and its interfaces have in common: capabilities and a status."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from qhal.devices.declaration import Capabilities
from qhal.devices.status import Status


class Described(ABC):
    """Anything with capabilities and a status. An interface narrows the types of both."""

    @abstractmethod
    def status(self) -> Status:
        """Return one coherent snapshot."""

    @property
    def setting_tolerances(self) -> Mapping[str, float]:
        """By setting, the largest difference of two readings of one setting, in its unit; 0 for one that is absent."""
        return {}

    def _read_settings(self) -> dict[str, Any]:
        """Read every setting that another client or a power cycle could have changed; None for one without a value.

        An interface reads its own; a driver adds what else its model has.
        """
        return {}

    @abstractmethod
    def _read_capabilities(self) -> Capabilities:
        """Read what the unit can do. Called once per opening, after the unit is identified."""
