"""The calibration records that a node uses, and devices that answer with them.

A record that does not hold is an error when something is started or changed with it. What runs goes on: readings are
still given, marked degraded.
"""

import logging
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from qhal.devices.attenuator import Attenuator
from qhal.devices.guarded import Guarded
from qhal.devices.status import Quality, Status
from qhal.errors import ConfigurationError, DataError, InvalidRecord, OutOfRange
from qhal.node.schema import NodeFile, PathTable
from qhal.records.curve import AttenuatorCurve
from qhal.records.hdf5 import read_record
from qhal.records.record import PathPart, Record
from qhal.records.uncertain import Uncertain, nominal, standard_uncertainty
from qhal.records.validity import problems

if TYPE_CHECKING:
    from qhal.node.node import Node

log = logging.getLogger(__name__)


def parts_of(path: PathTable) -> tuple[PathPart, ...]:
    """Return a path's elements as a record keeps them."""
    return tuple(
        PathPart(
            name=element.device or element.name,
            ingress=element.ingress,
            egress=element.egress,
            loss_db=element.loss_db,
            tolerance_db=element.tolerance_db,
            length_km=element.length_km,
        )
        for element in path.elements
    )


def load_records(file: NodeFile) -> list[Record]:
    """Read the records that a node file names. Raises DataError for one that is damaged or altered."""
    return [read_record(table.file) for table in file.records]


def read_records(file: NodeFile) -> Iterator[tuple[Path, Record | DataError]]:
    """Yield each record that a node file names, or the error of one that is damaged or altered, with its path."""
    for table in file.records:
        path = Path(table.file)
        try:
            yield path, read_record(path)
        except DataError as error:
            yield path, error


def load_records_of(file: NodeFile, calibrations: Collection[str]) -> list[Record]:
    """Read the records of these calibrations.

    One that is damaged is passed over with a warning when its file's name, an id, says that it is of another
    calibration. Raises DataError for any other that is damaged.
    """
    found = []
    for path, record in read_records(file):
        if not isinstance(record, DataError):
            if record.calibration in calibrations:
                found.append(record)
        elif (other := _calibration_of(path)) is None or other in calibrations:
            raise record
        else:
            log.warning("passed over, a record of %s that is damaged: %s", other, record)
    return found


def _calibration_of(path: Path) -> str | None:
    """Return the calibration that the name of a record's file says: CALIBRATION-TIME."""
    name, _, time = path.stem.rpartition("-")
    return name if name and time[:8].isdigit() else None


def one_of(records: Iterable[Record], calibration: str, **roles: str) -> Record:
    """Return the record of a calibration in which devices had these roles.

    Raises ConfigurationError when there is not just one.
    """
    named = [record for record in records if record.calibration == calibration]
    found = [record for record in named if record.is_of(calibration, **roles)]
    if len(found) != 1:
        wanted = "".join(f" with {name!r} as {role}" for role, name in roles.items())
        raise ConfigurationError(
            f"{len(found)} records of {calibration}{wanted} in the node file;"
            f" it names {', '.join(record.id for record in named) or 'none of it'}"
        )
    return found[0]


class CalibratedAttenuatorStatus(Status):
    """True attenuation by the record, and its standard uncertainty; None while that is not known."""

    attenuation_db: float | None
    standard_uncertainty_db: float | None
    record: str


class CalibratedAttenuator(Guarded):
    """An attenuator that is set to true attenuations, by the record of its curve.

    ``check`` returns why the record does not hold now.
    """

    attenuator: Attenuator
    record: Record

    def __init__(self, attenuator: Attenuator, record: Record, check: "RecordCheck") -> None:
        self.attenuator = attenuator
        self.record = record
        self._curve = AttenuatorCurve(record)
        self._check = check

    def set_attenuation_db(self, attenuation_db: float) -> Uncertain:
        """Set the attenuator so that it really attenuates so much; return what it does, with its budget.

        Raises InvalidRecord when the record does not hold, OutOfRange beyond its curve; then nothing was sent.
        """
        self._check.require(self.record)
        steps = self.attenuator.capabilities.resolution_db
        set_db = self._curve.set_point_db(attenuation_db)
        low, high = (
            self.attenuator.capabilities.min_attenuation_db,
            self.attenuator.capabilities.max_attenuation_db,
        )
        rounded = min(max(round(set_db / steps) * steps, low), high)
        return self._curve.attenuation_db(self.attenuator.set_attenuation_db(rounded))

    def read_attenuation_db(self) -> Uncertain:
        """Return the true attenuation now, with its budget; whether the record still holds is in :meth:`status`."""
        return self._curve.attenuation_db(self.attenuator.read_attenuation_db())

    def status(self) -> CalibratedAttenuatorStatus:
        """Return one snapshot; degraded when the record does not hold."""
        plain, value = self.attenuator.status(), None
        found = [
            *plain.problems,
            *(f"record {self.record.id}: {p}" for p in self._check.problems(self.record)),
        ]
        if plain.attenuation_db is not None:
            try:
                value = self._curve.attenuation_db(plain.attenuation_db)
            except OutOfRange as error:
                found.append(str(error))
        return CalibratedAttenuatorStatus(
            time=plain.time,
            quality=Quality.DEGRADED if found and plain.quality is Quality.GOOD else plain.quality,
            problems=tuple(found),
            attenuation_db=None if value is None else nominal(value),
            standard_uncertainty_db=None if value is None else standard_uncertainty(value),
            record=self.record.id,
        )


class RecordCheck:
    """Finds out whether records hold in a node, as it is now."""

    def __init__(self, node: "Node") -> None:
        self._node = node

    def problems(self, record: Record) -> tuple[str, ...]:
        """Return why a record does not hold; nothing when it does."""
        paths = self._node.file.paths
        path = parts_of(paths[record.path_name]) if record.path_name in paths else ()
        return problems(record, self._node.devices, path)

    def require(self, record: Record) -> None:
        """Raise InvalidRecord when a record does not hold, with all reasons."""
        if found := self.problems(record):
            raise InvalidRecord(f"record {record.id} may not be used: {'; '.join(found)}")
