"""Forms of the settings of a Time Controller: how a value is checked and how it is written in replies."""

import re
from dataclasses import dataclass
from decimal import Decimal

from qhal_simulators.request_numbers import NotANumber, NumberOutOfRange, decimal, whole
from qhal_simulators.scpi_commands import ScpiError, short_form

WRONG_TYPE = -104
NO_CONNECTION = -1
"""The unit's own answer to a link that cannot be."""
LONGEST_PS = 10**18
_LEVEL_STEP_V = 1.024e-3
_LARGEST_LEVEL_V = 5
_PREFIXES = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_SOURCES = {"INPUt": 4, "DELAy": 8, "GENerator": 8, "TSCOmbiner": 24}


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. ``form``: flag, time, level, number, link, or the words that are allowed.

    ``low`` and ``high`` limit a time (ps) or a number; a number up to infinity may be INF. ``words``: links beside
    those to blocks.
    """

    block: str
    key: str
    form: str
    default: str
    count: int = 1
    only: str = ""
    low: int = 0
    high: int = LONGEST_PS
    words: str = "NONE"

    def exists(self, firmware: str) -> bool:
        """Tell whether a firmware has it."""
        return self.only in ("", firmware)

    def parse(self, text: str) -> str:
        """Return a value as it is answered later. Raises ScpiError."""
        word = text.strip().upper()
        try:
            return self._parse(word)
        except (NotANumber, NumberOutOfRange) as error:
            raise ScpiError(WRONG_TYPE) from error

    def _parse(self, word: str) -> str:
        if self.form == "flag":
            if word not in ("", "ON", "OFF", "1", "0"):
                raise ScpiError(WRONG_TYPE)
            return "OFF" if word in ("OFF", "0") else "ON"
        if self.form == "time":
            return f"{_picoseconds(word, self.low, self.high)}TB"
        if self.form == "level":
            return _level(word)
        if self.form == "number":
            if word in ("INF", "INFINITY") and self.high == LONGEST_PS:
                return "INF"
            return str(whole(word, self.low, self.high))
        if self.form == "link":
            return _link(word, self.words)
        for each in self.form.split("|"):
            if is_word(word, each):
                return each.upper()
        raise ScpiError(WRONG_TYPE)


def is_word(text: str, word: str) -> bool:
    """Tell whether upper-case letters are a word, in a form from the short to the long one."""
    return text != "" and word.upper().startswith(text) and text.startswith(short_form(word))


def _link(word: str, words: str) -> str:
    for each in words.split("|"):
        if is_word(word, each):
            return short_form(each)
    for each in ("RECord", "STARt"):
        if is_word(word, each):
            return short_form(each)
    if word == "TSGE8":
        return word
    found = re.fullmatch(r"([A-Z]+)([0-9]{1,4})", word)
    for block, count in _SOURCES.items():
        if found and is_word(found[1], block):
            if not 1 <= int(found[2]) <= count:
                raise ScpiError(NO_CONNECTION)
            return f"{short_form(block)}{int(found[2])}"
    raise ScpiError(WRONG_TYPE)


def _picoseconds(word: str, low: int, high: int) -> int:
    found = re.fullmatch(r"([^A-Z\s]+(?:E[+-]?[0-9]+)?)\s*(?:([KMGT]?)TB)?", word[:80])
    if found is None:
        raise ScpiError(WRONG_TYPE)
    value = decimal(found[1], -LONGEST_PS, LONGEST_PS) * _PREFIXES[found[2] or ""]
    if not low <= value <= high:
        raise ScpiError(WRONG_TYPE)
    return round(value)


def _level(word: str) -> str:
    found = re.fullmatch(r"([^A-Z\s]+(?:E[+-]?[0-9]+)?)\s*(M?V)?", word[:80])
    if found is None:
        raise ScpiError(WRONG_TYPE)
    scale = Decimal("0.001") if found[2] == "MV" else Decimal(1)
    limit = _LARGEST_LEVEL_V / scale
    volts = float(decimal(found[1], -limit, limit) * scale)
    return f"{int(volts / _LEVEL_STEP_V + (1e-9 if volts >= 0 else -1e-9)) * _LEVEL_STEP_V:.6f}V"
