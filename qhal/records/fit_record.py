"""A fit as a record stores it: model, parameters with their covariance, and how well the model describes the data."""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy import special

from qhal.errors import InvalidRecord
from qhal.records.quantity import Finite, Part, Place

POOR_FIT = 1e-3
"""A model that would be as far off as this with less than this probability does not describe the data."""


class Fit(Part):
    """One fit of a record.

    Parameters
    ----------
    model
        The model's formula.
    chi2, degrees_of_freedom
        Misfit of the data.
    scaled
        True if uncertainties were enlarged by the square root of chi2 over its degrees of freedom.
    at
        What was fitted, such as ``{"channel": 2}``.
    parameters
        Fitted values by name. Empty for a comparison that fits nothing, and in records of schema 1.
    covariance
        Of the parameters' statistical errors: the lower triangle with the diagonal, row by row.
    constants
        Values of the model that were not fitted, by name.
    """

    model: str
    chi2: Finite
    degrees_of_freedom: int
    scaled: bool = False
    at: Place = Field(default_factory=dict)
    parameters: dict[str, Finite] = Field(default_factory=dict)
    covariance: tuple[tuple[Finite, ...], ...] = ()
    constants: dict[str, Finite] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_triangle(self) -> "Fit":
        if [len(row) for row in self.covariance] != list(range(1, len(self.parameters) + 1)):
            raise ValueError(
                f"covariance has no row of n values for each n of {len(self.parameters)} parameters"
            )
        return self

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

    @property
    def values(self) -> NDArray[np.float64]:
        """The parameters' values, in the order of the model.

        Raises InvalidRecord for a fit without parameters, such as one of a record of schema 1.
        """
        if not self.parameters:
            raise InvalidRecord(f"fit of {self.model!r}: without parameters, as records of schema 1 store it")
        return np.array(list(self.parameters.values()))

    @property
    def sigmas(self) -> NDArray[np.float64]:
        """The parameters' standard uncertainties, in the order of the model."""
        return np.sqrt([row[-1] for row in self.covariance])

    @property
    def label(self) -> str:
        """Model, and what was fitted, for tables: ``rate = background + slope I, channel 2``."""
        return ", ".join([self.model, *(f"{key} {value:g}" for key, value in self.at.items())])


def triangle(covariance: NDArray[np.float64]) -> tuple[tuple[float, ...], ...]:
    """Return the lower triangle of a covariance matrix as :class:`Fit` stores it, to nine digits."""
    return tuple(tuple(float(f"{value:.9g}") for value in row[: n + 1]) for n, row in enumerate(covariance))
