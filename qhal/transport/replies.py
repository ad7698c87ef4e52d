"""Replies to values: the one place where text or JSON of an instrument becomes a number, a word or a flag.

A reply is taken whole or not at all: a number is a decimal number as SCPI writes one (``1550.``, ``.5``,
``+1.2E-03``), then nothing or a unit that the caller knows, within the limits that the caller gives. White space
and NUL around it are no content. What is anything else raises ProtocolError.

SCPI (IEEE 754 as SCPI-99 writes it) has three numbers that say "no value": 9.91E37 (not a number), 9.9E37 and
-9.9E37 (beyond the range); some units write them as words. They are a good answer, so they raise NoValue, which
is not a ProtocolError and taints no connection.

Meant for ``parse=`` of :meth:`qhal.transport.connection.Connection.exchange`, which adds device, address and request
to the message of what is raised here.
"""

import json
import re
import sys
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from qhal.errors import NoValue, ProtocolError

_LONGEST_NUMBER = 64
_LONGEST_TEXT = 1000
_SHOWN = 80
MOST = sys.float_info.max
"""The largest finite number; limits of this size are none."""
_NUMBER = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?)[ \t]*([^\W\d_]*)")
_WORDS = re.compile(r"([+-]?)(?:(nan)|(n?)inf(?:inity)?)", re.IGNORECASE)
_NOT_A_NUMBER, _INFINITY, _NEAR = 9.91e37, 9.9e37, 4e34
PADDING = " \t\r\n\0"
"""Characters around a text that are not content."""
_NO_UNITS: Mapping[str, float] = {}


def text(reply: bytes) -> str:
    """Return a reply as text, without white space and NUL around it; bytes that are not UTF-8 are read as Latin-1."""
    try:
        return reply.decode("utf-8").strip(PADDING)
    except UnicodeDecodeError:
        return reply.decode("latin-1").strip(PADDING)


def number(
    reply: str, units: Mapping[str, float] = _NO_UNITS, *, low: float = -MOST, high: float = MOST
) -> float:
    """Return a finite number, in the unit whose factor in ``units`` is 1.

    ``units``: what may stand behind the number, and by which factor that scales it. A bare number is not scaled.
    Raises NoValue, or ProtocolError for anything else and beyond the limits.
    """
    digits, unit = _taken_apart(reply, units)
    found = float(digits) * (units[unit] if unit else 1.0)
    if not low <= found <= high:
        raise ProtocolError(f"{reply!r} is not between {low:g} and {high:g}")
    return found


def whole_number(
    reply: str, units: Mapping[str, float] = _NO_UNITS, *, low: int = -(2**63), high: int = 2**63 - 1
) -> int:
    """Return a whole number, as :func:`number` does; ``1.5ns`` are 1500 ps where ``units`` say so."""
    digits, unit = _taken_apart(reply, units)
    found = Decimal(digits) * (Decimal(str(units[unit])) if unit else 1)
    if not low <= found <= high:
        raise ProtocolError(f"{reply!r} is not between {low} and {high}")
    if found != found.to_integral_value():
        raise ProtocolError(f"{reply!r} is not a whole number")
    return int(found)


def flag(reply: str) -> bool:
    """Return what 1, 0, ON or OFF says."""
    return word(reply, "1", "0", "ON", "OFF") in ("1", "ON")


def word(reply: str, *allowed: str) -> str:
    """Return the allowed word that a reply is, in whatever case or quotes it comes. Raises ProtocolError."""
    bare = _unquoted(reply).upper()
    for each in allowed:
        if bare == each.upper():
            return each
    raise ProtocolError(f"{reply[:_SHOWN]!r} is none of {', '.join(allowed)}")


def whole_numbers(reply: str, *, low: int = 0, high: int = 2**63 - 1) -> list[int]:
    """Return whole numbers with commas between them; an empty reply has none."""
    if not reply.strip():
        return []
    return [whole_number(part.strip(PADDING), low=low, high=high) for part in reply.split(",")]


def groups(pattern: str, reply: str) -> tuple[str, ...]:
    """Return the groups of a pattern that the whole reply matches, without white space around them."""
    found = re.fullmatch(pattern, reply)
    if found is None:
        raise ProtocolError(f"{reply[:_SHOWN]!r} is not of the form {pattern}")
    return tuple(group.strip(PADDING) for group in found.groups())


def identity_fields(reply: str) -> tuple[str, str, str, str]:
    """Return maker, model, serial number and firmware of an ``*IDN?`` reply. Raises ProtocolError."""
    fields = [field.strip(PADDING) for field in label(_unquoted(reply)).split(",")]
    if len(fields) != 4:
        raise ProtocolError(
            f"{reply[:_SHOWN]!r} has {len(fields)} fields; maker, model, serial, firmware are expected"
        )
    maker, model, serial, firmware = fields
    return maker, model, serial, firmware


def label(reply: str) -> str:
    """Return a text meant for people, in one line. Raises ProtocolError for control characters or an endless one."""
    found = " ".join(reply.split())
    if len(reply) > _LONGEST_TEXT or not found.isprintable():
        raise ProtocolError(f"{reply[:_SHOWN]!r} ({len(reply)} characters) is not a printable text")
    return found


