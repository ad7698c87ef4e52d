"""What was measured so far, in a file that survives the process: one JSON line a row, written at once.

Each line ends with ``sha256``: of all lines so far. A line that was changed, moved, added or removed is an error; a
last line that was cut is what a crash leaves, and is dropped. Any program can compute the number: not a signature.
"""

import errno
import fcntl
import hashlib
import json
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from qhal.errors import Busy, ConfigurationError, DataError

FORMAT = "qhal calibration journal"
SUFFIX = ".partial.jsonl"
MOST_BYTES = 1 << 30
"""Of a journal that is read: a calibration of days has some megabytes."""
Row = dict[str, Any]
_DIGITS = 64
_ENDING = b', "sha256": "%s"}'


class Journal:
    """Rows by table, and a header that identifies the run. One process at a time has it open."""

    def __init__(self, path: Path, file: BinaryIO, rows: list[tuple[str, Row]], chain: "_Chain") -> None:
        self.path = path
        self.rows = rows
        self._file = file
        self._chain = chain

    @classmethod
    def create(cls, path: Path, header: Mapping[str, Any]) -> "Journal":
        """Begin a journal. Raises ConfigurationError when it cannot be written, or is there already."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("xb", buffering=0)
        except OSError as error:
            raise ConfigurationError(f"{path}: {error.strerror}") from error
        journal = cls(path, file, [], _Chain())
        try:
            _own(path, file)
            journal._write({"format": FORMAT, **header})
        except DataError as error:
            journal.remove()
            raise ConfigurationError(str(error)) from error
        return journal

    @classmethod
    def resume(cls, path: Path) -> "tuple[Journal, dict[str, Any]]":
        """Open a journal to continue it, and return its header; a last line that was cut is dropped.

        Raises ConfigurationError for a file that cannot be opened, DataError for one that is not a journal or whose
        line, which it names, is not as it was written; Busy while another process has it open.
        """
        try:
            file = path.open("r+b", buffering=0)
        except (OSError, ValueError) as error:  # ValueError: a name with a NUL
            why = error.strerror if isinstance(error, OSError) else error
            raise ConfigurationError(f"{path}: {why}") from error
        try:
            _own(path, file)
            chain = _Chain()
            whole, entries = _read(path, file, chain)
            header = {key: value for key, value in entries[0].items() if key != "format"}
            rows = [_row(path, n, entry) for n, entry in enumerate(entries[1:], 2)]
            file.truncate(whole)
            file.seek(0, os.SEEK_END)
        except OSError as error:
            file.close()
            raise DataError(f"{path}: {error.strerror}") from error
        except BaseException:
            file.close()
            raise
        return cls(path, file, rows, chain), header

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
        chain = self._chain.copy()
        line = chain.line(content)
        place = self._file.tell()
        try:
            if self._file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._file.fileno())
        except OSError as error:
            with suppress(OSError):  # else half a line stays, which the next reader drops
                self._file.truncate(place)
                self._file.seek(place)
            raise DataError(f"{self.path}: {error.strerror}") from error
        self._chain = chain


class _Chain:
    """The checksum of all lines so far."""

    def __init__(self) -> None:
        self._sum = hashlib.sha256()

    def copy(self) -> "_Chain":
        """Return a copy, to continue on trial."""
        other = _Chain()
        other._sum = self._sum.copy()
        return other

    def line(self, content: Mapping[str, Any]) -> bytes:
        """Return a content as the next line."""
        body = json.dumps(content).encode()[:-1]
        return body + self._ending(body) + b"\n"

    def content(self, line: bytes) -> Any:
        """Return the content of the next line. Raises ValueError when it is not as it was written."""
        body = line[: -(len(_ENDING) - 2 + _DIGITS)]
        if line[len(body) :] != self._ending(body):
            raise ValueError("altered or damaged: it does not have the checksum at its end")
        try:
            return json.loads(body + b"}")
        except RecursionError:
            raise ValueError("nested too deep") from None

    def _ending(self, body: bytes) -> bytes:
        self._sum.update(body)
        return _ENDING % self._sum.hexdigest().encode()


def line_of(content: Mapping[str, Any]) -> bytes:
    """Return the first line of a journal with this content."""
    return _Chain().line(content)


def _own(path: Path, file: BinaryIO) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Busy(f"{path}: another process has this journal open") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be locked: {error.strerror}") from error


def _read(path: Path, file: BinaryIO, chain: _Chain) -> tuple[int, list[Any]]:
    """Return the length of all whole lines, and what they hold."""
    about = os.fstat(file.fileno())
    if not stat.S_ISREG(about.st_mode) or about.st_size > MOST_BYTES:
        raise DataError(f"{path}: not a regular file, or more than {MOST_BYTES} bytes")
    content = file.read(about.st_size)
    whole = content.rfind(b"\n") + 1
    lines = content[:whole].split(b"\n")[:-1]
    if not lines:
        raise DataError(f"{path}: not a {FORMAT}: empty")
    if not lines[0].startswith(json.dumps({"format": FORMAT}).encode()[:-1]):
        raise DataError(f"{path}: not a {FORMAT}: it begins with {lines[0][:60]!r}")
    entries = []
    for number, line in enumerate(lines, 1):
        try:
            entries.append(chain.content(line))
        except ValueError as error:
            raise DataError(f"{path}: line {number}: {error}") from error
    return whole, entries


def _row(path: Path, number: int, entry: Any) -> tuple[str, Row]:
    if (
        set(entry) != {"table", "row"}
        or not isinstance(entry["table"], str)
        or not isinstance(entry["row"], dict)
    ):
        raise DataError(f"{path}: line {number}: no row of a table")
    return entry["table"], entry["row"]
