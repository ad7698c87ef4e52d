"""The stored form of an uncertain number: its value and its budget, and the conversions to and from ``UFloat``.

Computations use ``uncertainties.UFloat`` (:mod:`qhal.records.uncertain`); a record stores :class:`Quantity`.
:func:`contributions_of` and :func:`number_of` are the only conversions.
"""

from collections.abc import Iterable
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator
from uncertainties import UFloat

from qhal.errors import InvalidRecord
from qhal.records import uncertain
from qhal.records.origin import Origin, RecordOrigin, RoleOrigin, UnitOrigin
from qhal.records.shared import shared_error

Finite = Annotated[float, Field(allow_inf_nan=False)]
Place = dict[str, Finite]


class Part(BaseModel):
    """A part of a record: immutable, without other fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Contribution(Part):
    """One line of an uncertainty budget, in the unit of the quantity (k = 1).

    Contributions of one ``name`` and ``origin`` are one error, with its sign in each quantity.
    """

    kind: Literal["statistical", "systematic"]
    name: str
    value: Finite
    origin: Origin | None = None

    @model_validator(mode="after")
    def _statistical_is_own(self) -> "Contribution":
        if self.kind == uncertain.STATISTICAL and isinstance(
            self.origin, RoleOrigin | UnitOrigin | RecordOrigin
        ):
            raise ValueError(f"{self.name}: a statistical error has no origin but its own record")
        return self


class Quantity(Part):
    """One result. ``at`` is where it applies: ``{"channel": 2, "bias_ua": 25.1}``. The unit ``1`` is a pure number."""

    name: str
    unit: str
    value: Finite
    contributions: tuple[Contribution, ...] = ()
    at: Place = Field(default_factory=dict)
    _number: uncertain.Uncertain | None = PrivateAttr(None)

    @classmethod
    def of(cls, name: str, unit: str, value: uncertain.Uncertain, **at: float) -> "Quantity":
        """Return the stored form of a number, with its budget.

        Raises
        ------
        ValueError
            For an error without a name or kind.

        Examples
        --------
        >>> from qhal.records.uncertain import statistical
        >>> rate = Quantity.of("dark_count_rate", "1/s", statistical("counts", 12.0, 3.0), channel=2)
        >>> rate.value, rate.uncertainty, rate.at
        (12.0, 3.0, {'channel': 2.0})
        """
        quantity = cls(
            name=name,
            unit=unit,
            value=uncertain.nominal(value),
            contributions=contributions_of(value),
            at=at,
        )
        quantity._number = value
        return quantity

    @property
    def number(self) -> uncertain.Uncertain:
        """The number that it was made of, with all its variables.

        Raises InvalidRecord for a quantity that was read: which errors it shares, its record knows.
        """
        if self._number is None:
            raise InvalidRecord(
                f"{self.name}: read from a record, without the errors that it shares: use Record.value"
            )
        return self._number

    @property
    def statistical(self) -> float:
        """Standard uncertainty from errors that are new at every repetition."""
        return self._sum(uncertain.STATISTICAL)

    @property
    def systematic(self) -> float:
        """Standard uncertainty from errors that stay the same at every repetition."""
        return self._sum(uncertain.SYSTEMATIC)

    @property
    def uncertainty(self) -> float:
        """Combined standard uncertainty (k = 1)."""
        return float(np.hypot(self.statistical, self.systematic))

    @property
    def label(self) -> str:
        """Name and place, for messages and budgets: ``attenuation (set_db 10)``."""
        at = ", ".join(f"{key} {value:g}" for key, value in self.at.items())
        return f"{self.name} ({at})" if at else self.name

    def _sum(self, kind: str) -> float:
        return float(sum(line.value**2 for line in self.contributions if line.kind == kind) ** 0.5)


def contributions_of(number: uncertain.Uncertain) -> tuple[Contribution, ...]:
    """Return the budget of a number as a record stores it. Raises ValueError for an error without a name."""
    return tuple(
        Contribution(kind=source.kind, name=source.name, value=sigma, origin=source.origin)
        for source, sigma in sorted(uncertain.budget(number).items(), key=lambda line: repr(line[0]))
    )


def number_of(value: float, contributions: Iterable[Contribution]) -> UFloat:
    """Return a stored number for computations: each contribution is the one error of its name and origin.

    All of them are systematic: a stored error stays the same however often its value is used. Raises ValueError for a
    contribution without an origin, or with a role: only its record knows of which unit that is.
    """
    number = uncertain.exact(value)
    for line in contributions:
        if line.origin is None or isinstance(line.origin, RoleOrigin):
            raise ValueError(f"{line.name}: no origin outside of its record")
        number = number + line.value * shared_error(line.name, line.origin)
    return number
