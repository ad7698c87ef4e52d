"""One coherent snapshot of a device, with its time and how far it can be trusted."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class Quality(StrEnum):
    """How far a snapshot can be trusted."""

    GOOD = "good"
    DEGRADED = "degraded"
    FAULTED = "faulted"


class Status(BaseModel):
    """A snapshot of a device. Each kind adds its own fields.

    ``time`` is UTC wall time of the reading. ``problems`` says in words what makes the quality less than good.
    """

    model_config = ConfigDict(frozen=True)

    time: datetime
    quality: Quality = Quality.GOOD
    problems: tuple[str, ...] = ()


class Health(BaseModel):
    """What a device object knows of its links without asking: states and counters."""

    model_config = ConfigDict(frozen=True)

    state: str
    exchanges: int
    timeouts: int
    protocol_errors: int
    losses: int
    reconnects: int
    unsolicited: int
    settings_changed: dict[str, tuple[str, str]]
