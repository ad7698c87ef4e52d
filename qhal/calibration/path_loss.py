"""Losses of the passive parts between two places, as a plan declares them."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from qhal.calibration.calibrate import Site
from qhal.records.uncertain import systematic


class PathLoss(BaseModel):
    """A part of an optical path: its loss, and the loss's standard uncertainty (k = 1), as in a node file's path."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    loss_db: Annotated[float, Field(ge=0)]
    tolerance_db: Annotated[float, Field(ge=0)] = 0.0


def total_loss_db(parts: Sequence[PathLoss]) -> Any:
    """Return the sum, each part with a line of its own in the budget."""
    return sum((systematic(f"loss of {part.name}", part.loss_db, part.tolerance_db) for part in parts), 0.0)


def losses_behind(site: Site, role: str) -> dict[str, Any]:
    """Return ``path`` of a plan: the parts with a loss from the device of a role on, along the node file's path.

    Nothing when the device is not on it.
    """
    names = [part.name for part in site.path]
    if site.names.get(role) not in names:
        return {}
    behind = site.path[names.index(site.names[role]) :]
    return {
        "path": [
            PathLoss(name=part.name, loss_db=part.loss_db, tolerance_db=part.tolerance_db)
            for part in behind
            if part.loss_db is not None
        ]
    }
