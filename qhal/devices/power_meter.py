"""Optical power meters, alone or as a facet of a switch or a laser."""

from abc import abstractmethod

from qhal.devices.declaration import Capabilities
from qhal.devices.kind import Kind, now
from qhal.devices.status import Status
from qhal.errors import Unsupported


class PowerMeterCapabilities(Capabilities):
    """The channels that have a monitor, and the range in which a reading means something, dBm."""

    channels: tuple[int, ...]
    min_power_dbm: float
    max_power_dbm: float


class PowerMeterStatus(Status):
    """Power by channel, dBm; None below the meter's range."""

    power_dbm: dict[int, float | None]


class PowerMeter(Kind):
    """Reads optical power."""

    @property
    @abstractmethod
    def meter_capabilities(self) -> PowerMeterCapabilities:
        """Channels and range, read at opening."""

    def read_power_dbm(self, channel: int = 1) -> float | None:
        """Return the power at a channel, dBm; None when it is below the meter's range.

        Raises Unsupported for a channel that there is not.
        """
        channels = self.meter_capabilities.channels
        if channel not in channels:
            raise Unsupported(
                f"{self.device.name}: no power monitor {channel!r}; there are {len(channels)} "
                f"between {channels[0]} and {channels[-1]}"
            )
        reading = self._read_power_dbm(channel)
        return reading if reading >= self.meter_capabilities.min_power_dbm else None

    def make_safe(self) -> None:
        """Do nothing: a meter only looks."""

    def status(self) -> Status:
        """Return one snapshot of all channels."""
        with self.device.reading():
            readings = {channel: self.read_power_dbm(channel) for channel in self.meter_capabilities.channels}
            return PowerMeterStatus(time=now(), power_dbm=readings)

    @abstractmethod
    def _read_power_dbm(self, channel: int) -> float:
        """Ask for the power."""
