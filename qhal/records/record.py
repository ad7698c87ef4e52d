"""The schema of a calibration record."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AwareDatetime, ConfigDict, Field, JsonValue, model_validator
from uncertainties import UFloat

from qhal.errors import InvalidRecord
from qhal.records.fit_record import Fit
from qhal.records.origin import Origin, RecordOrigin, RoleOrigin, UnitOrigin, UnknownOrigin
from qhal.records.quantity import Contribution, Part, Quantity, number_of
from qhal.records.shared import Triangle, statistical_errors
from qhal.records.uncertain import SYSTEMATIC

__all__ = [
    "SCHEMA_VERSION",
    "Contribution",
    "Fit",
    "Instrument",
    "PathPart",
    "Quantity",
    "Record",
    "Table",
    "Validity",
    "utc_text",
]

SCHEMA_VERSION = 2


class Instrument(Part):
    """A device of the measurement: its role, its name in the node, its identity, and its settings then.

    ``setting_tolerances``: by setting, largest difference of two readings of one setting.
    """

    role: str
    device: str
    driver_model: str
    manufacturer: str = ""
    model: str = ""
    serial_number: str = ""
    firmware: str = ""
    shape: str = ""
    settings: dict[str, JsonValue] = Field(default_factory=dict)
    setting_tolerances: dict[str, float] = Field(default_factory=dict)


class PathPart(Part):
    """One element of the optical path of the measurement; a switch has its ports."""

    name: str
    ingress: int | None = None
    egress: int | None = None
    loss_db: float | None = None
    uncertainty_db: float = 0.0
    length_km: float | None = None


class Validity(Part):
    """Conditions under which a record is valid; :func:`qhal.records.validity.problems` checks them.

    Besides these, instruments must have the identity of the record, and the path of the node file must be
    ``Record.path``.

    Attributes
    ----------
    until
        Last moment.
    settings
        By role, names of the settings that must be as they were, within their tolerances.
    temperature_k
        By role, the band of the temperature that the device reports.
    """

    until: AwareDatetime
    settings: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    temperature_k: dict[str, tuple[float, float]] = Field(default_factory=dict)


@dataclass(frozen=True, eq=False, slots=True)
class Table:
    """Raw data: columns of equal length (further axes allowed), with units."""

    columns: Mapping[str, NDArray[Any]]
    units: Mapping[str, str]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def __getitem__(self, column: str) -> NDArray[Any]:
        return self.columns[column]

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows."""
        for n in range(len(self)):
            yield {name: column[n] for name, column in self.columns.items()}


