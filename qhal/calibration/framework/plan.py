"""What a calibration is told to do, and how large that is."""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from qhal.calibration.framework.plan_limits import check_value

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
    """How large a measurement is, as far as its plan alone shows.

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


class Plan(BaseModel):
    """Parameters of a measurement; every calibration has its own, with defaults for what need not be known.

    Every number has limits (:mod:`qhal.calibration.framework.plan_limits`), and so has the whole: 100,000 points,
    30 days, 5e7 numbers to keep, 1e8 tags in memory, 1e8 samples of a waveform.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    valid_days: Annotated[float, Field(gt=0, le=36_500)] = 30.0
    """How long the record may be used if nothing happens before."""

    def extent(self) -> Extent:
        """Return how large the measurement is, estimated without its devices."""
        raise NotImplementedError

    @field_validator("*")
    @classmethod
    def _is_within_limits(cls, value: Any, info: ValidationInfo) -> Any:
        check_value(info.field_name or "", value)
        return value

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


def steps_between(first: float, last: float, step: float) -> int:
    """Return the number of evenly spaced values from ``first`` up to ``last``, both included; 0 when it is below."""
    return max(0, int((last - first) / step + 1e-9) + 1) if last >= first else 0
