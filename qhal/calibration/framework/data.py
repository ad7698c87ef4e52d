"""What an evaluation is given, and what it returns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from qhal.errors import InvalidRecord
from qhal.records.record import Fit, Quantity, Record, Table


@dataclass(frozen=True, slots=True)
class Data:
    """Raw data by table, and the records whose values the evaluation may use."""

    tables: Mapping[str, Table]
    records: Sequence[Record] = ()

    def __getitem__(self, table: str) -> Table:
        return self.tables[table]

    def record(self, calibration: str, **roles: str) -> Record | None:
        """Return the record of a calibration in which devices had these roles; None when none was given.

        Raises InvalidRecord when several were.
        """
        found = [record for record in self.records if record.is_of(calibration, **roles)]
        if len(found) > 1:
            names, devices = ", ".join(record.id for record in found), ", ".join(roles.values())
            raise InvalidRecord(f"{names} are all of {calibration} for {devices}: give one")
        return found[0] if found else None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Results of a calibration.

    ``settings``: by role, names of settings on which the result rests. ``temperature_k``: by role, the band in which it
    holds. ``traceability``: the reference that it goes back to, with its certificate.
    """

    quantities: Sequence[Quantity]
    fits: Sequence[Fit] = ()
    remarks: Sequence[str] = ()
    settings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    temperature_k: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    traceability: str = ""
