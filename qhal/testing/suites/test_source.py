"""Suite of light sources."""

import pytest

from qhal.devices.source import Source
from qhal.errors import OutOfRange


@pytest.mark.reads
def test_set_points_are_within_their_limits(source: Source) -> None:
    """The frequency lies in the range of the unit; no power is reported without light."""
    limits, status = source.capabilities, source.status()
    assert status.frequency_thz is not None
    assert limits.min_frequency_thz <= status.frequency_thz <= limits.max_frequency_thz
    assert status.emitting == source.read_emitting()
    assert status.emitting or status.power_dbm is None


@pytest.mark.reads
def test_beyond_the_limits_nothing_is_sent(source: Source) -> None:
    """Power and frequency beyond the limits are refused before anything is sent."""
    limits, before = source.capabilities, source.device.health.exchanges
    for wrong in (limits.min_power_dbm - 1, limits.max_power_dbm + 1, float("nan")):
        with pytest.raises(OutOfRange, match="power"):
            source.set_power_dbm(wrong)
    with pytest.raises(OutOfRange, match="frequency"):
        source.set_frequency_thz(limits.max_frequency_thz + 1)
    assert source.device.health.exchanges == before


@pytest.mark.emits
def test_emits_what_is_set_and_stops(source: Source) -> None:
    """With the output on the measured power is near the set point; off, and made safe, nothing comes out."""
    limits = source.capabilities
    source.disable()
    middle = round((limits.min_frequency_thz + limits.max_frequency_thz) / 2, 1)
    assert source.set_frequency_thz(middle) == pytest.approx(middle, abs=limits.frequency_resolution_thz)
    wanted = (limits.min_power_dbm + limits.max_power_dbm) / 2
    achieved = source.set_power_dbm(wanted)
    try:
        source.enable()
        status = source.status()
        assert status.power_dbm == pytest.approx(achieved, abs=1.0)
    finally:
        source.make_safe()
    assert not source.read_emitting()
