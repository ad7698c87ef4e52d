"""A running calibration: its points, the rows measured at them, and its progress."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from qhal.calibration.framework.journal import Journal, Row
from qhal.errors import DataError
from qhal.records.record import Table

UNITS = {
    "ua": "uA", "mv": "mV", "v": "V", "s": "s", "ns": "ns", "ps": "ps", "hz": "Hz", "thz": "THz", "ghz": "GHz",
    "db": "dB", "dbm": "dBm", "mw": "mW", "w": "W", "deg": "deg", "rad": "rad", "k": "K", "km": "km", "nm": "nm",
    "counts": "1",
}  # fmt: skip
"""Units of columns by the last word of their names."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a calibration is: ``done`` of ``total`` points of a stage (None: as many as it takes)."""

    stage: str
    done: int
    total: int | None


ProgressCallback = Callable[[Progress], None]


def ignore_progress(progress: Progress) -> None:
    """Report no progress."""
    del progress


def _nothing() -> None:
    return None


class Run:
    """Stores the rows that ``measure`` obtains, so that an interrupted run continues where it stopped.

    A row is stored as soon as it is measured. When a journal is resumed, :meth:`points` yields only those points that
    have no row yet. ``guard`` is called before a row is stored; it raises if the measurement is invalid.
    """

    def __init__(
        self,
        journal: Journal,
        on_progress: ProgressCallback = ignore_progress,
        guard: Callable[[], None] = _nothing,
    ) -> None:
        self._journal = journal
        self._on_progress = on_progress
        self._guard = guard

    def points(self, table: str, points: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        """Yield the points of a table that have no row yet, and report the progress.

        ``points``: dicts of the columns that identify a point. For each, the caller measures and calls
        :meth:`store` with these columns and the measured ones.
        """
        targets = [dict(point) for point in points]
        self._on_progress(Progress(table, 0, len(targets)))
        for done, point in enumerate(targets, 1):
            if not self._has(table, point):
                yield point
            self._on_progress(Progress(table, done, len(targets)))

    def store(self, table: str, **row: Any) -> None:
        """Store a row: numbers, texts, or arrays of one shape in all rows of the table."""
        self._guard()
        self._journal.append(table, row)

    def count(self, table: str) -> int:
        """Return how many rows a table has."""
        return sum(name == table for name, _ in self._journal.rows)

    def rows(self, table: str) -> list[Row]:
        """Return the rows of a table, those of an earlier session first; arrays are lists."""
        return [row for name, row in self._journal.rows if name == table]

    def refuse_new_clock(self, table: str, now_s: float) -> None:
        """Raise DataError when rows of a table have times (``at_s``) later than now: the clock was restarted."""
        if any(row["at_s"] > now_s for row in self.rows(table)):
            raise DataError(
                f"{self._journal.path}: the clock was restarted since the run was interrupted;"
                " start again without resume"
            )

    def tell(self, stage: str, done: int, total: int | None = None) -> None:
        """Report the progress of a stage whose points are not known before."""
        self._on_progress(Progress(stage, done, total))

    def tables(self) -> dict[str, Table]:
        """Return everything stored."""
        return tables_of(self._journal.rows)

    def _has(self, table: str, point: Mapping[str, Any]) -> bool:
        return any(
            name == table and all(row.get(key) == value for key, value in point.items())
            for name, row in self._journal.rows
        )


def tables_of(rows: Iterable[tuple[str, Row]]) -> dict[str, Table]:
    """Return rows as columns; the unit of a column is what its name ends with."""
    collected: dict[str, list[Row]] = {}
    for name, row in rows:
        collected.setdefault(name, []).append(row)
    return {
        name: Table(
            {column: _column([row[column] for row in found]) for column in found[0]},
            {column: unit for column in found[0] if (unit := _unit(column))},
        )
        for name, found in collected.items()
    }


def _unit(column: str) -> str:
    return UNITS.get(column.rpartition("_")[2], "")


def _column(cells: list[Any]) -> np.ndarray[Any, Any]:
    return np.array(cells, object) if isinstance(cells[0], str) else np.array(cells)
