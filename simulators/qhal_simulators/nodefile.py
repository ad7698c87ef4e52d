"""Write the node file of a running simulation, checked against the schema that will read it."""

from collections.abc import Mapping
from typing import Any

from qhal.node.schema import parse_node
from qhal_simulators.servers.simulation import Simulation


def node_file_text(name: str, simulation: Simulation, control: str, tables: Mapping[str, Any]) -> str:
    """Return a node file for all units; ``tables`` adds optical paths and the clock tree."""
    clock = simulation.clock
    content: dict[str, Any] = {"node": {"name": name, "safe_on_exit": False, "safe_on_failure": True}}
    if clock.stepped:
        content["clock"] = {"mode": "stepped", "address": control}
    elif clock.speed != 1.0:
        content["clock"] = {"speed": clock.speed}
    content["devices"] = {
        unit.name: _device(unit.description(), unit.options) for unit in simulation.units.values()
    }
    content |= tables
    parse_node(content, "the simulation's node file")
    return f"# Written by `qhal simulate {name}`; valid while it runs.\n\n" + to_toml(content)


def to_toml(content: Mapping[str, Any], path: tuple[str, ...] = ()) -> str:
    """Return tables of scalars, lists and tables as TOML text."""
    lines, tables = [], []
    for key, value in content.items():
        if isinstance(value, Mapping) and len(path) < 2:
            if value:
                tables.append(to_toml(value, (*path, key)))
        else:
            lines.append(f"{_key(key)} = {_value(value)}\n")
    head = f"[{'.'.join(map(_key, path))}]\n" if path and lines else ""
    return head + "".join(lines) + ("\n" if lines else "") + "".join(tables)


def _device(description: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    device = {"driver": description["driver"], "address": description["address"]}
    if description["connections"]:
        device["connections"] = description["connections"]
    if options:
        device["options"] = dict(options)
    return device


def _key(key: str) -> str:
    return key if key.replace("-", "").replace("_", "").isalnum() and key.isascii() else f'"{key}"'


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + " }"
    return "[" + ", ".join(_value(item) for item in value) + "]"
