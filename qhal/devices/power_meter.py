"""Optical power meters, alone or as a facet of a switch or a laser."""

from abc import abstractmethod

from qhal.devices.declaration import Capabilities
from qhal.devices.kind import Kind, check_channel, now
from qhal.devices.status import Status


class PowerMeterCapabilities(Capabilities):
    """Channels 1..N and the range in which a reading means something, dBm."""

    channels: int
    min_power_dbm: float
    max_power_dbm: float


class PowerMeterStatus(Status):
    """Power by channel, dBm; None below the meter's range."""

    power_dbm: tuple[float | None, ...]


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
        check_channel(self.device, channel, self.meter_capabilities.channels)
        reading = self._read_power_dbm(channel)
        return reading if reading >= self.meter_capabilities.min_power_dbm else None

    def make_safe(self) -> None:
        """Do nothing: a meter only looks."""

    def status(self) -> Status:
        """Return one snapshot of all channels."""
        with self.device.reading():
            channels = range(1, self.meter_capabilities.channels + 1)
            return PowerMeterStatus(
                time=now(), power_dbm=tuple(self.read_power_dbm(channel) for channel in channels)
            )

    @abstractmethod
    def _read_power_dbm(self, channel: int) -> float:
        """Ask for the power."""
