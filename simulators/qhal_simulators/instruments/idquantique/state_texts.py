"""Texts of ``STATe?``: the settings of a block, as one firmware or the other writes them.

The layout is that which a client of the old firmware takes apart; the new one is taken to leave out INPOrt.
"""

from qhal_simulators.instruments.idquantique.unit_settings import UnitSettings


def device_state(settings: UnitSettings) -> str:
    """Return the text of ``DEVIce:STATe?``."""
    return f"DEVIce:SYNC {settings.value('DEVI', 1, 'SYNC')};RES {settings.value('DEVI', 1, 'RES')}"


def input_state(settings: UnitSettings, block: str, number: int) -> str:
    """Return the text of ``INPUt#:STATe?`` or ``STARt:STATe?``."""
    name = f"INPU{number}" if block == "INPU" else block
    keys = ("ENAB", "COUP", "EDGE", "THRE", "SELE", "RESY" if block == "INPU" else "DELA")
    values = ";".join(f"{key} {settings.value(block, number, key)}" for key in keys)
    period, mode = settings.value(block, number, "COUN:INTE"), settings.value(block, number, "COUN:MODE")
    return f"{name}:{values};:{name}:COUNter:INTEgrationtime {period};MODE {mode}"


def delay_state(settings: UnitSettings, number: int, firmware: str) -> str:
    """Return the text of ``DELAy#:STATe?``."""
    value, link = settings.value("DELA", number, "VALU"), settings.value("DELA", number, "LINK")
    return f"DELA{number}:VALUe {value};{_through(firmware, 'INPO:')}LINK {link};"


def histogram_state(settings: UnitSettings, number: int, firmware: str) -> str:
    """Return the text of ``HISTogram#:STATe?``."""
    links = ";:".join(
        f"HIST{number}:{_through(firmware, 'INPOrt:')}{side}:LINK {settings.value('HIST', number, f'{side}:LINK')}"
        for side in ("STOP", "REF", "ENAB")
    )
    least, width, count = (settings.value("HIST", number, key) for key in ("MIN", "BWID", "BCOU"))
    return f"{links};:HIST{number}:MIN {least};BWID {width};BCOUnt {count};"


def _through(firmware: str, text: str) -> str:
    return text if firmware == "old" else ""
