"""A folder of records."""

import os
from dataclasses import dataclass
from pathlib import Path

from qhal.errors import ConfigurationError, DataError
from qhal.records.hdf5 import SUFFIX, read_record, write_record
from qhal.records.record import Record


@dataclass(frozen=True, slots=True)
class Found:
    """What stands in a folder: a record, or why a file is none."""

    path: Path
    record: Record | None
    problem: str = ""


class RecordStore:
    """Keeps each record in a file of its own, named by its id; nothing is overwritten."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def save(self, record: Record) -> Path:
        """Write a record and return its file.

        Raises ConfigurationError when there is one of that id, or it cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"{self.folder}: no folder, and it cannot be made: {error.strerror}"
            ) from error
        path = self.folder / f"{record.id}{SUFFIX}"
        if os.path.exists(path):  # pathlib's raises for some paths that cannot be
            raise ConfigurationError(f"{path}: is there already; records are never overwritten")
        write_record(record, path)
        return path

    def list(self) -> list[Found]:
        """Return all files, oldest record first; a file that is not a good record is listed with the reason.

        Raises ConfigurationError when the folder does not exist.
        """
        found = []
        for path in self._files():
            try:
                found.append(Found(path, read_record(path)))
            except DataError as error:
                found.append(Found(path, None, str(error)))
        return sorted(found, key=lambda each: each.record.finished.isoformat() if each.record else "")

    def load(self, name: str | Path) -> Record:
        """Return a record by its id, the beginning of an id if only one begins so, its calibration's name (the latest)
        or its file.

        Raises ConfigurationError when there is none or several, DataError when it cannot be read.
        """
        if not str(name):
            raise ConfigurationError("no record '': give an id, the name of a calibration or a file")
        path = Path(name)
        if path.suffix == SUFFIX and os.path.exists(path):
            return read_record(path)
        try:
            names = [file.stem for file in self._files()]
        except ConfigurationError as error:
            raise ConfigurationError(f"no record {str(name)!r}: {error}") from error
        fits = [each for each in names if each == str(name)] or [
            each for each in names if each.startswith(str(name))
        ]
        if not fits:
            raise ConfigurationError(
                f"{self.folder}: no record {str(name)!r}; there are {', '.join(names) or 'none'}"
            )
        latest = [each for each in fits if each.rpartition("-")[0] == str(name)]
        if len(fits) > 1 and not latest:
            raise ConfigurationError(f"{self.folder}: {str(name)!r} may be {', '.join(fits)}")
        return read_record(self.folder / f"{(latest or fits)[-1]}{SUFFIX}")

    def _files(self) -> tuple[Path, ...]:
        try:
            return tuple(sorted(path for path in self.folder.iterdir() if path.suffix == SUFFIX))
        except OSError as error:
            raise ConfigurationError(f"{self.folder}: {error.strerror}") from error
