"""The blocks of a Time Controller and their settings, as data: pattern, default, how a value is written."""

import re
from dataclasses import dataclass

from qhal_simulators.scpi import ScpiError

_LEVEL_STEP_V = 1.024e-3
_PREFIXES = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_LONGEST_PS = 10**18


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. ``form``: flag, time, level, number, link, or the words that are allowed."""

    block: str
    key: str
    form: str
    default: str
    count: int = 1
    only: str = ""

    def exists(self, firmware: str) -> bool:
        """Tell whether a firmware has it."""
        return self.only in ("", firmware)

    def parse(self, text: str) -> str:
        """Return a value as it is answered later. Raises ScpiError."""
        word = text.strip().upper()
        if self.form == "flag":
            if word not in ("", "ON", "OFF", "1", "0"):
                raise ScpiError(-104)
            return "OFF" if word in ("OFF", "0") else "ON"
        if self.form == "time":
            return f"{_picoseconds(word)}TB"
        if self.form == "level":
            return _level(word)
        if self.form == "number":
            return _number(word)
        if self.form == "link":
            if re.fullmatch(r"NONE|REC|TSGE8|STAR|(INPU|DELA|GENE|TSCO|HIST|RAW)\d+", word) is None:
                raise ScpiError(-104)
            return word
        allowed = self.form.split("|")
        for each in allowed:
            if word and (word == each.upper() or word == "".join(c for c in each if not c.islower())):
                return each.upper()
        raise ScpiError(-104)


def preset(name: str) -> dict[tuple[str, int, str], str]:
    """Return all settings of a built-in wiring; BLANK leaves every link open."""
    values = {
        (setting.block, n, setting.key): setting.default
        for setting in BLOCKS.values()
        for n in range(1, setting.count + 1)
    }
    for key, text in values.items():
        form = next(s for s in BLOCKS.values() if (s.block, s.key) == (key[0], key[2]))
        values[key] = form.parse(text)
    if name == "BLANK":
        return values
    for n in range(1, 5):
        values["DELA", n, "LINK"] = f"INPU{n}"
        values["TSCO", n + 4, "FIR:LINK"] = f"DELA{n}"
        values["HIST", n, "STOP:LINK"] = values["RAW", n, "STOP:LINK"] = f"TSCO{n + 4}"
        values["HIST", n, "ENAB:LINK"] = "REC"
    values["DELA", 5, "LINK"] = "STAR"
    if name == "COUNT":
        pairs = {6: (1, 2), 7: (1, 3), 8: (1, 4), 3: (2, 3), 4: (2, 4), 5: (3, 4)}
        for combiner, (first, second) in pairs.items():
            values["TSCO", combiner, "FIR:LINK"] = f"DELA{first}"
            values["TSCO", combiner, "SEC:LINK"] = f"DELA{second}"
    return values


def _picoseconds(word: str) -> int:
    found = re.fullmatch(r"([+-]?[\d.]+(?:E[+-]?\d+)?)\s*(?:([KMGT]?)TB)?", word)
    if found is None:
        raise ScpiError(-104)
    value = round(float(found[1]) * _PREFIXES[found[2] or ""])
    if not 0 <= value <= _LONGEST_PS:
        raise ScpiError(-104)
    return value


def _level(word: str) -> str:
    found = re.fullmatch(r"([+-]?[\d.]+(?:E[+-]?\d+)?)\s*(M?V)?", word)
    if found is None:
        raise ScpiError(-104)
    volts = float(found[1]) * (1e-3 if found[2] == "MV" else 1.0)
    return f"{int(volts / _LEVEL_STEP_V + (1e-9 if volts >= 0 else -1e-9)) * _LEVEL_STEP_V:.6f}V"


def _number(word: str) -> str:
    if word in ("INF", "INFINITY"):
        return "INF"
    if not word.isdigit():
        raise ScpiError(-104)
    return str(int(word))


def _input_settings(block: str, pattern: str, count: int) -> dict[str, Setting]:
    return {
        f"{pattern}:ENABle": Setting(block, "ENAB", "flag", "OFF", count),
        f"{pattern}:COUPling": Setting(block, "COUP", "DC|AC", "DC", count),
        f"{pattern}:EDGE": Setting(block, "EDGE", "RISING|FALLING", "RISING", count),
        f"{pattern}:THREshold": Setting(block, "THRE", "level", "1V", count),
        f"{pattern}:SELEct": Setting(block, "SELE", "UNSHAPED|SHAPED|LOOP|OUTPUT", "UNSHAPED", count),
        f"{pattern}:COUNter:MODE": Setting(block, "COUN:MODE", "CYCLe|ACCUm", "CYCLE", count),
        f"{pattern}:COUNter:INTEgrationtime": Setting(block, "COUN:INTE", "number", "1000", count),
    }


BLOCKS: dict[str, Setting] = {
    "DEVIce:RESolution": Setting("DEVI", "RES", "LOWRES|HIRES", "LOWRES"),
    "DEVIce:SYNC": Setting("DEVI", "SYNC", "INTERNAL|EXTERNAL", "INTERNAL"),
    **_input_settings("INPU", "INPUt#", 4),
    "INPUt#:RESYncpolicy": Setting("INPU", "RESY", "AUTO|MANUAL", "AUTO", 4),
    **_input_settings("STAR", "STARt", 1),
    "STARt:DELAy": Setting("STAR", "DELA", "time", "0"),
    "DELAy#:VALUe": Setting("DELA", "VALU", "time", "0", 8),
    "DELAy#:LINK": Setting("DELA", "LINK", "link", "NONE", 8, only="new"),
    "DELAy#:INPOrt:LINK": Setting("DELA", "LINK", "link", "NONE", 8, only="old"),
    "GENerator#:ENABle": Setting("GENE", "ENAB", "flag", "OFF", 8),
    "GENerator#:PPERiod": Setting("GENE", "PPER", "time", "1000000", 8),
    "GENerator#:PWIDth": Setting("GENE", "PWID", "time", "100000", 8),
    "GENerator#:PNUMber": Setting("GENE", "PNUM", "number", "INF", 8),
    "GENerator#:TRIGger:LINK": Setting("GENE", "TRIG:LINK", "link", "NONE", 8),
    "TSCO#:FIRst:LINK": Setting("TSCO", "FIR:LINK", "link", "NONE", 24),
    "TSCO#:SECond:LINK": Setting("TSCO", "SEC:LINK", "link", "NONE", 24),
    "TSCO#:OPIN": Setting("TSCO", "OPIN", "AND|OR|ONLYFIR|ONLYSEC|MUTE", "ONLYFIR", 24),
    "TSCO#:OPOUt": Setting("TSCO", "OPOU", "AND|OR|ONLYFIR|ONLYSEC|MUTE", "ONLYFIR", 24),
    "TSCO#:WINDow:ENABle": Setting("TSCO", "WIND:ENAB", "flag", "OFF", 24),
    "TSCO#:WINDow:BEGIn:LINK": Setting("TSCO", "WIND:BEGI:LINK", "link", "NONE", 24),
    "TSCO#:WINDow:BEGIn:DELAy": Setting("TSCO", "WIND:BEGI:DELA", "time", "0", 24),
    "TSCO#:WINDow:BEGIn:EDGE": Setting("TSCO", "WIND:BEGI:EDGE", "RISING|FALLING", "RISING", 24),
    "TSCO#:WINDow:END:LINK": Setting("TSCO", "WIND:END:LINK", "link", "NONE", 24),
    "TSCO#:WINDow:END:DELAy": Setting("TSCO", "WIND:END:DELA", "time", "0", 24),
    "TSCO#:WINDow:END:EDGE": Setting("TSCO", "WIND:END:EDGE", "RISING|FALLING", "RISING", 24),
    "RECord:ENABle": Setting("REC", "ENAB", "flag", "OFF", only="new"),
    "RECord:NUMber": Setting("REC", "NUM", "number", "1", only="new"),
    "RECord:PWIDth": Setting("REC", "PWID", "time", "1000000000000", only="new"),
    "RECord:PPERiod": Setting("REC", "PPER", "time", "1000000040000", only="new"),
    "RECord:TRIGger:ARM:MODE": Setting("REC", "TRIG:ARM:MODE", "MANUal|AUTO", "MANUal", only="new"),
    "RECord:TRIGger:LINK": Setting("REC", "TRIG:LINK", "link", "NONE", only="new"),
    "RECord:TRIGger:DELAy": Setting("REC", "TRIG:DELA", "time", "0", only="new"),
    "TSGE8:ENABle": Setting("TSGE", "ENAB", "flag", "OFF", only="old"),
    "HISTogram#:REF:LINK": Setting("HIST", "REF:LINK", "link", "NONE", 4, only="new"),
    "HISTogram#:STOP:LINK": Setting("HIST", "STOP:LINK", "link", "NONE", 4, only="new"),
    "HISTogram#:ENABle:LINK": Setting("HIST", "ENAB:LINK", "link", "NONE", 4, only="new"),
    "HISTogram#:INPOrt:REF:LINK": Setting("HIST", "REF:LINK", "link", "NONE", 4, only="old"),
    "HISTogram#:INPOrt:STOP:LINK": Setting("HIST", "STOP:LINK", "link", "NONE", 4, only="old"),
    "HISTogram#:INPOrt:ENABle:LINK": Setting("HIST", "ENAB:LINK", "link", "NONE", 4, only="old"),
    "HISTogram#:REF:FILTer": Setting("HIST", "REF:FILT", "RISIng|FALLing|ALL", "RISIng", 4),
    "HISTogram#:STOP:FILTer": Setting("HIST", "STOP:FILT", "RISIng|FALLing|ALL", "RISIng", 4),
    "HISTogram#:MINimum": Setting("HIST", "MIN", "time", "0", 4),
    "HISTogram#:BWIDth": Setting("HIST", "BWID", "time", "100", 4),
    "HISTogram#:BCOUnt": Setting("HIST", "BCOU", "number", "10000", 4),
    "RAW#:REF:LINK": Setting("RAW", "REF:LINK", "link", "NONE", 4),
    "RAW#:STOP:LINK": Setting("RAW", "STOP:LINK", "link", "NONE", 4),
    "RAW#:SEND": Setting("RAW", "SEND", "flag", "OFF", 4),
}
