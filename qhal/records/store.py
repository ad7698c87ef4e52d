"""A folder of records."""

import os
from dataclasses import dataclass
from pathlib import Path

from qhal.errors import ConfigurationError, DataError
from qhal.records.hdf5 import SUFFIX, read_record, write_record
from qhal.records.record import Record


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A file of a folder: its record, or the reason why it cannot be read."""

    path: Path
    record: Record | None
    problem: str = ""


class RecordStore:
    """A folder of records, one file each, named by the record's id; files are never overwritten.

    Parameters
    ----------
    folder
        Path of the folder; it is made when the first record is saved.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def save(self, record: Record) -> Path:
        """Write a record and return its file.

        Raises
        ------
        ConfigurationError
            If a record of that id exists, or the file cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"{self.folder}: not a folder, and it cannot be made: {error.strerror}"
            ) from error
        path = self.folder / f"{record.id}{SUFFIX}"
        if os.path.exists(path):  # pathlib's raises for some paths that cannot be
            raise ConfigurationError(f"{path}: exists; records are never overwritten")
        write_record(record, path)
        return path

    def list(self) -> list[StoredRecord]:
        """Return all files, oldest record first; unreadable files are listed first, with the reason.

        Raises
        ------
        ConfigurationError
            If the folder does not exist.
        """
        listed = []
        for path in self._files():
            try:
                listed.append(StoredRecord(path, read_record(path)))
            except DataError as error:
                listed.append(StoredRecord(path, None, str(error)))
        return sorted(listed, key=lambda each: each.record.finished.isoformat() if each.record else "")

    def load(self, name: str | Path) -> Record:
        """Return a record by name.

        Parameters
        ----------
        name
            The record's id, an unambiguous beginning of it, the name of a calibration (its latest record), or a file.

        Raises
        ------
        ConfigurationError
            If no record has this name, or several do.
        DataError
            If the file cannot be read.
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
