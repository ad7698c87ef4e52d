"""The blocks of a Time Controller and their settings, as data: pattern, default, limits."""

from dataclasses import replace

from qhal_simulators.instruments.idquantique.setting_forms import Setting

INPUTS, DELAYS, GENERATORS, COMBINERS, OUTPUTS = 4, 8, 8, 24, 4
LONGEST_DELAY_PS = 10**12
LONGEST_COUNT_MS = 65_535
_OPERATIONS = "AND|OR|ONLYFIR|ONLYSEC|MUTE"


def _counter_settings(block: str, pattern: str, count: int) -> dict[str, Setting]:
    return {
        f"{pattern}:COUNter:MODE": Setting(block, "COUN:MODE", "CYCLe|ACCUm", "CYCLE", count=count),
        f"{pattern}:COUNter:INTEgrationtime": Setting(
            block, "COUN:INTE", "number", "1000", count=count, low=1, high=LONGEST_COUNT_MS
        ),
    }


def _input_settings(block: str, pattern: str, count: int) -> dict[str, Setting]:
    return {
        f"{pattern}:ENABle": Setting(block, "ENAB", "flag", "OFF", count=count),
        f"{pattern}:COUPling": Setting(block, "COUP", "DC|AC", "DC", count=count),
        f"{pattern}:EDGE": Setting(block, "EDGE", "RISIng|FALLing", "RISING", count=count),
        f"{pattern}:THREshold": Setting(block, "THRE", "level", "1V", count=count),
        f"{pattern}:SELEct": Setting(block, "SELE", "UNSHaped|SHAPed|LOOP|OUTPut", "UNSHAPED", count=count),
        **_counter_settings(block, pattern, count),
    }


def _window_settings(side: str, short: str) -> dict[str, Setting]:
    pattern = f"TSCOmbiner#:WINDow:{side}"
    return {
        f"{pattern}:LINK": Setting("TSCO", f"WIND:{short}:LINK", "link", "NONE", count=COMBINERS),
        f"{pattern}:DELAy": Setting(
            "TSCO", f"WIND:{short}:DELA", "time", "0", count=COMBINERS, high=LONGEST_DELAY_PS
        ),
        f"{pattern}:EDGE": Setting("TSCO", f"WIND:{short}:EDGE", "RISIng|FALLing", "RISING", count=COMBINERS),
    }


def _pulse_settings(
    block: str, pattern: str, count: int, width: str, period: str, number: str
) -> dict[str, Setting]:
    """Return what the recorder and the generators have in common. ``number``: key of the number of pulses."""
    return {
        f"{pattern}:ENABle": Setting(block, "ENAB", "flag", "OFF", count=count),
        f"{pattern}:PWIDth": Setting(block, "PWID", "time", width, count=count, low=1),
        f"{pattern}:PPERiod": Setting(block, "PPER", "time", period, count=count, low=1),
        f"{pattern}:{number}": Setting(block, "NUM", "number", "1" if block == "REC" else "INF", count=count),
        f"{pattern}:TRIGger:LINK": Setting(block, "TRIG:LINK", "link", "NONE", count=count),
        f"{pattern}:TRIGger:DELAy": Setting(
            block, "TRIG:DELA", "time", "0", count=count, high=LONGEST_DELAY_PS * 4
        ),
        f"{pattern}:TRIGger:ARM:MODE": Setting(block, "TRIG:ARM:MODE", "MANUal|AUTO", "MANUal", count=count),
    }


def _of(firmware: str, settings: dict[str, Setting]) -> dict[str, Setting]:
    """Return settings that only one firmware has; the others' links go through INPOrt."""
    return {pattern: replace(setting, only=firmware) for pattern, setting in settings.items()}


def _links(block: str, key: str, count: int, new: str, old: str) -> dict[str, Setting]:
    setting = Setting(block, key, "link", "NONE", count=count)
    return _of("new", {new: setting}) | _of("old", {old: setting})


