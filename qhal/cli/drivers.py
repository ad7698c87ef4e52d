"""``qhal drivers``: what can be driven, and how well that is known."""

import inspect
from typing import Annotated, Any

import typer
from rich.markup import escape

from qhal.cli.output import CONSOLE, ERRORS, AsJson, print_json, print_table, prose, spaced
from qhal.devices.declaration import ConnectionSpec, UsbId
from qhal.devices.device import Device, SubDevice
from qhal.devices.interface import Interface
from qhal.errors import ConfigurationError
from qhal.node.driver_registry import load_driver, published_drivers
from qhal.transport.settings import SerialSettings


def drivers(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="The driver to describe.")] = None,
    json: AsJson = False,
) -> None:
    """List the drivers, or describe one: its connections, options, and what its protocol rests on."""
    if name is not None:
        _print_one(name, json)
        return
    known = published_drivers()
    rows, broken = [], list(known.broken)
    for each in sorted(known.places):
        try:
            rows.append(describe(each, load_driver(each)))
        except ConfigurationError as error:
            broken.append(str(error))
    if json:
        print_json(rows)
    else:
        print_table(
            "Drivers (tried on hardware: none)",
            ("driver", "interfaces", "wire", "rests on"),
            [
                (
                    row["name"],
                    ", ".join(map(spaced, (row["interface"], *row["sub_devices"]))),
                    ", ".join(row["transports"]),
                    ", ".join(row["rests_on"]),
                )
                for row in rows
            ],
        )
    for reason in broken:
        ERRORS.print(f"[red]not usable:[/] {escape(reason)}", highlight=False, soft_wrap=True)
    if broken:
        raise typer.Exit(1)


def _print_one(name: str, json: bool) -> None:
    driver = load_driver(name)
    row = describe(name, driver)
    row["connections"] = {
        connection: _connection(spec) for connection, spec in driver.declaration.connections.items()
    }
    fields = driver.options_model.model_fields
    row["options"] = {
        option: {"type": _type_name(info.annotation), "default": None if info.is_required() else info.default}
        for option, info in fields.items()
    }
    if json:
        print_json(row)
        return
    lines = {
        "model": row["model"],
        "interfaces": ", ".join((row["interface"], *row["sub_devices"])),
        "rests on": ", ".join(row["rests_on"]),
        "identity": f"{row['identity']} (what the instrument can prove at every opening)",
        "USB": ", ".join(row["usb"]) or "none declared",
    }
    CONSOLE.print(f"{name}: {row['summary']}", markup=False, highlight=False)
    for label, text in lines.items():
        CONSOLE.print(f"  {label:11}{text}", markup=False, highlight=False)
    print_table(
        "connections",
        ("name", "schemes", "needed", "time-out", "serial line"),
        [
            (
                connection,
                ", ".join(each["schemes"]),
                "yes" if each["required"] else "no",
                f"{each['timeout_s']:g} s",
                each["serial"],
            )
            for connection, each in row["connections"].items()
        ],
    )
    if fields:
        explained = inspect.getdoc(driver.options_model) or ""
        print_table(
            "options",
            ("name", "type", "default"),
            [(k, o["type"], o["default"]) for k, o in row["options"].items()],
        )
        CONSOLE.print(prose(explained), markup=False, highlight=False, style="dim")


def _connection(spec: ConnectionSpec) -> dict[str, Any]:
    line = spec.settings.get("serial", SerialSettings())
    return {
        "schemes": list(spec.schemes),
        "required": spec.required,
        "timeout_s": spec.timeout_s,
        "serial": f"{line.baudrate} baud" if "serial" in spec.schemes else "",
    }


def _type_name(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) else str(kind).replace("typing.", "")


def describe(name: str, driver: type[Device]) -> dict[str, Any]:
    """Return what a driver declares, as plain data."""
    declaration = driver.declaration
    return {
        "name": name,
        "model": declaration.model,
        "interface": interface_of(driver),
        "sub_devices": [interface_of(each) for each in driver.sub_device_types],
        "transports": sorted(
            {scheme for connection in declaration.connections.values() for scheme in connection.schemes}
        ),
        "connections": list(declaration.connections),
        "rests_on": [str(evidence) for evidence in declaration.evidence],
        "identity": str(declaration.identity),
        "usb": [usb_text(usb) for usb in declaration.usb],
        "summary": (inspect.getdoc(driver) or "").partition("\n")[0],
    }


def interface_of(part: type) -> str:
    """Return the interface that a class of a driver or a sub-device implements, e.g. ``Attenuator``."""
    found = [base for base in part.__mro__ if issubclass(base, Interface) and base is not Interface]
    return next(each.__name__ for each in found if not issubclass(each, Device | SubDevice))


def usb_text(usb: UsbId) -> str:
    """Return ``vendor:product`` in hexadecimal."""
    return f"{usb.vendor:04x}:{usb.product:04x}"