def error_entry(reply: str) -> tuple[int, str]:
    """Return number and text of a ``SYST:ERR?`` reply: a whole number, a comma, the rest of the line."""
    code, comma, rest = reply.partition(",")
    if not comma:
        raise ProtocolError(
            f"{reply[:_SHOWN]!r} is not an error entry: a number, a comma and a text are expected"
        )
    shown = "".join(letter if letter.isprintable() else "?" for letter in _unquoted(rest)[:_LONGEST_TEXT])
    return whole_number(code.strip(PADDING), low=-99999, high=99999), shown


# -- JSON


def json_values(reply: bytes) -> list[Any]:
    """Return the JSON values of a reply, one behind the other. Raises ProtocolError."""
    rest, decoder, found = text(reply), json.JSONDecoder(), []
    while rest:
        try:
            value, end = decoder.raw_decode(rest)
        except (ValueError, RecursionError) as error:
            raise ProtocolError(f"{rest[:_SHOWN]!r} is not JSON: {str(error)[:_SHOWN]}") from error
        found.append(value)
        rest = rest[end:].lstrip(PADDING)
    return found


def json_value(reply: bytes) -> Any:
    """Return the one JSON value that a reply is. Raises ProtocolError."""
    found = json_values(reply)
    if len(found) != 1:
        raise ProtocolError(f"{reply[:_SHOWN]!r} holds {len(found)} JSON values, one is expected")
    return found[0]


def member(content: Any, name: str) -> Any:
    """Return a member of a JSON object. Raises ProtocolError when it is not an object or lacks the member."""
    if not isinstance(content, dict) or name not in content:
        raise ProtocolError(f"{_shown(content)} has no member {name!r}")
    return content[name]


def as_number(value: Any, what: str, *, low: float = -MOST, high: float = MOST) -> float:
    """Return a JSON number. Raises ProtocolError for one that is not finite, beyond the limits, or none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        limits = f" from {low:g} to {high:g}" if (low, high) != (-MOST, MOST) else ""
        raise ProtocolError(f"{what} is {_shown(value)}; a number{limits} is expected")
    return float(value)


def as_whole_number(value: Any, what: str, *, low: int, high: int) -> int:
    """Return a JSON number that is whole. Raises ProtocolError as :func:`as_number` does."""
    as_number(value, what, low=low, high=high)
    if value != int(value):
        raise ProtocolError(f"{what} is {value!r}; a whole number is expected")
    return int(value)


def as_flag(value: Any, what: str) -> bool:
    """Return JSON's true or false. Raises ProtocolError for anything else."""
    if not isinstance(value, bool):
        raise ProtocolError(f"{what} is {_shown(value)}; true or false is expected")
    return value


def as_text(value: Any, what: str) -> str:
    """Return a JSON string meant for people. Raises ProtocolError for anything else."""
    if not isinstance(value, str):
        raise ProtocolError(f"{what} is {_shown(value)}; a text is expected")
    return label(value)


def as_list(value: Any, what: str, count: int | None = None) -> list[Any]:
    """Return a JSON list, of ``count`` values when given. Raises ProtocolError for anything else."""
    if not isinstance(value, list):
        raise ProtocolError(f"{what} is {_shown(value)}; a list is expected")
    if count is not None and len(value) != count:
        raise ProtocolError(f"{what} is {_shown(value)}; a list of {count} is expected, not of {len(value)}")
    return value


def _taken_apart(reply: str, units: Mapping[str, float]) -> tuple[str, str]:
    """Return the digits and the unit of a number."""
    found = _NUMBER.fullmatch(reply) if len(reply) <= _LONGEST_NUMBER else None
    if found is None:
        _refuse_words(reply)
        raise ProtocolError(f"{reply[:_SHOWN]!r} is not a number")
    digits, unit = found.groups()
    if unit and unit not in units:
        known = f"known are {', '.join(units)}" if units else "none is expected"
        raise ProtocolError(f"{reply!r}: unknown unit {unit!r}, {known}")
    size = abs(float(digits))
    if abs(size - _NOT_A_NUMBER) <= _NEAR:
        raise NoValue(f"{reply!r} means no value")
    if abs(size - _INFINITY) <= _NEAR:
        raise _beyond(reply, below=digits.startswith("-"))
    return digits, unit


def _refuse_words(reply: str) -> None:
    """Raise NoValue for a number that is none, as a word."""
    found = _WORDS.fullmatch(reply) if len(reply) <= _LONGEST_NUMBER else None
    if found is None:
        return
    sign, nan, negative = found.groups()
    if nan:
        raise NoValue(f"{reply!r} means no value")
    raise _beyond(reply, below=bool(negative) or sign == "-")


def _beyond(reply: str, *, below: bool) -> NoValue:
    return NoValue(f"{reply!r} means {'below' if below else 'above'} the range", below_range=below)


def _unquoted(reply: str) -> str:
    bare = reply.strip(PADDING)
    if len(bare) >= 2 and bare[0] == bare[-1] and bare[0] in "\"'":
        return bare[1:-1].strip(PADDING)
    return bare


def _shown(value: Any) -> str:
    """Return a value for a message. A list may be nested as deep as JSON lets it, a number may fill pages."""
    if isinstance(value, list | dict):
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value)}"
    if isinstance(value, int) and value.bit_length() > 200:
        return f"a number of {value.bit_length()} bits"
    return repr(value)[:_SHOWN]
