"""From ticks of a tagger to picoseconds and back: exact in 64 bits, and never beyond them.

Whole picoseconds are ``floor(ticks * unit)``. The product may need 128 bits, so its quotient is estimated in floating
point and corrected by the remainder, which is small enough for arithmetic modulo 2^64 to be exact.
"""

import re
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field

Times = NDArray[np.int64]

MAX_PS = 2**63 - 2
"""The latest time: the span that ends behind it must fit in 64 bits, too. 106.75 days."""
_DIGITS = 1 << 50
"""Numerator and denominator of a unit stay below this, so that the remainder fits."""
_PLAIN = re.compile(r"\d{1,15}(\.\d{0,15})?|\d{0,15}\.\d{1,15}|\d{1,15}/\d{1,15}")


def _unit(given: Any) -> Fraction:
    text = str(given)
    if not _PLAIN.fullmatch(text) or not (text.partition("/")[2] or "1").strip("0"):
        raise ValueError("give picoseconds as a number or a ratio, such as 80.9553 or 1/3")
    unit = Fraction(text)
    if max(unit.numerator, unit.denominator) >= _DIGITS:
        raise ValueError("give at most 15 digits")
    return unit


Unit = Annotated[Fraction, BeforeValidator(_unit), Field(gt=0, le=10**12)]
"""An option: picoseconds of a tick, up to a second."""


def meant(seconds: float) -> Fraction:
    """Return the simplest number of picoseconds that a resolution in seconds, a rounded double, can mean."""
    exact = Fraction(seconds) * 10**12
    most = max(1, _DIGITS // (int(exact) + 1) - 1)
    ratios = [exact.limit_denominator(min(10**digits, most)) for digits in (3, 6, 9, 12, 15)]
    decimal = Fraction(repr(seconds)) * 10**12
    if len(Decimal(repr(seconds)).as_tuple().digits) <= 15 and max(decimal.as_integer_ratio()) < _DIGITS:
        ratios.insert(1, decimal)
    fitting = (unit for unit in ratios if seconds in (float(unit / 10**12), float(unit) * 1e-12))
    return next(fitting, ratios[-1])


def last_tick(unit: Fraction, limit_ps: int = MAX_PS) -> int:
    """Return the last tick whose time is not beyond a limit."""
    return ((limit_ps + 1) * unit.denominator - 1) // unit.numerator


def last_time(unit: Fraction, last: int = 2**63 - 1) -> int:
    """Return the time of a tick, or ``MAX_PS`` when that is earlier."""
    return min(last * unit.numerator // unit.denominator, MAX_PS)


def to_ps(ticks: Times, unit: Fraction) -> Times:
    """Return ``floor(ticks * unit)``; all of it must lie within ``-MAX_PS`` and ``MAX_PS``."""
    if unit == 1:
        return ticks
    if unit.denominator == 1:
        whole: Times = ticks * int(unit)
        return whole
    times = _estimate(ticks, unit)
    rest = ticks * _wrapped(unit.numerator) - times * unit.denominator
    times += rest // unit.denominator
    return times


def to_ticks(times: Times, unit: Fraction) -> Times:
    """Return the ticks of which :func:`to_ps` makes these times, or those that begin next before them.

    All must lie within 64 bits: not beyond :func:`last_time` of the last tick.
    """
    if unit == 1:
        return times
    # Rounding up finds the tick whose whole picoseconds these are; what lies between two ticks is rounded down.
    up: Times = -to_ps(-times, 1 / unit)
    if unit < 1:
        return up  # each picosecond has a tick of its own
    up -= to_ps(up, unit) != times
    return up


def beyond(ticks: Times, unit: Fraction) -> int | None:
    """Return the first tick whose time is more than ``MAX_PS`` from zero."""
    limit = min(last_tick(unit), 2**63 - 1)
    if not len(ticks) or (int(ticks.max()) <= limit and int(ticks.min()) >= -limit):
        return None
    return int(np.flatnonzero((ticks > limit) | (ticks < -limit))[0])


def _estimate(ticks: Times, unit: Fraction) -> Times:
    # The largest float below 2^63, where rounding would go beyond.
    top = 2.0**63 - 2.0**10
    times: Times = np.clip(ticks * float(unit), -top, top).astype(np.int64)
    return times


def _wrapped(number: int) -> np.int64:
    return np.int64((number + 2**63) % 2**64 - 2**63)
