"""Arguments and replies of AWG5014 commands: parsed, checked and formatted."""

from typing import Any

from qhal_simulators.instruments.tektronix.awg_settings import CHANNELS
from qhal_simulators.scpi_commands import ScpiError, boolean, choice, number, text


def nr3(value: float) -> str:
    """Return a number as the instrument prints it: 8 decimals, three-digit exponent."""
    mantissa, _, exponent = f"{value:.8E}".partition("E")
    return f"{mantissa}E{int(exponent):+04d}"


def shown(value: Any) -> str:
    """Return a value as a reply."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float):
        return nr3(value)
    return str(value)


def quoted(value: str) -> str:
    """Return a text in quotes."""
    return f'"{value}"'


def argument(arguments: list[bytes], position: int = 0) -> bytes:
    """Return an argument. Raises ScpiError for a missing one."""
    if len(arguments) <= position:
        raise ScpiError(-109)
    return arguments[position]


def parsed(kind: str | tuple[str, ...], argument: bytes, low: float, high: float) -> Any:
    """Return the value of an argument of a kind of setting. Raises ScpiError."""
    if kind == "boolean":
        return boolean(argument)
    if kind == "text":
        return text(argument)
    if isinstance(kind, tuple):
        word = choice(argument, kind)
        return {"ENH": "SEQ", "ASYNC": "ASYN"}.get(word, word)
    value = number(argument, low, high)
    return round(value) if kind == "integer" else value


def channel(suffixes: tuple[int, ...]) -> int:
    """Return the channel that a header names. Raises ScpiError."""
    if not 1 <= suffixes[0] <= CHANNELS:
        raise ScpiError(-113)
    return suffixes[0]


def as_block(data: bytes) -> bytes:
    """Return a definite block."""
    count = str(len(data)).encode()
    return b"#" + str(len(count)).encode() + count + data