class Record(Part):
    """A calibration: results, how they were obtained, and the raw data.

    Attributes
    ----------
    id
        Name of the calibration, and time.
    inputs
        Plan of the measurement.
    uses
        Ids of the records whose values were used.
    traceability
        Reference that the result is traceable to.
    path, path_name
        Optical path of the node file, if the result depends on it.
    correlation
        Of the quantities' own statistical errors, in their order; empty when they are independent.
    tables
        Raw data, stored in the file beside the rest.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    schema_version: Annotated[int, Field(ge=SCHEMA_VERSION, le=SCHEMA_VERSION)] = SCHEMA_VERSION
    id: str
    calibration: str
    title: str
    method: str
    started: AwareDatetime
    finished: AwareDatetime
    operator: str
    software: str
    node: str = ""
    instruments: tuple[Instrument, ...]
    inputs: dict[str, Any]
    uses: tuple[str, ...] = ()
    traceability: str = ""
    path: tuple[PathPart, ...] = ()
    path_name: str = ""
    quantities: tuple[Quantity, ...]
    correlation: Triangle = ()
    fits: tuple[Fit, ...] = ()
    remarks: tuple[str, ...] = ()
    validity: Validity
    tables: dict[str, Table] = Field(default_factory=dict, exclude=True)

    @property
    def quality(self) -> Literal["good", "poor fit"]:
        """Whether every model described its data."""
        return "poor fit" if any(fit.poor for fit in self.fits) else "good"

    def quantity(self, name: str, **at: float) -> Quantity:
        """Return the one quantity of a name and place. Raises InvalidRecord if none matches, or several do."""
        found = [
            q for q in self.quantities if q.name == name and all(q.at.get(k) == v for k, v in at.items())
        ]
        if len(found) != 1:
            names = sorted({q.name for q in self.quantities})
            raise InvalidRecord(
                f"record {self.id}: {len(found)} quantities {name!r} at {at or 'any place'}; it has {', '.join(names)}"
            )
        return found[0]

    def fit(self, model: str, **at: float) -> Fit:
        """Return the fit of a model to exactly this. Raises InvalidRecord when none has parameters, or several do."""
        found = [fit for fit in self.fits if fit.model == model and fit.parameters and fit.at == at]
        if len(found) != 1:
            reason = "" if any(fit.parameters for fit in self.fits) else "; those of schema 1 store none"
            raise InvalidRecord(
                f"record {self.id}: {len(found)} fits with parameters of {model!r} at {at or 'no place'}{reason}"
            )
        return found[0]

    def value(self, name: str, **at: float) -> UFloat:
        """Return a quantity as a number that propagates.

        Errors that quantities share stay shared: statistical ones of one record by its ``correlation``, systematic ones
        by name and origin, so those of a unit in all records in which it took part.

        Parameters
        ----------
        name
            Name of the quantity.
        **at
            Where it applies, as far as needed to name one.

        Returns
        -------
        UFloat
            The value; all its errors are systematic, because they stay the same however often a record is used.

        Raises
        ------
        InvalidRecord
            If no quantity matches, or several do.
        """
        quantity = self.quantity(name, **at)
        index = next(n for n, each in enumerate(self.quantities) if each is quantity)
        lines = [
            line.model_copy(update={"origin": self.origin_of(line)})
            for line in quantity.contributions
            if line.kind == SYSTEMATIC
        ]
        value: UFloat = number_of(quantity.value, lines) + self._statistical_errors[index]
        return value

    def curve(self, name: str, over: str, **at: float) -> tuple[NDArray[np.float64], tuple[UFloat, ...]]:
        """Return a quantity along one of its places, ascending: the places and the values. Raises InvalidRecord."""
        places = sorted(
            q.at[over]
            for q in self.quantities
            if q.name == name and over in q.at and all(q.at.get(k) == v for k, v in at.items())
        )
        if not places:
            raise InvalidRecord(f"record {self.id}: no {name!r} over {over!r}")
        return np.array(places), tuple(self.value(name, **{over: place}, **at) for place in places)

    @property
    def _statistical_errors(self) -> tuple[UFloat, ...]:
        labels = tuple(quantity.label for quantity in self.quantities)
        sigmas = tuple(quantity.statistical for quantity in self.quantities)
        return statistical_errors(self.id, labels, sigmas, self.correlation)

    def origin_of(self, line: Contribution) -> Origin:
        """Return the origin of a contribution as it is identified outside of this record."""
        origin = line.origin
        if isinstance(origin, RoleOrigin):
            unit = self.instrument(origin.role)
            name = "" if unit.serial_number else f"{self.node}/{unit.device}"
            return UnitOrigin(unit.manufacturer, unit.model, unit.serial_number, name)
        if origin is None or isinstance(origin, UnknownOrigin):
            return RecordOrigin(self.id)
        return origin

    @model_validator(mode="after")
    def _has_origins(self) -> "Record":
        roles = {instrument.role for instrument in self.instruments}
        for quantity in self.quantities:
            for line in quantity.contributions:
                if isinstance(line.origin, RoleOrigin) and line.origin.role not in roles:
                    raise ValueError(
                        f"{quantity.name}: {line.name}: no instrument of the record is its {line.origin.role!r}"
                    )
        return self

    def is_of(self, calibration: str, **roles: str) -> bool:
        """Return whether it is a record of a calibration in which devices (by role) took part."""
        found = {each.role: each.device for each in self.instruments}
        return self.calibration == calibration and roles.items() <= found.items()

    def instrument(self, role: str) -> Instrument:
        """Return the instrument of a role. Raises InvalidRecord."""
        for instrument in self.instruments:
            if instrument.role == role:
                return instrument
        raise InvalidRecord(f"record {self.id}: no instrument was its {role!r}")


def utc_text(moment: datetime) -> str:
    """Return a moment as it stands in file names."""
    return moment.strftime("%Y%m%dT%H%M%S%fZ")
