"""Calibrations of a node's devices: which of them play the roles, and which optical path it is about."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qhal.calibration.framework.plan import Plan
from qhal.calibration.framework.points import ProgressCallback, ignore_progress
from qhal.calibration.framework.runner import Calibration, Site, calibrate
from qhal.devices.device import Device
from qhal.devices.interface import Interface
from qhal.devices.power_meter import PowerMeter
from qhal.devices.source import Source
from qhal.errors import ConfigurationError, QhalError
from qhal.node.node import Node
from qhal.node.schema import PathTable
from qhal.records.curve import CURVE
from qhal.records.record import Record


@dataclass(frozen=True, slots=True)
class Prepared:
    """A calibration of a node that is known to be possible, as far as that can be known without its devices.

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
    return Prepared(calibration, assigned, site, plan, known)


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
    """Carry out a calibration on the devices of an open node and return its record.

    ``values``: of the plan, where neither its defaults nor what the node file's path and the records tell are meant.
    ``names``: devices by role, where there is a choice. Records that the node file names are used, but for those of
    calibrations of which ``records`` has some. Raises what :func:`prepare` and
    :func:`~qhal.calibration.framework.runner.calibrate` do, InvalidRecord for a record that does not hold.
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
    """Carry out what was prepared on the devices of the node, which is open now; see :func:`calibrate_node`."""
    calibration = prepared.calibration
    devices = {role: node.get(name, calibration.roles[role][0]) for role, name in prepared.assigned.items()}
    return calibrate(
        calibration, devices, prepared.plan, folder=folder, operator=operator, site=prepared.site,
        records=node.checked(prepared.records), on_progress=on_progress, resume=resume,
    )  # fmt: skip


def assign_roles(calibration: Calibration[Any, Any], node: Node, names: Mapping[str, str]) -> dict[str, str]:
    """Return the device of each role: as ``names`` says, else the only ones that can, in the order of the light.

    When several roles are of one kind, and as many devices of it exist, they are given out in the order in which
    the node's optical paths name them. Raises ConfigurationError for a role that nobody, or more than one, can play.
    """
    roles = calibration.roles
    if unknown := set(names) - set(roles):
        raise ConfigurationError(
            f"{calibration.name}: no role {', '.join(sorted(unknown))}; there are {', '.join(roles)}"
        )
    assigned = {}
    for role, name in names.items():
        if not _can(node.device(name), roles[role][0]):
            raise ConfigurationError(
                f"{calibration.name}: {role}: {name!r} does not offer {roles[role][0].__name__}"
            )
        assigned[role] = name
    for role, (kind, optional) in roles.items():
        if role in assigned:
            continue
        alike = [each for each, (other, _) in roles.items() if other is kind and each not in names]
        free = [name for name in _in_order(node, kind) if name not in names.values()]
        if role in free:
            assigned[role] = role
        elif len(free) == len(alike) or (len(free) < len(alike) and alike.index(role) < len(free)):
            assigned[role] = free[alike.index(role)]
        elif not optional:
            which = (
                f"may be {', '.join(free)}: say --device {role}=NAME" if free else f"needs a {kind.__name__}"
            )
            raise ConfigurationError(f"{calibration.name}: {role} {which}")
    return {role: assigned[role] for role in roles if role in assigned}


def site_of(node: Node, assigned: Mapping[str, str], path_name: str | None) -> Site:
    """Return node, names and path: the named one, else the only one with assigned devices, or with the first of them.

    Raises ConfigurationError for an unknown path.
    """
    paths = node.file.paths
    if path_name is not None and path_name not in paths:
        raise ConfigurationError(
            f"node {node.name!r}: no path {path_name!r}; there are {', '.join(paths) or 'none'}"
        )
    fitting = (
        [path_name] if path_name else [name for name in paths if _passes(paths[name], assigned.values())]
    )
    if len(fitting) > 1:
        fitting = [name for name in fitting if _passes(paths[name], [*assigned.values()][:1])]
    if len(fitting) != 1:
        return Site(node.name, names=assigned)
    return Site(node.name, fitting[0], node.path(fitting[0]), assigned)


def _passes(path: PathTable, names: Iterable[str]) -> bool:
    return not {element.device for element in path.elements}.isdisjoint(names)


def _in_order(node: Node, kind: type[Interface]) -> list[str]:
    """Return the devices of a kind, those on optical paths first, in the order of the light.

    A source's internal monitor does not measure what others send.
    """
    on_paths = [
        element.device for path in node.file.paths.values() for element in path.elements if element.device
    ]
    names = [name for name in dict.fromkeys([*on_paths, *node.devices]) if _can(node.devices[name], kind)]
    if kind is PowerMeter:
        return [name for name in names if not _can(node.devices[name], Source)] or names
    return names


def _can(device: Device, interface: type[Interface]) -> bool:
    """Return whether a device offers an interface; before it is open, whether one of its model may."""
    return device.offers(interface)
