"""An attenuator that is set to true attenuations, by the calibration record of its curve."""

from qhal.devices.attenuator import Attenuator
from qhal.devices.guarded import Guarded
from qhal.devices.status import Quality, Status
from qhal.errors import OutOfRange
from qhal.node.node_records import NodeRecords
from qhal.records.curve import AttenuatorCurve
from qhal.records.record import Record
from qhal.records.uncertain import Uncertain, nominal, standard_uncertainty


class CalibratedAttenuatorStatus(Status):
    """True attenuation by the record, and its standard uncertainty; None while it is unknown."""

    attenuation_db: float | None
    standard_uncertainty_db: float | None
    record: str


class CalibratedAttenuator(Guarded):
    """An attenuator that is set to true attenuations.

    An invalid record cannot be used to change the attenuation; readings continue, and :meth:`status` is degraded.

    Parameters
    ----------
    attenuator
        The device.
    record
        Record of the attenuator's curve.
    records
        Records of the node, which decide whether ``record`` is valid.
    """

    attenuator: Attenuator
    record: Record

    def __init__(self, attenuator: Attenuator, record: Record, records: NodeRecords) -> None:
        self.attenuator = attenuator
        self.record = record
        self._curve = AttenuatorCurve(record)
        self._records = records

    def set_attenuation_db(self, attenuation_db: float) -> Uncertain:
        """Set a true attenuation; return the attenuation after rounding to the device's steps, with its budget.

        Raises InvalidRecord if the record is invalid, OutOfRange beyond its curve; nothing is sent then.
        """
        self._records.require_valid(self.record)
        limits = self.attenuator.capabilities
        set_db = self._curve.set_point_db(attenuation_db)
        steps = round(set_db / limits.resolution_db)
        rounded_db = min(
            max(steps * limits.resolution_db, limits.min_attenuation_db), limits.max_attenuation_db
        )
        return self._curve.attenuation_db(self.attenuator.set_attenuation_db(rounded_db))

    def read_attenuation_db(self) -> Uncertain:
        """Return the true attenuation, with its budget; :meth:`status` reports whether the record is valid."""
        return self._curve.attenuation_db(self.attenuator.read_attenuation_db())

    def status(self) -> CalibratedAttenuatorStatus:
        """Return one snapshot; degraded if the record is invalid."""
        plain, value = self.attenuator.status(), None
        problems = list(plain.problems)
        problems += (f"record {self.record.id}: {each}" for each in self._records.problems_of(self.record))
        if plain.attenuation_db is not None:
            try:
                value = self._curve.attenuation_db(plain.attenuation_db)
            except OutOfRange as error:
                problems.append(str(error))
        return CalibratedAttenuatorStatus(
            time=plain.time,
            quality=Quality.DEGRADED if problems and plain.quality is Quality.GOOD else plain.quality,
            problems=tuple(problems),
            attenuation_db=None if value is None else nominal(value),
            standard_uncertainty_db=None if value is None else standard_uncertainty(value),
            record=self.record.id,
        )
