"""Comparison of settings: a value read back from a DAC is the same setting within its tolerance."""

from collections.abc import Mapping
from numbers import Real
from typing import Any


def same_setting(before: Any, after: Any, tolerance: float = 0.0) -> bool:
    """Return whether two values are the same setting.

    Parameters
    ----------
    before, after
        Numbers, or sequences of them (one element a channel), compared within ``tolerance``; anything else must be
        equal. Lists and tuples are the same, so that a stored setting compares with one that was read.
    tolerance
        Largest difference of two readings of one setting, in the unit of the setting.

    Examples
    --------
    >>> same_setting((25.098, 27.0), [25.101, 27.0], tolerance=0.005)
    True
    >>> same_setting(25.098, 25.101)
    False
    >>> same_setting(True, 1.0, tolerance=2.0)
    False
    """
    if isinstance(before, list | tuple) and isinstance(after, list | tuple):
        return len(before) == len(after) and all(
            same_setting(one, other, tolerance) for one, other in zip(before, after, strict=True)
        )
    if _is_number(before) and _is_number(after):
        # Readings have a few digits, of which the last is not significant.
        return bool(before == after or abs(before - after) <= tolerance * (1 + 1e-9))
    return isinstance(before, bool) == isinstance(after, bool) and bool(before == after)


def changed_settings(
    before: Mapping[str, Any], after: Mapping[str, Any], tolerances: Mapping[str, float]
) -> dict[str, tuple[Any, Any]]:
    """Return the settings of ``before`` that ``after`` has otherwise: name -> (value before, value after)."""
    return {
        name: (value, after.get(name))
        for name, value in before.items()
        if not same_setting(value, after.get(name), tolerances.get(name, 0.0))
    }


def setting_text(value: Any) -> str:
    """Return a setting as messages show it; a stored sequence as one that was read."""
    return str(tuple(value) if isinstance(value, list) else value)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
