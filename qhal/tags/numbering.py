"""One rule for channel numbers in every format: 0 is sync, 1..99 inputs, 101..199 falling edges, 201..215 markers.

Formats disagree (one reader numbers sync like the first input, another puts markers at -1), so every codec maps
to this rule and back. An input counts from 1, as the connectors of the instruments do.
"""

from collections.abc import Iterable, Set

SYNC = 0
LAST_INPUT = 99
_FALLING = 100
_MARKER = 200
_LAST_MARKER = 15
ALL = frozenset(
    (
        SYNC,
        *range(1, LAST_INPUT + 1),
        *range(_FALLING + 1, _MARKER),
        *range(_MARKER + 1, _MARKER + _LAST_MARKER + 1),
    )
)
"""Every number that means a channel."""


def falling(channel: int) -> int:
    """Return the number of the falling edge of an input. Raises ValueError for what is not an input."""
    if not 1 <= channel <= LAST_INPUT:
        raise ValueError(f"input {channel}: there are 1..{LAST_INPUT}")
    return _FALLING + channel


def marker(bits: int) -> int:
    """Return the number of a marker event whose lines are ``bits`` (1..15: bit 0 is line 1). Raises ValueError."""
    if not 1 <= bits <= _LAST_MARKER:
        raise ValueError(f"marker bits {bits}: there are 1..{_LAST_MARKER}")
    return _MARKER + bits


def input_of(channel: int) -> int | None:
    """Return the input whose edge this is, None for sync and markers."""
    if 1 <= channel <= LAST_INPUT:
        return channel
    return channel - _FALLING if _FALLING < channel <= _FALLING + LAST_INPUT else None


def marker_bits(channel: int) -> int | None:
    """Return the lines of a marker event, None for what is none."""
    return channel - _MARKER if _MARKER < channel <= _MARKER + _LAST_MARKER else None


def describe(channel: int) -> str:
    """Return a channel in words: ``sync``, ``input 3``, ``input 3 falling``, ``marker 0b0010``."""
    if channel == SYNC:
        return "sync"
    if (bits := marker_bits(channel)) is not None:
        return f"marker 0b{bits:04b}"
    number = input_of(channel)
    if number is None:
        return f"unknown {channel}"
    return f"input {number}" if channel <= LAST_INPUT else f"input {number} falling"


def describe_all(channels: Iterable[int]) -> str:
    """Return several channels in words."""
    return ", ".join(map(describe, sorted(channels))) or "none"


def ranges(channels: Set[int]) -> str:
    """Return numbers in short: ``0, 1..64, 201..215``."""
    ordered = sorted(channels)
    starts = [c for c in ordered if c - 1 not in channels]
    stops = [c for c in ordered if c + 1 not in channels]
    return ", ".join(f"{a}" if a == b else f"{a}..{b}" for a, b in zip(starts, stops, strict=True))
