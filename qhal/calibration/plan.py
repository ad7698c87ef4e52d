"""What a calibration is told to do."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[float, Field(gt=0)]


class Plan(BaseModel):
    """Parameters of a measurement; every calibration has its own, with defaults for what need not be known."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    valid_days: Annotated[float, Field(gt=0, le=36_500)] = 30.0
    """How long the record may be used if nothing happens before."""


class CountingPlan(Plan):
    """Counts of detectors that are dead after a click, at rates where that matters little.

    ``dead_time_ns``: the effective one, with the recovery, and its standard uncertainty; from a record of
    ``dead-time``, or the wide guess that stands here.
    """

    dead_time_ns: Annotated[float, Field(ge=0)] = 45.0
    dead_time_uncertainty_ns: Annotated[float, Field(ge=0)] = 30.0
