"""Calibration records: quantities with their uncertainty budgets, how they were obtained, and how long they are valid.

A :class:`Record` is one calibration, :class:`RecordStore` a folder of them; :func:`problems` reports why a record is
invalid. In computations a quantity is a ``UFloat`` whose errors have a name, a kind (statistical or systematic) and an
origin, so results share the errors of the instruments and records that they have in common. Needs the extra
``calibration``.
"""

from typing import TYPE_CHECKING

from qhal.late import late

if TYPE_CHECKING:
    from qhal.records.curve import AttenuatorCurve
    from qhal.records.fit_record import Fit
    from qhal.records.hdf5 import read_record, write_record
    from qhal.records.origin import RecordOrigin, RoleOrigin, UnitOrigin, UnknownOrigin
    from qhal.records.quantity import Contribution, Quantity
    from qhal.records.record import Instrument, PathPart, Record, Table, Validity
    from qhal.records.shared import correlation, shared_error, statistical_errors
    from qhal.records.store import RecordStore, StoredRecord
    from qhal.records.uncertain import (
        budget,
        correlated,
        exact,
        exp,
        from_db,
        log2,
        nominal,
        shown,
        standard_uncertainty,
        statistical,
        systematic,
        to_db,
        uniform,
        values_of,
    )
    from qhal.records.validity import problems

__all__ = [
    "AttenuatorCurve",
    "Contribution",
    "Fit",
    "Instrument",
    "PathPart",
    "Quantity",
    "Record",
    "RecordOrigin",
    "RecordStore",
    "RoleOrigin",
    "StoredRecord",
    "Table",
    "UnitOrigin",
    "UnknownOrigin",
    "Validity",
    "budget",
    "correlated",
    "correlation",
    "exact",
    "exp",
    "from_db",
    "log2",
    "nominal",
    "problems",
    "read_record",
    "shared_error",
    "shown",
    "standard_uncertainty",
    "statistical",
    "statistical_errors",
    "systematic",
    "to_db",
    "uniform",
    "values_of",
    "write_record",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = late(__name__, __file__)
