"""``qhal calibrate list``: the calibrations, or the parameters of one."""

import inspect
from typing import Any

from pydantic.fields import FieldInfo

from qhal.calibration import calibrations, load_calibration
from qhal.cli.output import CONSOLE, print_json, print_table, prose, spaced
from qhal.words import value_in_words


def print_calibrations(json: bool) -> None:
    """Print every calibration with its roles."""
    rows = [_described(name) for name in sorted(calibrations())]
    if json:
        print_json(rows)
        return
    print_table(
        "Calibrations (? may be left out)",
        ("name", "what", "devices by role"),
        [(row["name"], row["title"], _roles(row)) for row in rows],
    )
    CONSOLE.print("qhal calibrate list NAME: parameters of one", style="dim")


def print_calibration(name: str, json: bool) -> None:
    """Print one calibration with the parameters of its plan: name (it ends with the unit), default, limits."""
    row = _described(name)
    plan = load_calibration(name).plan
    row["parameters"] = {key: _parameter(info) for key, info in plan.model_fields.items()}
    if json:
        print_json(row)
        return
    CONSOLE.print(f"{name}: {row['title']}", markup=False, highlight=False)
    CONSOLE.print(f"devices: {_roles(row)} (? may be left out)", markup=False, highlight=False)
    print_table(
        "parameters, for --set KEY=VALUE",
        ("key", "default", "limits"),
        [
            (key, "needed" if each["needed"] else value_in_words(each["default"]), each["limits"])
            for key, each in row["parameters"].items()
        ],
    )
    CONSOLE.print(prose(inspect.getdoc(plan) or ""), markup=False, highlight=False, style="dim")


def _described(name: str) -> dict[str, Any]:
    found = load_calibration(name)
    roles = {
        role: {"interface": kind.__name__, "needed": not optional}
        for role, (kind, optional) in found.roles.items()
    }
    return {"name": name, "title": found.title, "roles": roles}


def _roles(row: dict[str, Any]) -> str:
    return ", ".join(
        f"{role} ({spaced(each['interface'])})" + ("" if each["needed"] else "?")
        for role, each in row["roles"].items()
    )


def _parameter(info: FieldInfo) -> dict[str, Any]:
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
    limits = [
        f"{sign} {getattr(each, key):g}"
        for each in info.metadata
        for key, sign in signs.items()
        if hasattr(each, key)
    ]
    default = None if info.is_required() else info.get_default(call_default_factory=True)
    return {"needed": info.is_required(), "default": default, "limits": ", ".join(limits)}
