"""Roles of a calibration on a node: which device has which, and the optical path that the record is for."""

from collections.abc import Iterable, Mapping
from typing import Any

from qhal.calibration.framework.calibration import Calibration, Site
from qhal.devices.device import Device
from qhal.devices.interface import Interface
from qhal.devices.power_meter import PowerMeter
from qhal.devices.source import Source
from qhal.errors import ConfigurationError
from qhal.node.node import Node
from qhal.node.schema import PathTable


def assign_roles(calibration: Calibration[Any, Any], node: Node, names: Mapping[str, str]) -> dict[str, str]:
    """Return the device of each role: that in ``names``, else the only suitable ones, in optical order.

    When several roles are of one kind, and as many devices of it exist, they are given out in the order in which
    the node's optical paths name them. Raises ConfigurationError for a role with no suitable device, or several.
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
    """Return the devices with an interface, those on optical paths first, in optical order.

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
