"""Values in words, for people: ``attenuation_db=20.0`` is ``attenuation 20 dB``."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from html import escape
from typing import Any

from pydantic import BaseModel

_UNITS = {
    "db": "dB", "dbm": "dBm", "thz": "THz", "ghz": "GHz", "hz": "Hz", "ua": "µA", "mv": "mV", "v": "V", "ps": "ps",
    "ns": "ns", "s": "s", "deg": "°", "k": "K", "km": "km", "m": "m", "nm": "nm", "pct": "%",
}  # fmt: skip


def in_words(name: str, value: object) -> str:
    """Return one named value with its unit, which the end of the name says."""
    words, _, suffix = name.rpartition("_")
    unit = _UNITS.get(suffix, "") if words else ""
    text = value_in_words(value)
    known = value is not None and text not in ("", "none")
    return f"{(words if unit else name).replace('_', ' ')} {text}" + (f" {unit}" if unit and known else "")


def listed_in_words(values: Mapping[str, object], most: int | None = None) -> str:
    """Return several named values in one line; beyond ``most`` of them an ellipsis."""
    parts = [in_words(name, value) for name, value in values.items()]
    if most is not None and len(parts) > most:
        parts = [*parts[:most], f"and {len(parts) - most} more"]
    return ", ".join(parts)


def value_in_words(value: object) -> str:
    """Return a value: yes or no, unknown for None; of equal tables in a row each key once."""
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S} UTC"
    if isinstance(value, BaseModel):
        return listed_in_words(dict(value))
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {value_in_words(each)}" for key, each in value.items()) or "none"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return _row_in_words(value)
    return str(value)


def _row_in_words(values: Sequence[Any]) -> str:
    tables = [dict(each) if isinstance(each, BaseModel) else each for each in values]
    if tables and all(isinstance(each, Mapping) and each.keys() == tables[0].keys() for each in tables):
        return "; ".join(in_words(str(key), [table[key] for table in tables]) for key in tables[0])
    texts = [value_in_words(each) for each in values]
    if len(texts) > 2 and len(set(texts)) == 1:
        return f"{len(texts)} x {texts[0]}"
    return ", ".join(texts) or "none"


class Worded(BaseModel):
    """Data that prints as a line for people, with units."""

    def __str__(self) -> str:
        return listed_in_words({name: value for name, value in self if value not in ("", ())})

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self}>"


def html_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a table for a notebook; texts are escaped."""
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><caption>{escape(title)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
