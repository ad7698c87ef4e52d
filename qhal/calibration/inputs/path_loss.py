"""Losses of the passive parts between two points: from a plan, or from the node file's path."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from qhal.calibration.framework.calibration import Site
from qhal.errors import ConfigurationError
from qhal.records.record import PathPart
from qhal.records.uncertain import systematic


class PathLoss(BaseModel):
    """A part of an optical path: its loss, and the loss's standard uncertainty (k = 1), as in a node file's path."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str
    loss_db: Annotated[float, Field(ge=0)]
    uncertainty_db: Annotated[float, Field(ge=0)] = 0.0


def total_loss_db(parts: Sequence[PathLoss]) -> Any:
    """Return the sum, each part with a line of its own in the budget."""
    return sum((systematic(f"loss of {part.name}", part.loss_db, part.uncertainty_db) for part in parts), 0.0)


def parts_from(site: Site, role: str) -> tuple[PathPart, ...]:
    """Return the node file's path from the device of a role on; nothing when that is not on it."""
    names = [part.name for part in site.path]
    return site.path[names.index(site.names[role]) :] if site.names.get(role) in names else ()


def losses(parts: Sequence[PathPart]) -> dict[str, Any]:
    """Return ``path`` of a plan, if there are parts: those that have a loss."""
    path = [
        PathLoss(name=part.name, loss_db=part.loss_db, uncertainty_db=part.uncertainty_db)
        for part in parts
        if part.loss_db is not None
    ]
    return {"path": path} if parts else {}


def losses_to(site: Site, values: Mapping[str, Any], role: str, field: str) -> dict[str, Any]:
    """Return ``path`` of a plan: from the device of a role to the part that the plan's ``field`` names, with it.

    Nothing if the values contain the path, or the device is on none. Raises ConfigurationError when the
    field names no part of it.
    """
    parts = () if "path" in values else parts_from(site, role)
    names, last = [part.name for part in parts], values.get(field)
    if not parts:
        return {}
    if last not in names:
        wrong = f"part {last!r} does not exist" if last else "it is needed"
        raise ConfigurationError(f"{field}: {wrong}; it is one of {', '.join(names)}")
    return losses(parts[: names.index(last) + 1])
