"""The calibration records that a node file names: read once, selected, and compared with the node.

An invalid record cannot be used to start or change anything. Operation in progress continues, marked degraded.
"""

import logging
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from qhal.devices.device import Device
from qhal.errors import ConfigurationError, DataError, InvalidRecord
from qhal.node.schema import NodeFile, PathTable
from qhal.records.hdf5 import read_record
from qhal.records.record import PathPart, Record
from qhal.records.validity import problems

log = logging.getLogger(__name__)


def parts_of(path: PathTable) -> tuple[PathPart, ...]:
    """Return the elements of a path in the form of a record."""
    return tuple(
        PathPart(
            name=element.device or element.name,
            ingress=element.ingress,
            egress=element.egress,
            loss_db=element.loss_db,
            uncertainty_db=element.uncertainty_db,
            length_km=element.length_km,
        )
        for element in path.elements
    )


class NodeRecords:
    """The records of a node.

    A file is parsed when it is new or has changed (device, inode, size, modification time), not at each call.

    Parameters
    ----------
    file
        The node file.
    devices
        The node's devices by name, which a record's instruments are compared with.
    """

    def __init__(self, file: NodeFile, devices: Mapping[str, Device]) -> None:
        self._file = file
        self._devices = devices
        self._parsed: dict[Path, tuple[tuple[int, ...], Record]] = {}

    def all(self) -> list[Record]:
        """Return all records. Raises DataError for one that is damaged or altered."""
        return [self._read(Path(table.file)) for table in self._file.records]

    def damaged(self) -> dict[Path, DataError]:
        """Return the error of each file that is damaged or altered."""
        return {path: record for path, record in self._each() if isinstance(record, DataError)}

    def of(self, calibrations: Collection[str]) -> list[Record]:
        """Return the records of these calibrations, valid or not.

        A damaged file is skipped with a warning if its name, an id, is of another calibration. Raises DataError for
        any other damaged file.
        """
        records = []
        for path, record in self._each():
            if not isinstance(record, DataError):
                if record.calibration in calibrations:
                    records.append(record)
            elif (other := _calibration_of(path)) is None or other in calibrations:
                raise record
            else:
                log.warning("skipped a damaged record of %s: %s", other, record)
        return records

    def valid(self, calibration: str, **roles: str) -> Record:
        """Return the record of a calibration in which devices had these roles.

        Raises ConfigurationError unless there is exactly one, InvalidRecord if it is invalid.
        """
        of_calibration = [record for record in self.all() if record.calibration == calibration]
        matching = [record for record in of_calibration if record.is_of(calibration, **roles)]
        if len(matching) != 1:
            condition = "".join(f" with {name!r} as {role}" for role, name in roles.items())
            raise ConfigurationError(
                f"{len(matching)} records of {calibration}{condition} in the node file;"
                f" it names {', '.join(record.id for record in of_calibration) or 'none of it'}"
            )
        self.require_valid(matching[0])
        return matching[0]

    def problems(self) -> dict[str, tuple[str, ...]]:
        """Return by record id (of a damaged file by its stem) why it is invalid; empty for a valid record."""
        return {
            path.stem if isinstance(record, DataError) else record.id: (
                (str(record),) if isinstance(record, DataError) else self.problems_of(record)
            )
            for path, record in self._each()
        }

    def problems_of(self, record: Record) -> tuple[str, ...]:
        """Return why a record is invalid for this node as it is now; empty for a valid record."""
        paths = self._file.paths
        path = parts_of(paths[record.path_name]) if record.path_name in paths else ()
        return problems(record, self._devices, path)

    def require_valid(self, record: Record) -> None:
        """Raise InvalidRecord with all reasons if a record is invalid."""
        if reasons := self.problems_of(record):
            raise InvalidRecord(f"record {record.id} may not be used: {'; '.join(reasons)}")

    def _each(self) -> Iterator[tuple[Path, Record | DataError]]:
        for table in self._file.records:
            path = Path(table.file)
            try:
                yield path, self._read(path)
            except DataError as error:
                yield path, error

    def _read(self, path: Path) -> Record:
        identity = _identity(path)
        if identity is None or path not in self._parsed or self._parsed[path][0] != identity:
            record = read_record(path)
            if identity is None:
                return record
            self._parsed[path] = identity, record
        return self._parsed[path][1]


def _identity(path: Path) -> tuple[int, ...] | None:
    """Return what changes when a file is replaced or written; None if there is none to read it of."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _calibration_of(path: Path) -> str | None:
    """Return the calibration in the name of a record's file: CALIBRATION-TIME."""
    name, _, time = path.stem.rpartition("-")
    return name if name and time[:8].isdigit() else None
