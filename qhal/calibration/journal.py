"""What was measured so far, in a file that survives the process: one JSON line a row, written at once."""

import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from qhal.errors import ConfigurationError, DataError

FORMAT = "qhal calibration journal"
SUFFIX = ".partial.jsonl"
Row = dict[str, Any]


class Journal:
    """Rows by table, and a header that says what they belong to."""

    def __init__(self, path: Path, file: BinaryIO, rows: list[tuple[str, Row]]) -> None:
        self.path = path
        self.rows = rows
        self._file = file

    @classmethod
    def create(cls, path: Path, header: Mapping[str, Any]) -> "Journal":
        """Begin a journal. Raises ConfigurationError when it cannot be written, or is there already."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            journal = cls(path, path.open("xb", buffering=0), [])
        except OSError as error:
            raise ConfigurationError(f"{path}: {error.strerror}") from error
        try:
            journal._write({"format": FORMAT, **header})
        except DataError as error:
            journal.remove()
            raise ConfigurationError(str(error)) from error
        return journal

    @classmethod
    def resume(cls, path: Path) -> "tuple[Journal, dict[str, Any]]":
        """Open a journal to go on with it, and return its header; a last line that was cut is dropped.

        Raises DataError for a file that is no journal or is damaged before its last line.
        """
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DataError(f"{path}: {error.strerror}") from error
        whole = content.rfind(b"\n") + 1
        lines = content[:whole].split(b"\n")[:-1]
        if not lines:
            raise DataError(f"{path}: no {FORMAT}: it has no line")
        try:
            header, *entries = [json.loads(line) for line in lines]
            if header.pop("format") != FORMAT:
                raise ValueError("another format")
            rows = [(entry["table"], entry["row"]) for entry in entries]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{path}: no {FORMAT}, or damaged: {error}") from error
        file = path.open("r+b", buffering=0)
        file.truncate(whole)
        file.seek(0, os.SEEK_END)
        return cls(path, file, rows), header

    def append(self, table: str, row: Row) -> None:
        """Keep a row; it is on the disk when this returns. Raises DataError when it cannot be."""
        plain = {
            name: value.tolist() if isinstance(value, np.ndarray | np.generic) else value
            for name, value in row.items()
        }
        self._write({"table": table, "row": plain})
        self.rows.append((table, plain))

    def close(self) -> None:
        """Close the file and leave it."""
        self._file.close()

    def remove(self) -> None:
        """Close and delete the file: its content is in a record now."""
        self._file.close()
        self.path.unlink()

    def _write(self, content: Mapping[str, Any]) -> None:
        line = json.dumps(content).encode() + b"\n"
        try:
            if self._file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._file.fileno())
        except OSError as error:
            raise DataError(f"{self.path}: {error.strerror}") from error