BLOCKS: dict[str, Setting] = {
    "DEVIce:RESolution": Setting("DEVI", "RES", "LOWRes|HIRes", "LOWRES"),
    "DEVIce:SYNC": Setting("DEVI", "SYNC", "INTernal|EXTernal", "INTERNAL"),
    "DEVIce:LEDS": Setting("DEVI", "LEDS", "flag", "ON"),
    "OUTLoop:LINK": Setting("OUTL", "LINK", "link", "INT", words="NONE|INTernal|EXTernal"),
    **_input_settings("INPU", "INPUt#", INPUTS),
    "INPUt#:RESYncpolicy": Setting("INPU", "RESY", "AUTO|MANUal", "AUTO", count=INPUTS),
    **_input_settings("STAR", "STARt", 1),
    "STARt:DELAy": Setting("STAR", "DELA", "time", "0", high=LONGEST_DELAY_PS),
    "DELAy#:VALUe": Setting("DELA", "VALU", "time", "0", count=DELAYS, high=LONGEST_DELAY_PS),
    **_links("DELA", "LINK", DELAYS, "DELAy#:LINK", "DELAy#:INPOrt:LINK"),
    **_pulse_settings("GEN", "GENerator#", GENERATORS, "500000", "1000000", "PNUMber"),
    "OUTPut#:ENABle": Setting("OUTP", "ENAB", "flag", "OFF", count=OUTPUTS),
    "OUTPut#:MODE": Setting("OUTP", "MODE", "NIM|TTL", "NIM", count=OUTPUTS),
    "OUTPut#:PULSe": Setting("OUTP", "PULS", "flag", "OFF", count=OUTPUTS),
    "OUTPut#:PULSe:WIDTh": Setting("OUTP", "PULS:WIDT", "time", "100", count=OUTPUTS),
    "OUTPut#:DELAy": Setting("OUTP", "DELA", "time", "0", count=OUTPUTS, high=LONGEST_DELAY_PS),
    "OUTPut#:LINK": Setting("OUTP", "LINK", "link", "NONE", count=OUTPUTS),
    "TSCOmbiner#:FIRst:LINK": Setting("TSCO", "FIR:LINK", "link", "NONE", count=COMBINERS),
    "TSCOmbiner#:SECond:LINK": Setting("TSCO", "SEC:LINK", "link", "NONE", count=COMBINERS),
    "TSCOmbiner#:OPIN": Setting("TSCO", "OPIN", _OPERATIONS, "ONLYFIR", count=COMBINERS),
    "TSCOmbiner#:OPOUt": Setting("TSCO", "OPOU", _OPERATIONS, "ONLYFIR", count=COMBINERS),
    "TSCOmbiner#:WINDow:ENABle": Setting("TSCO", "WIND:ENAB", "flag", "OFF", count=COMBINERS),
    **_window_settings("BEGIn", "BEGI"),
    **_window_settings("END", "END"),
    **_counter_settings("TSCO", "TSCOmbiner#", COMBINERS),
    **_of("new", _pulse_settings("REC", "RECord", 1, "1000000000000", "1000000040000", "NUMber")),
    "TSGE8:ENABle": Setting("TSGE", "ENAB", "flag", "OFF", only="old"),
    **_links("HIST", "REF:LINK", INPUTS, "HISTogram#:REF:LINK", "HISTogram#:INPOrt:REF:LINK"),
    **_links("HIST", "STOP:LINK", INPUTS, "HISTogram#:STOP:LINK", "HISTogram#:INPOrt:STOP:LINK"),
    **_links("HIST", "ENAB:LINK", INPUTS, "HISTogram#:ENABle:LINK", "HISTogram#:INPOrt:ENABle:LINK"),
    "HISTogram#:REF:FILTer": Setting("HIST", "REF:FILT", "RISIng|FALLing|ALL", "RISING", count=INPUTS),
    "HISTogram#:STOP:FILTer": Setting("HIST", "STOP:FILT", "RISIng|FALLing|ALL", "RISING", count=INPUTS),
    "HISTogram#:MINimum": Setting("HIST", "MIN", "time", "0", count=INPUTS),
    "HISTogram#:BWIDth": Setting("HIST", "BWID", "time", "100", count=INPUTS, low=1, high=17_179_869_184_000),
    "HISTogram#:BCOUnt": Setting("HIST", "BCOU", "number", "10000", count=INPUTS, low=1, high=16_384),
    **_links("RAW", "REF:LINK", INPUTS, "RAW#:REF:LINK", "RAW#:INPOrt:REF:LINK"),
    **_links("RAW", "STOP:LINK", INPUTS, "RAW#:STOP:LINK", "RAW#:INPOrt:STOP:LINK"),
    **_links("RAW", "ENAB:LINK", INPUTS, "RAW#:ENABle:LINK", "RAW#:INPOrt:ENABle:LINK"),
    "RAW#:NUMErator": Setting("RAW", "NUME", "number", "1", count=INPUTS, low=1, high=1),
    "RAW#:DENOminator": Setting("RAW", "DENO", "number", "1", count=INPUTS, low=1, high=1),
    "RAW#:SEND": Setting("RAW", "SEND", "flag", "OFF", count=INPUTS),
}
"""Numerator and denominator of RAW thin the events out in a way that no source explains: only 1 is taken."""
