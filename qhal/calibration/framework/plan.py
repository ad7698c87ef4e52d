"""Plans: the parameters of calibrations, and the extent of a measurement."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from uncertainties import UFloat

from qhal.calibration.framework.plan_limits import check_value
from qhal.records.origin import RecordOrigin, UnitOrigin
from qhal.records.quantity import Contribution, contributions_of, number_of
from qhal.records.uncertain import nominal, systematic

Positive = Annotated[float, Field(gt=0)]

MAX_ROWS = 100_000
MAX_DAYS = 30.0
MAX_NUMBERS = 5e7
MAX_TAGS = 1e8
MAX_SAMPLES = 1e8
CHANNELS = 4
"""Detectors that an estimate assumes before the devices are open."""
BIN_PS = 10.0
"""Resolution of a tagger that an estimate assumes."""


@dataclass(frozen=True, slots=True)
class Extent:
    """Size of a measurement, estimated from its plan.

    ``rows``: of all tables. ``seconds``: of counting and waiting. ``numbers``: kept in all rows together. ``tags``: in
    memory at one time. ``samples``: of the waveforms that a generator plays.
    """

    rows: int
    seconds: float
    numbers: float = 0.0
    tags: float = 0.0
    samples: float = 0.0

    def check(self) -> None:
        """Raise ValueError for one that is too large."""
        for what, found, bound in (
            ("points", self.rows, MAX_ROWS),
            ("days of counting", self.seconds / 86_400, MAX_DAYS),
            ("numbers to keep", self.numbers, MAX_NUMBERS),
            ("tags in memory", self.tags, MAX_TAGS),
            ("samples of a waveform", self.samples, MAX_SAMPLES),
        ):
            if found > bound:
                raise ValueError(f"{found:.3g} {what}, at most {bound:g}")


class RecordedBudget(BaseModel):
    """Uncertainty budget of a parameter that was read from records; of a list with the index: ``ratios.1``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    parameter: str
    contributions: tuple[Contribution, ...]

    @field_validator("contributions")
    @classmethod
    def _have_origins(cls, lines: tuple[Contribution, ...]) -> tuple[Contribution, ...]:
        for line in lines:
            if not isinstance(line.origin, RecordOrigin | UnitOrigin):
                raise ValueError(f"{line.name}: neither a record nor a unit is its origin")
        return lines


class Plan(BaseModel):
    """Parameters of a measurement; every calibration has its own, with defaults for what need not be known.

    Every number has limits (:mod:`qhal.calibration.framework.plan_limits`), and so has the whole: 100,000 points,
    30 days, 5e7 numbers to keep, 1e8 tags in memory, 1e8 samples of a waveform.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    valid_days: Annotated[float, Field(gt=0, le=36_500)] = 30.0
    """How long the record may be used if nothing happens before."""
    from_records: tuple[RecordedBudget, ...] = ()
    """Budgets of values that were read from records: through them, results that used one record share its errors."""

    def number(self, parameter: str, value: float, uncertainty: float, name: str) -> UFloat:
        """Return a parameter for computations: with the budget of its record, else with one error called ``name``."""
        for budget in self.from_records:
            if budget.parameter == parameter:
                return number_of(value, budget.contributions)
        return systematic(name, value, uncertainty)

    def unit_error(self, parameter: str, name: str) -> UFloat:
        """Return the error of a parameter over its standard uncertainty: 0 +- 1, as :meth:`number` has it."""
        error = self.number(parameter, 0.0, 1.0, name)
        return error / error.std_dev if error.std_dev else error

    def extent(self) -> Extent:
        """Return how large the measurement is, estimated without its devices."""
        raise NotImplementedError

    @field_validator("*")
    @classmethod
    def _is_within_limits(cls, value: Any, info: ValidationInfo) -> Any:
        if info.field_name != "from_records":  # errors of any size
            check_value(info.field_name or "", value)
        return value

    @field_validator("from_records")
    @classmethod
    def _are_parameters(cls, budgets: tuple[RecordedBudget, ...]) -> tuple[RecordedBudget, ...]:
        for budget in budgets:
            if budget.parameter.partition(".")[0] not in cls.model_fields:
                raise ValueError(f"{budget.parameter} is not a parameter")
        return budgets

    @model_validator(mode="after")
    def _is_bounded(self) -> "Plan":
        self.extent().check()
        return self


class CountingPlan(Plan):
    """Counts of detectors that are dead after a click, at rates where that matters little.

    ``dead_time_ns``: the effective one, with the recovery, and its standard uncertainty; from a record of
    ``dead-time``, or the wide guess that stands here.
    """

    dead_time_ns: Annotated[float, Field(ge=0)] = 45.0
    dead_time_uncertainty_ns: Annotated[float, Field(ge=0)] = 30.0

    @property
    def dead_time_error(self) -> UFloat:
        """Error of the dead time over its standard uncertainty, 0 +- 1; the same for all results from one record."""
        return self.unit_error("dead_time_ns", "dead time")


def stored_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values for a plan, of which some are ``UFloat``: these as plain numbers, with their budgets."""
    plain = dict(values)
    numbers: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, UFloat):
            numbers[name], plain[name] = value, nominal(value)
        elif isinstance(value, list) and any(isinstance(each, UFloat) for each in value):
            numbers |= {f"{name}.{n}": each for n, each in enumerate(value) if isinstance(each, UFloat)}
            plain[name] = [nominal(each) for each in value]
    budgets = [
        {"parameter": name, "contributions": contributions_of(number)} for name, number in numbers.items()
    ]
    return {**plain, "from_records": budgets} if budgets else plain


def steps_between(first: float, last: float, step: float) -> int:
    """Return the number of evenly spaced values from ``first`` up to ``last``, both included; 0 when it is below."""
    return max(0, int((last - first) / step + 1e-9) + 1) if last >= first else 0
