"""The schema of a calibration record."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PrivateAttr
from scipy import special
from uncertainties import UFloat

from qhal.errors import InvalidRecord
from qhal.records import uncertain
from qhal.records.shared import Triangle, statistical_errors, systematic_error

SCHEMA_VERSION = 1
POOR_FIT = 1e-3
"""A model that would be as far off as this with less than this probability does not describe the data."""

Finite = Annotated[float, Field(allow_inf_nan=False)]
Place = dict[str, Finite]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Contribution(_Part):
    """One line of an uncertainty budget, in the unit of the quantity (k = 1).

    The sign tells how it goes together with contributions of the same name to other quantities of the record.
    """

    kind: Literal["statistical", "systematic"]
    name: str
    value: Finite


class Quantity(_Part):
    """One result. ``at`` says where it holds: ``{"channel": 2, "bias_ua": 25.1}``. The unit ``1`` is a pure number."""

    name: str
    unit: str
    value: Finite
    contributions: tuple[Contribution, ...] = ()
    at: Place = Field(default_factory=dict)
    _number: uncertain.Uncertain = PrivateAttr(0.0)
    """What it was made of; a record that is read knows its contributions only."""

    @classmethod
    def of(cls, name: str, unit: str, value: uncertain.Uncertain, **at: float) -> "Quantity":
        """Return the quantity of a number with its budget."""
        lines = [
            Contribution(kind=kind, name=line, value=sigma)  # type: ignore[arg-type]
            for (kind, line), sigma in uncertain.budget(value).items()
        ]
        found = cls(name=name, unit=unit, value=uncertain.nominal(value), contributions=tuple(lines), at=at)
        found._number = value
        return found

    @property
    def number(self) -> uncertain.Uncertain:
        """What it was made of, with all variables; 0 after it was read from a file."""
        return self._number

    @property
    def statistical(self) -> float:
        """Standard uncertainty from what is new at every repetition."""
        return self._sum("statistical")

    @property
    def systematic(self) -> float:
        """Standard uncertainty from what stays the same at every repetition."""
        return self._sum("systematic")

    @property
    def uncertainty(self) -> float:
        """Combined standard uncertainty (k = 1)."""
        return float(np.hypot(self.statistical, self.systematic))

    def _sum(self, kind: str) -> float:
        return float(sum(line.value**2 for line in self.contributions if line.kind == kind) ** 0.5)


class Fit(_Part):
    """How well a model described the data. ``scaled``: uncertainties were enlarged by the square root of chi2/dof."""

    model: str
    chi2: Finite
    degrees_of_freedom: int
    scaled: bool = False

    @property
    def p_value(self) -> float:
        """Probability of a misfit at least as large if the model were true; 1 without degrees of freedom."""
        if self.degrees_of_freedom <= 0:
            return 1.0
        return float(special.gammaincc(self.degrees_of_freedom / 2, self.chi2 / 2))

    @property
    def poor(self) -> bool:
        """Whether the model does not describe the data."""
        return self.p_value < POOR_FIT


class Instrument(_Part):
    """A device that took part: its name in the node, its role here, who it said it was, how it was set then."""

    role: str
    device: str
    driver_model: str
    manufacturer: str = ""
    model: str = ""
    serial_number: str = ""
    firmware: str = ""
    shape: str = ""
    settings: dict[str, str] = Field(default_factory=dict)


class PathPart(_Part):
    """One element of the optical path that the record rests on; of a switch with its ports."""

    name: str
    ingress: int | None = None
    egress: int | None = None
    loss_db: float | None = None
    tolerance_db: float = 0.0
    length_km: float | None = None


class Validity(_Part):
    """Until when and under which events a record holds; :func:`qhal.records.validity.problems` applies it.

    ``until``: date. ``settings``: names of settings (by role) that must be as they were. ``temperature_k``: band of the
    temperature that a role's device reports. Instruments must have the serial numbers and firmware of the record, and
    ``path`` of the node file must be as ``Record.path`` says.
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


class Record(_Part):
    """A calibration: results, how they were obtained, and the raw data (``tables``, kept in the file beside this).

    ``inputs``: the plan of the measurement. ``uses``: ids of records whose values entered. ``path``: elements of the
    node file's optical path, where the result rests on it. ``traceability``: the reference it goes back to.
    ``correlation``: of the quantities' statistical errors, in their order; nothing when they are independent.
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
        """Return the one quantity of a name, at a place. Raises InvalidRecord when there is none, or several."""
        found = [
            q for q in self.quantities if q.name == name and all(q.at.get(k) == v for k, v in at.items())
        ]
        if len(found) != 1:
            names = sorted({q.name for q in self.quantities})
            raise InvalidRecord(
                f"record {self.id}: {len(found)} quantities {name!r} at {at or 'any place'}; it has {', '.join(names)}"
            )
        return found[0]

    def value(self, name: str, **at: float) -> UFloat:
        """Return a quantity as a number that propagates. Raises InvalidRecord as :meth:`quantity` does.

        Errors that quantities have in common stay common: statistical ones of one record by its ``correlation``,
        systematic ones of one name, and those of an instrument in all records of it (:mod:`qhal.records.shared`).
        """
        quantity = self.quantity(name, **at)
        place = next(n for n, each in enumerate(self.quantities) if each is quantity)
        sigmas = tuple(each.statistical for each in self.quantities)
        total: UFloat = quantity.value + statistical_errors(self.id, sigmas, self.correlation)[place]
        for line in quantity.contributions:
            if line.kind == "systematic":
                total = total + line.value * systematic_error(self._owned(line.name))
        return total

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

    def _owned(self, line: str) -> str:
        """Return a line's name with whose error it is: of the instrument whose role it begins with, or this record's.

        One that came from another record says so already.
        """
        if line.endswith(")"):
            return line
        for instrument in self.instruments:
            if line.startswith(f"{instrument.role} "):
                return f"{line} ({instrument.model} {instrument.serial_number or instrument.device})"
        return f"{line} ({self.id})"

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
