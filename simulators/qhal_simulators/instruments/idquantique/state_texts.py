"""Texts of ``STATe?``: the settings of a block, as one firmware or the other writes them.

The layout is that which a client of the old firmware takes apart; the new one is taken to leave out INPOrt.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qhal_simulators.instruments.idquantique.id900 import Id900


def device_state(unit: "Id900") -> str:
    """Return the text of ``DEVIce:STATe?``."""
    return f"DEVIce:SYNC {unit.value('DEVI', 1, 'SYNC')};RES {unit.value('DEVI', 1, 'RES')}"


def input_state(unit: "Id900", block: str, number: int) -> str:
    """Return the text of ``INPUt#:STATe?`` or ``STARt:STATe?``."""
    name = f"INPU{number}" if block == "INPU" else block
    keys = ("ENAB", "COUP", "EDGE", "THRE", "SELE", "RESY" if block == "INPU" else "DELA")
    settings = ";".join(f"{key} {unit.value(block, number, key)}" for key in keys)
    period, mode = unit.value(block, number, "COUN:INTE"), unit.value(block, number, "COUN:MODE")
    return f"{name}:{settings};:{name}:COUNter:INTEgrationtime {period};MODE {mode}"


def delay_state(unit: "Id900", number: int) -> str:
    """Return the text of ``DELAy#:STATe?``."""
    value, link = unit.value("DELA", number, "VALU"), unit.value("DELA", number, "LINK")
    return f"DELA{number}:VALUe {value};{_through(unit, 'INPO:')}LINK {link};"


def histogram_state(unit: "Id900", number: int) -> str:
    """Return the text of ``HISTogram#:STATe?``."""
    links = ";:".join(
        f"HIST{number}:{_through(unit, 'INPOrt:')}{side}:LINK {unit.value('HIST', number, f'{side}:LINK')}"
        for side in ("STOP", "REF", "ENAB")
    )
    least, width, count = (unit.value("HIST", number, key) for key in ("MIN", "BWID", "BCOU"))
    return f"{links};:HIST{number}:MIN {least};BWID {width};BCOUnt {count};"


def _through(unit: "Id900", text: str) -> str:
    return text if unit.options.firmware == "old" else ""
