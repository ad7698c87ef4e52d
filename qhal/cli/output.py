"""What the commands print: tables for people, JSON for scripts."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

CONSOLE = Console()
if not CONSOLE.is_terminal:
    CONSOLE.width = 120  # nobody's window: tables in files and pipes keep their lines
ERRORS = Console(stderr=True)


def print_json(value: Any) -> None:
    """Print one JSON document on standard output, unstyled."""
    print(json.dumps(value, indent=2, default=str))  # noqa: T201


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table."""
    table = Table(title=escape(title), title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=number == 0)
    for row in rows:
        table.add_row(*(escape(str(cell)) for cell in row))
    CONSOLE.print(table)


def flat(values: Mapping[str, Any]) -> str:
    """Return ``key value`` pairs in one line, for a table cell."""
    return ", ".join(f"{key} {_short(value)}" for key, value in values.items())


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
