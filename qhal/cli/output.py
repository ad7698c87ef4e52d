"""What the commands print: tables for people, JSON for scripts."""

import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from qhal.errors import ConfigurationError

CONSOLE = Console()
if not CONSOLE.is_terminal and "COLUMNS" not in os.environ:
    CONSOLE.width = 10_000  # a table in a file or pipe is as wide as its content
ERRORS = Console(stderr=True)
_PICTURES = (".png", ".pdf", ".svg")


def _only_json(wanted: bool) -> bool:
    """Let everything for people go to the error stream: standard output is for the JSON document."""
    CONSOLE.stderr = wanted
    return wanted


AsJson = Annotated[
    bool, typer.Option("--json", callback=_only_json, help="Print one JSON document, and nothing else.")
]
"""The option of every command that prints a result."""


def print_json(value: Any) -> None:
    """Print one JSON document on standard output, unstyled. NaN and infinities, which JSON lacks, become null."""
    print(json.dumps(_plain(value), indent=2, allow_nan=False))  # noqa: T201


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return _plain(value.model_dump(mode="json"))
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Path) else value


def check_picture(path: Path) -> None:
    """Raise ConfigurationError where no picture can be written: before anything is read or drawn."""
    if path.suffix.lower() not in _PICTURES:
        raise ConfigurationError(f"{str(path)!r}: PICTURE must end in .png, .pdf or .svg")
    if not path.parent.is_dir():
        raise ConfigurationError(f"{path}: no folder {path.parent}")


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; on a terminal it is as wide as that, and long cells are wrapped between words."""
    table = Table(title=escape(title), title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=number == 0)
    for row in rows:
        table.add_row(*(escape(str(cell)) for cell in row))
    CONSOLE.print(table)


def spaced(interface: str) -> str:
    """Return ``OpticalSwitch`` as words, between which a cell can be wrapped."""
    return " ".join(re.findall("[A-Z][a-z]*", interface)).lower()


def prose(docstring: str) -> str:
    """Return a docstring as paragraphs that fit every width."""
    return re.sub(r"(?<!\n)\n(?!\n)", " ", docstring.replace("``", ""))


def flat(values: Mapping[str, Any]) -> str:
    """Return ``key value`` pairs in one line, for a table cell."""
    return ", ".join(f"{key} {_short(value)}" for key, value in values.items())


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
