"""The representations of a device in a Python session and in a notebook, from known values, without a query."""

from collections.abc import Mapping
from typing import Any

from qhal.words import html_table, in_words, listed_in_words


def line(title: str, address: str, state: str, settings: Mapping[str, Any]) -> str:
    """Return title, address, state and the first settings in one line."""
    parts = [address, state]
    if settings:
        parts.append(listed_in_words(settings, 3))
    return f"<{title} at {', '.join(parts)}>"


def table(title: str, address: str, state: str, settings: Mapping[str, Any]) -> str:
    """Return the same as a table for a notebook, with all settings."""
    rows = [("address", address), ("state", state)]
    rows += [("", in_words(key, value)) for key, value in settings.items()]
    return html_table(title, ("", ""), rows)
