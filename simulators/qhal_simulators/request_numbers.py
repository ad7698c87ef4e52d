"""Numbers in requests: the whole text, bounded in length and value, always finite."""

import re
from decimal import Decimal

_LONGEST = 64
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?", re.ASCII)


class NotANumber(ValueError):
    """The text is not a decimal number, or longer than any sensible one."""


class NumberOutOfRange(ValueError):
    """The text is a number, but not one that is allowed."""


def decimal(text: str, low: float | Decimal, high: float | Decimal) -> Decimal:
    """Return a decimal number from ``low`` to ``high``, exact. Raises NotANumber, NumberOutOfRange."""
    if len(text) > _LONGEST or _NUMBER.fullmatch(text) is None:
        raise NotANumber(f"{text[:_LONGEST]!r} is not a decimal number")
    value = Decimal(text)
    if not low <= value <= high:
        raise NumberOutOfRange(f"{text} is not from {low} to {high}")
    return value


def whole(text: str, low: int, high: int) -> int:
    """Return digits as an integer from ``low`` to ``high``. Raises NotANumber, NumberOutOfRange."""
    value = decimal(text, low, high)
    if not text.isdigit():
        raise NotANumber(f"{text!r} is not a whole number")
    return int(value)
