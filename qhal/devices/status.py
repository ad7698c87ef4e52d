"""One coherent snapshot of a device, with its time and how far it can be trusted."""

from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ParamSpec, TypeVar

from pydantic import ConfigDict

from qhal.errors import DeviceError, ProtocolError
from qhal.words import Worded

Arguments = ParamSpec("Arguments")
Value = TypeVar("Value")


class Quality(StrEnum):
    """How far a snapshot can be trusted."""

    GOOD = "good"
    DEGRADED = "degraded"
    FAULTED = "faulted"


class Status(Worded):
    """A snapshot of a device. Each interface adds its own fields.

    ``time`` is UTC wall time of the reading. ``problems``: in words, what makes the quality less than good. A value
    that the device does not have, or that cannot be what it says, is None and a problem; the quality is then faulted.
    """

    model_config = ConfigDict(frozen=True)

    time: datetime
    quality: Quality = Quality.GOOD
    problems: tuple[str, ...] = ()


def required(name: str, status: Status, **value: Value | None) -> Value:
    """Return a value of a device's status, given by its name. Raises DeviceError when it is unknown."""
    ((what, known),) = value.items()
    if known is None:
        raise DeviceError(
            f"{name}: {what} is unknown{': ' if status.problems else ''}{'; '.join(status.problems)}"
        )
    return known


Taken = TypeVar("Taken", bound=Status)


class Snapshot:
    """The values of a status while they are read one by one, and the problems that come up.

    One bad value costs no other: it is None, and a problem. A device that is silent or gone ends the snapshot.
    """

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.quality = Quality.GOOD

    def read(
        self, reader: Callable[Arguments, Value], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Value | None:
        """Return what is read, or None and a problem. Raises ReplyTimeout, Disconnected, WrongDevice."""
        try:
            return reader(*args, **kwargs)
        except (DeviceError, ProtocolError) as error:
            self.note(str(error), Quality.FAULTED)
            return None

    def note(self, problem: str, quality: Quality) -> None:
        """Add a problem; the worst quality counts."""
        self.problems.append(problem)
        self.quality = max(self.quality, quality, key=list(Quality).index)

    def taken(self, kind: type[Taken], **values: Any) -> Taken:
        """Return the status of these values, with its time, quality and problems."""
        return kind(time=datetime.now(UTC), quality=self.quality, problems=tuple(self.problems), **values)


class Health(Worded):
    """What a device object knows of its connections without asking: states and counters."""

    model_config = ConfigDict(frozen=True)

    state: str
    exchanges: int
    timeouts: int
    protocol_errors: int
    losses: int
    reconnects: int
    unsolicited: int
    settings_changed: dict[str, tuple[str, str]]
