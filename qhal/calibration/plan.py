"""What a calibration is told to do."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[float, Field(gt=0)]


class Plan(BaseModel):
    """Parameters of a measurement; every calibration has its own, with defaults for what need not be known."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    valid_days: Positive = 30.0
    """How long the record may be used if nothing happens before."""
