"""Suite of optical switches."""

import pytest

from qhal.devices.optical_switch import OpticalSwitch
from qhal.errors import Busy, OutOfRange, QhalError, Unsupported

WRONG_PORT = (OutOfRange, Unsupported)


@pytest.mark.reads
def test_pattern_is_legal(optical_switch: OpticalSwitch) -> None:
    """The pattern connects ports that exist, each once."""
    limits, pattern = optical_switch.capabilities, optical_switch.read_pattern()
    assert set(pattern) <= set(limits.ingress)
    assert set(pattern.values()) <= set(limits.egress)
    assert len(set(pattern.values())) == len(pattern)


@pytest.mark.reads
def test_wrong_ports_send_nothing(optical_switch: OpticalSwitch) -> None:
    """A port that does not exist is refused before anything is sent."""
    limits = optical_switch.capabilities
    before = optical_switch.device.health.exchanges
    for pair in (
        (max(limits.ingress) + 1000, limits.egress[0]),
        (limits.ingress[0], max(limits.egress) + 1000),
    ):
        with pytest.raises(WRONG_PORT):
            optical_switch.connect(*pair)
    assert optical_switch.device.health.exchanges == before


@pytest.mark.moves
def test_connects_and_goes_back(optical_switch: OpticalSwitch) -> None:
    """A pattern is set at once, a port in use is not taken away, and the old pattern comes back."""
    limits, before = optical_switch.capabilities, optical_switch.read_pattern()
    first, second = limits.ingress[:2]
    here, there = limits.egress[:2]
    try:
        optical_switch.set_pattern({first: here})
        assert optical_switch.read_pattern()[first] == here
        with pytest.raises(Busy):
            optical_switch.connect(second, here)
        assert optical_switch.read_pattern()[first] == here
        optical_switch.connect(second, there)
        assert optical_switch.read_pattern()[second] == there
        if limits.can_be_dark:
            optical_switch.disconnect(second)
            assert second not in optical_switch.read_pattern()
    finally:
        optical_switch.set_pattern(before)
    assert optical_switch.read_pattern() == before


@pytest.mark.moves
def test_reserved_paths_are_their_owners(optical_switch: OpticalSwitch) -> None:
    """A reserved port is moved by its owner only."""
    limits, before = optical_switch.capabilities, optical_switch.read_pattern()
    port = limits.ingress[0]
    optical_switch.reserve(port, "suite")
    try:
        with pytest.raises(QhalError, match="suite"):
            optical_switch.set_pattern({port: limits.egress[-1]}, owner="another owner")
        assert optical_switch.read_pattern() == before
    finally:
        optical_switch.release("suite")
