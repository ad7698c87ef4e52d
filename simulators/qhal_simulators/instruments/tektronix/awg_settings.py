"""Settings of the AWG5014 that are stored, checked and read back: one row each.

Headers and ranges after the manufacturer's published command texts and the public drivers that agree with them.
``{n}`` in a key is the channel, ``{m}`` the marker.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

CHANNELS, MARKERS = 4, 2


@dataclass(frozen=True, slots=True)
class Setting:
    """One stored setting. ``kind``: number, integer, boolean, or the words that are allowed."""

    header: str
    key: str
    kind: str | tuple[str, ...]
    default: Any
    low: float = -9.9e37
    high: float = 9.9e37


SETTINGS = (
    Setting("[SOURce#]:FREQuency[:CW]", "frequency", "number", 1.2e9, low=10e6, high=1.2e9),
    Setting("[SOURce#]:FREQuency:FIXed", "frequency", "number", 1.2e9, low=10e6, high=1.2e9),
    Setting("[SOURce#]:ROSCillator:SOURce", "reference", ("INTernal", "EXTernal"), "INT"),
    Setting("[SOURce#]:ROSCillator:TYPE", "reference_type", ("FIXed", "VARiable"), "FIX"),
    Setting("[SOURce#]:ROSCillator:FREQuency", "reference_frequency", "number", 10e6, low=10e6, high=800e6),
    Setting("[SOURce#]:ROSCillator:MULTiplier", "reference_multiplier", "integer", 1, low=1, high=240),
    Setting(
        "[SOURce#]:VOLTage[:LEVel][:IMMediate][:AMPLitude]", "amplitude{n}", "number", 1.0, low=0.02, high=4.5
    ),
    Setting("[SOURce#]:VOLTage[:LEVel][:IMMediate]:OFFSet", "offset{n}", "number", 0.0, low=-2.25, high=2.25),
    Setting(
        "[SOURce#]:MARKer#:VOLTage[:LEVel][:IMMediate]:HIGH", "high{n}.{m}", "number", 1.0, low=-0.9, high=2.7
    ),
    Setting(
        "[SOURce#]:MARKer#:VOLTage[:LEVel][:IMMediate]:LOW", "low{n}.{m}", "number", 0.0, low=-1.0, high=2.6
    ),
    Setting("[SOURce#]:MARKer#:DELay", "delay{n}.{m}", "number", 0.0, low=0.0, high=1e-9),
    Setting("[SOURce#]:SKEW", "skew{n}", "number", 0.0, low=-5e-9, high=5e-9),
    Setting("[SOURce#]:COMBine:FEED", "feed{n}", "text", ""),
    Setting("OUTPut#:FILTer[:LPASs]:FREQuency", "filter{n}", "number", 9.9e37, low=20e6, high=9.9e37),
    Setting(
        "AWGControl:RMODe", "run_mode", ("CONTinuous", "TRIGgered", "GATed", "SEQuence", "ENHanced"), "CONT"
    ),
    Setting("AWGControl:CLOCk:SOURce", "clock", ("INTernal", "EXTernal"), "INT"),
    Setting("AWGControl:DOUTput#[:STATe]", "direct{n}", "boolean", False),
    Setting("AWGControl:DC#[:STATe]", "dc", "boolean", False),
    Setting(
        "AWGControl:DC#:VOLTage[:LEVel][:IMMediate]:OFFSet", "dc_offset{n}", "number", 0.0, low=-3.0, high=5.0
    ),
    Setting("TRIGger[:SEQuence]:SOURce", "trigger_source", ("INTernal", "EXTernal"), "EXT"),
    Setting("TRIGger[:SEQuence]:LEVel", "trigger_level", "number", 1.4, low=-5.0, high=5.0),
    Setting("TRIGger[:SEQuence]:IMPedance", "trigger_impedance", "number", 1000.0, low=50.0, high=1000.0),
    Setting("TRIGger[:SEQuence]:SLOPe", "trigger_slope", ("POSitive", "NEGative"), "POS"),
    Setting("TRIGger[:SEQuence]:POLarity", "trigger_polarity", ("POSitive", "NEGative"), "POS"),
    Setting("TRIGger[:SEQuence]:WVALue", "trigger_value", ("FIRSt", "LAST"), "FIRS"),
    Setting("TRIGger[:SEQuence]:TIMer", "trigger_timer", "number", 0.1, low=1e-6, high=10.0),
    Setting("EVENt:LEVel", "event_level", "number", 1.4, low=-5.0, high=5.0),
    Setting("EVENt:IMPedance", "event_impedance", "number", 1000.0, low=50.0, high=1000.0),
    Setting("EVENt:POLarity", "event_polarity", ("POSitive", "NEGative"), "POS"),
    Setting("EVENt:JTIMing", "jump_timing", ("SYNChronous", "ASYNchronous", "SYNC", "ASYNC"), "ASYN"),
    Setting("AWGControl:EVENt:JMODe", "jump_mode", ("EJUMp", "DJUMp"), "EJUM"),
    Setting("AWGControl:ENHanced:SEQuence:JMODe", "enhanced_jump", ("LOGic", "TABLe", "SOFTware"), "LOG"),
)


def defaults() -> dict[str, Any]:
    """Return all settings as they are after *RST."""
    return {key: setting.default for setting in SETTINGS for key in keys(setting)}


def keys(setting: Setting) -> Iterator[str]:
    """Yield the keys of a setting, for every channel and marker it has."""
    for n in range(1, CHANNELS + 1) if "{n}" in setting.key else (1,):
        for m in range(1, MARKERS + 1) if "{m}" in setting.key else (1,):
            yield setting.key.format(n=n, m=m)
