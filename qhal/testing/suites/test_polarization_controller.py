"""Suite of polarization controllers."""

import pytest

from qhal.devices.polarization_controller import PolarizationController
from qhal.errors import OutOfRange, Unsupported


@pytest.mark.reads
def test_angles_are_within_their_limits(polarization_controller: PolarizationController) -> None:
    """Every paddle stands within its range."""
    limits, angles = polarization_controller.capabilities, polarization_controller.read_angles_deg()
    assert len(angles) == limits.paddles
    margin = 2 * limits.resolution_deg
    assert all(limits.min_angle_deg - margin <= angle <= limits.max_angle_deg + margin for angle in angles)


@pytest.mark.reads
def test_wrong_requests_send_nothing(polarization_controller: PolarizationController) -> None:
    """An angle beyond the range or a paddle too many is refused before anything is sent."""
    limits, before = polarization_controller.capabilities, polarization_controller.device.health.exchanges
    with pytest.raises(OutOfRange, match="is not between"):
        polarization_controller.set_angle_deg(1, limits.max_angle_deg + 1)
    with pytest.raises(Unsupported, match=f"paddle {limits.paddles + 1}"):
        polarization_controller.set_angle_deg(limits.paddles + 1, limits.min_angle_deg)
    assert polarization_controller.device.health.exchanges == before


@pytest.mark.moves
def test_moves_where_it_is_told(polarization_controller: PolarizationController) -> None:
    """All paddles move together, one moves alone, and they come back."""
    limits, before = polarization_controller.capabilities, polarization_controller.read_angles_deg()
    middle = (limits.min_angle_deg + limits.max_angle_deg) / 2
    wanted = [middle + 5 * n for n in range(limits.paddles)]
    tolerance = 3 * limits.resolution_deg
    try:
        assert polarization_controller.set_angles_deg(wanted) == pytest.approx(wanted, abs=tolerance)
        alone = polarization_controller.set_angle_deg(1, middle - 20)
        assert alone == pytest.approx(middle - 20, abs=tolerance)
        assert polarization_controller.read_angles_deg()[1:] == pytest.approx(wanted[1:], abs=tolerance)
    finally:
        back = [min(max(angle, limits.min_angle_deg), limits.max_angle_deg) for angle in before]
        polarization_controller.set_angles_deg(back)
