"""Suite of attenuators."""

import pytest

from qhal.devices.attenuator import Attenuator
from qhal.errors import DeviceError, OutOfRange


def _know_position(attenuator: Attenuator) -> None:
    if attenuator.status().attenuation_db is None:
        attenuator.home()


@pytest.mark.reads
def test_attenuation_is_within_its_limits(attenuator: Attenuator) -> None:
    """The attenuation is within the limits of the unit, or reported as unknown."""
    limits = attenuator.capabilities
    assert limits.min_attenuation_db < limits.max_attenuation_db
    if attenuator.status().attenuation_db is None:
        with pytest.raises(DeviceError):
            attenuator.read_attenuation_db()
        return
    found = attenuator.read_attenuation_db()
    margin = limits.resolution_db
    assert limits.min_attenuation_db - margin <= found <= limits.max_attenuation_db + margin


@pytest.mark.reads
@pytest.mark.parametrize("excess_db", [-1.0, 1.0, float("nan"), float("inf")])
def test_beyond_the_limits_nothing_is_sent(attenuator: Attenuator, excess_db: float) -> None:
    """An attenuation beyond the limits is refused with the limits, before anything is sent."""
    limits = attenuator.capabilities
    edge = limits.min_attenuation_db if excess_db < 0 else limits.max_attenuation_db
    before = attenuator.device.health.exchanges
    with pytest.raises(OutOfRange, match="is not between"):
        attenuator.set_attenuation_db(edge + excess_db)
    assert attenuator.device.health.exchanges == before


@pytest.mark.moves
def test_goes_where_it_is_told(attenuator: Attenuator) -> None:
    """Set values are reached within the resolution, and read back as returned."""
    _know_position(attenuator)
    limits = attenuator.capabilities
    span = limits.max_attenuation_db - limits.min_attenuation_db
    for share in (0.25, 0.75, 0.5):
        wanted = limits.min_attenuation_db + share * span
        achieved = attenuator.set_attenuation_db(wanted)
        assert achieved == pytest.approx(wanted, abs=limits.resolution_db)
        assert attenuator.read_attenuation_db() == achieved


@pytest.mark.moves
def test_safe_is_dark(attenuator: Attenuator) -> None:
    """Made safe it attenuates as much as it can."""
    _know_position(attenuator)
    attenuator.make_safe()
    limits = attenuator.capabilities
    assert attenuator.read_attenuation_db() >= limits.max_attenuation_db - limits.resolution_db
