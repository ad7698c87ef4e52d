"""How a device shows itself in a Python session and in a notebook: from what is known, without asking it."""

from typing import TYPE_CHECKING

from qhal.words import html_table, in_words, listed_in_words

if TYPE_CHECKING:
    from qhal.devices.device import Device


def line(device: "Device") -> str:
    """Return class, name, address, state and settings in one line."""
    parts = [device.connection.address, device.health.state]
    if device.settings:
        parts.append(listed_in_words(device.settings, 3))
    return f"<{type(device).__name__} {device.name!r} at {', '.join(parts)}>"


def table(device: "Device") -> str:
    """Return the same as a table for a notebook, with all settings."""
    rows = [("address", device.connection.address), ("state", device.health.state)]
    rows += [("", in_words(key, value)) for key, value in device.settings.items()]
    return html_table(f"{type(device).__name__} {device.name!r}", ("", ""), rows)
