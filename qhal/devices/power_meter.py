"""Optical power meters, alone or as sub-devices of a switch or a laser."""

import math
from abc import abstractmethod

from qhal.devices.declaration import Capabilities
from qhal.devices.interface import Interface, SafeState, check_read, is_port
from qhal.devices.status import Snapshot, Status
from qhal.errors import NoValue, Unsupported

_DARKEST_DBM = -400.0
"""Less than one photon in the age of the universe: no meter means that."""


class PowerMeterCapabilities(Capabilities):
    """The channels that have a monitor, and the range in which a reading means something, dBm."""

    channels: tuple[int, ...]
    min_power_dbm: float
    max_power_dbm: float


class PowerMeterStatus(Status):
    """Power by channel, dBm; None where the light is below the meter's range, or the power is unknown (a problem then).

    ``below_range``: the channels that answered, with too little light.
    """

    power_dbm: dict[int, float | None]
    below_range: tuple[int, ...]


class PowerMeter(Interface[PowerMeterCapabilities, PowerMeterStatus]):
    """Reads optical power."""

    def read_power_dbm(self, channel: int = 1) -> float | None:
        """Return the power at a channel, dBm; None when it is below the meter's range (no light is an answer).

        Raises Unsupported for a channel that the unit lacks, DeviceError when the meter has no value or is overloaded,
        ProtocolError for a power above its range.
        """
        channels = self.capabilities.channels
        if not is_port(channel, channels):
            raise Unsupported(
                f"{self.device.name}: no power monitor {channel!r}; there are {len(channels)} "
                f"between {channels[0]} and {channels[-1]}"
            )
        with self.device.locked():
            return self._power_dbm(channel)

    def _make_safe(self) -> SafeState:
        """Do nothing: a meter only looks."""
        return SafeState.UNTOUCHED

    def status(self) -> PowerMeterStatus:
        """Return one snapshot of all channels."""
        with self.device.locked():
            snapshot, power_dbm, below_range = Snapshot(), dict[int, float | None](), []
            for channel in self.capabilities.channels:
                problems = len(snapshot.problems)
                power_dbm[channel] = snapshot.read(self._power_dbm, channel)
                if power_dbm[channel] is None and len(snapshot.problems) == problems:
                    below_range.append(channel)
            return snapshot.taken(PowerMeterStatus, power_dbm=power_dbm, below_range=tuple(below_range))

    def _power_dbm(self, channel: int) -> float | None:
        limits = self.capabilities
        try:
            power_dbm = self._read_power_dbm(channel)
        except NoValue as error:
            if error.below_range:
                return None
            raise
        if _DARKEST_DBM <= power_dbm < limits.min_power_dbm or power_dbm == -math.inf:
            return None
        what = f"power at channel {channel}"
        return check_read(self.device, what, power_dbm, limits.min_power_dbm, limits.max_power_dbm, "dBm")

    @abstractmethod
    def _read_power_dbm(self, channel: int) -> float:
        """Read the power, dBm. Raises NoValue when the light is below or above the meter's range."""
