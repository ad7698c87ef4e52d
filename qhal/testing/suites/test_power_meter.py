"""Suite of power meters."""

import pytest

from qhal.devices.power_meter import PowerMeter
from qhal.errors import OutOfRange, Unsupported

pytestmark = pytest.mark.reads


def test_readings_are_within_range_or_absent(power_meter: PowerMeter) -> None:
    """A reading is a power within the meter's range, or None below it; never a number in its place."""
    limits = power_meter.capabilities
    for channel in limits.channels[:4]:
        found = power_meter.read_power_dbm(channel)
        assert found is None or limits.min_power_dbm - 1 <= found <= limits.max_power_dbm + 1


def test_wrong_channels_send_nothing(power_meter: PowerMeter) -> None:
    """A channel that does not exist is refused before anything is sent."""
    before = power_meter.device.health.exchanges
    for channel in (0, power_meter.capabilities.channels[-1] + 1):
        with pytest.raises((Unsupported, OutOfRange), match=str(channel)):
            power_meter.read_power_dbm(channel)
    assert power_meter.device.health.exchanges == before
