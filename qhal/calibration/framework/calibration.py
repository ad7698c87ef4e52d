"""What a calibration is: its plan, setup, functions and title; and the site that a record is for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from qhal.calibration.framework.data import Data, Evaluation
from qhal.calibration.framework.plan import Plan, stored_values
from qhal.calibration.framework.points import Run
from qhal.calibration.framework.setup import Setup
from qhal.devices.interface import Interface
from qhal.errors import ConfigurationError
from qhal.records.record import PathPart, Record

PlanType = TypeVar("PlanType", bound=Plan)
SetupType = TypeVar("SetupType", bound=Setup)


@dataclass(frozen=True)
class Calibration(Generic[PlanType, SetupType]):
    """One calibration.

    ``measure(run, plan, setup)`` drives the devices of the setup and stores rows, ``evaluate(data, plan)`` makes
    quantities of the rows, ``draw(figure, record)`` draws a record.

    ``method``: the model and its source. ``uses``: calibrations whose records the evaluation or ``from_node`` can use.
    ``from_node``: functions of ``(site, values, records)`` that return values of the plan from the node file's path and
    from records, beside the values that are given. ``allows_latching``: a detector may latch; otherwise a row during
    which one latched is discarded. ``retains``: roles that stay as ``measure`` left them after a good end, because
    their settings are the result.
    """

    name: str
    title: str
    method: str
    plan: type[PlanType]
    setup: type[SetupType]
    measure: Callable[[Run, PlanType, SetupType], None]
    evaluate: Callable[[Data, PlanType], Evaluation]
    draw: Callable[[Any, Record], None]
    uses: tuple[str, ...] = ()
    allows_latching: bool = False
    retains: tuple[str, ...] = ()
    from_node: "tuple[Callable[[Site, Mapping[str, Any], Sequence[Record]], dict[str, Any]], ...]" = ()

    def plan_at(self, site: "Site", values: Mapping[str, Any], records: Sequence[Record] = ()) -> PlanType:
        """Return the plan of these values, completed from the node file and the records.

        Raises ConfigurationError that names the wrong or missing value and the known parameters; InvalidRecord.
        """
        self.check_values(values)
        found: dict[str, Any] = {}
        for values_of in self.from_node:
            found |= values_of(site, values, records)
        try:
            return self.plan(**stored_values({**found, **values}))
        except ValidationError as error:
            raise self._wrong(error.errors()[0]) from error

    def check_values(self, values: Mapping[str, Any]) -> None:
        """Raise ConfigurationError for a value that no plan takes; what is missing may stand in a node file."""
        try:
            self.plan(**values)
        except ValidationError as error:
            for details in error.errors():
                if details["type"] != "missing" or len(details["loc"]) > 1:
                    raise self._wrong(details) from error

    def _wrong(self, details: Any) -> ConfigurationError:
        key = "".join(f"{part}: " for part in (self.name, ".".join(map(str, details["loc"]))) if part)
        if details["type"] == "extra_forbidden":
            known = ", ".join(self.plan.model_fields)
            return ConfigurationError(f"{key}no such parameter; it takes {known}")
        if details["type"] == "missing":
            return ConfigurationError(f"{key}it is needed")
        message = details.get("ctx", {}).get("error", details["msg"])
        return ConfigurationError(
            f"{key}{message}, not {_shown(details['input'])}" if details["loc"] else f"{key}{message}"
        )

    @property
    def roles(self) -> dict[str, tuple[type[Interface], bool]]:
        """The interface of each role, and whether the role can be left out."""
        return self.setup.roles()


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


@dataclass(frozen=True, slots=True)
class Site:
    """The site of a calibration: the node's name, and the optical path that a result depends on."""

    node: str = ""
    path_name: str = ""
    path: tuple[PathPart, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    """Name of the device in the node, by role."""
