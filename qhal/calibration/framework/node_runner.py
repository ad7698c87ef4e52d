"""Run a calibration on a node's devices: prepared before the node is open, then run on its open devices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qhal.calibration.framework.calibration import Calibration, Site
from qhal.calibration.framework.plan import Plan
from qhal.calibration.framework.points import ProgressCallback, ignore_progress
from qhal.calibration.framework.roles import assign_roles, site_of
from qhal.calibration.framework.runner import calibrate
from qhal.errors import ConfigurationError, QhalError
from qhal.node.node import Node
from qhal.records.curve import CURVE
from qhal.records.record import Record


@dataclass(frozen=True, slots=True)
class Prepared:
    """A calibration of a node, checked without its devices.

    ``assigned``: name of the device by role. ``records``: those that are used; whether they are valid depends on the
    devices.
    """

    calibration: Calibration[Any, Any]
    assigned: Mapping[str, str]
    site: Site
    plan: Plan
    records: Sequence[Record]


def prepare(
    node: Node,
    calibration: Calibration[Any, Any],
    values: Mapping[str, Any] | None = None,
    names: Mapping[str, str] | None = None,
    *,
    path: str | None = None,
    records: Sequence[Record] = (),
) -> Prepared:
    """Assign roles, find the path and make the plan; the node need not be open, and nothing is sent.

    The arguments are those of :func:`calibrate_node`. Raises ConfigurationError for what is wrong, and for one of
    ``records`` that is not used; DataError for a damaged record that may be needed.
    """
    assigned = assign_roles(calibration, node, names or {})
    site = site_of(node, assigned, path)
    # One that has expired must not be in the way of its successor.
    wanted = set(calibration.uses) - {record.calibration for record in records} - {calibration.name}
    known = [*records, *node.records_of(wanted)]
    plan = calibration.plan_at(site, values or {}, known)
    for record in records:
        _refuse_unused(record, calibration, plan, site, values or {}, known)
    return Prepared(calibration=calibration, assigned=assigned, site=site, plan=plan, records=known)


def _refuse_unused(
    record: Record,
    calibration: Calibration[Any, Any],
    plan: Plan,
    site: Site,
    values: Mapping[str, Any],
    known: Sequence[Record],
) -> None:
    if any(record.is_of(CURVE, attenuator=name) for name in site.names.values()):
        return  # its evaluation looks for the curves of its attenuators
    if record.calibration in calibration.uses:
        try:
            without = calibration.plan_at(site, values, [each for each in known if each is not record])
        except QhalError:
            return
        if without != plan:
            return
    uses = ", ".join(calibration.uses) or "none"
    raise ConfigurationError(
        f"record {record.id} is not used: no input of {calibration.name} comes from it"
        f" (it uses records of: {uses}; of the devices in its roles, and for values that are not set)"
    )


def calibrate_node(
    node: Node,
    calibration: Calibration[Any, Any],
    values: Mapping[str, Any] | None = None,
    names: Mapping[str, str] | None = None,
    *,
    path: str | None = None,
    folder: str | Path = "records",
    operator: str | None = None,
    records: Sequence[Record] = (),
    on_progress: ProgressCallback = ignore_progress,
    resume: str | Path | None = None,
) -> Record:
    """Run a calibration on the devices of an open node and return its record.

    ``values``: of the plan, instead of its defaults and of values from the node file's path and the records.
    ``names``: devices by role, for roles with a choice. Records that the node file names are used, but for those of
    calibrations of which ``records`` has some. Raises what :func:`prepare` and
    :func:`~qhal.calibration.framework.runner.calibrate` do, InvalidRecord for a record that is not valid.
    """
    prepared = prepare(node, calibration, values, names, path=path, records=records)
    return calibrate_prepared(
        node, prepared, folder=folder, operator=operator, on_progress=on_progress, resume=resume
    )


def calibrate_prepared(
    node: Node,
    prepared: Prepared,
    *,
    folder: str | Path = "records",
    operator: str | None = None,
    on_progress: ProgressCallback = ignore_progress,
    resume: str | Path | None = None,
) -> Record:
    """Run a prepared calibration on the devices of the node, which is open now; see :func:`calibrate_node`."""
    calibration = prepared.calibration
    devices = {role: node.get(name, calibration.roles[role][0]) for role, name in prepared.assigned.items()}
    return calibrate(
        calibration, devices, prepared.plan, folder=folder, operator=operator, site=prepared.site,
        records=node.checked(prepared.records), on_progress=on_progress, resume=resume,
    )  # fmt: skip
