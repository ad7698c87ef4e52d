"""Suite of all devices, for any interface."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from qhal.devices.device import Device

pytestmark = pytest.mark.reads


def test_says_who_it_is(device: Device) -> None:
    """An identity has at least a model or a shape, and its grade is kept at every opening."""
    identity = device.identity
    assert identity.model or identity.shape
    if device.declaration.identity.value == "serial":
        assert identity.serial_number


def test_opening_again_changes_nothing(device: Device) -> None:
    """Opening is idempotent; closing and opening finds the same unit with the same settings."""
    identity = device.identity
    device.open()
    device.close()
    device.close()
    device.open()
    assert device.identity == identity
    assert device.health.settings_changed == {}


def test_status_is_one_snapshot(device: Device) -> None:
    """A status has a time and a quality, and a problem when the quality is not good."""
    status = device.status()
    assert status.time.tzinfo is not None
    assert (status.quality.value == "good") == (not status.problems)


def test_threads_get_their_own_answers(device: Device) -> None:
    """Four threads that read at once neither disturb each other nor fail."""
    types = {type(device.status()).__name__}
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: device.status(), range(8)))
    assert {type(status).__name__ for status in found} == types
    assert device.health.timeouts == 0
    assert device.health.protocol_errors == 0
