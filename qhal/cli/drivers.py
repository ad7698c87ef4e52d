"""``qhal drivers``: what can be driven, and how well that is known."""

import inspect
from typing import Any

from qhal.cli.output import CONSOLE, AsJson, print_json, print_table
from qhal.devices.declaration import UsbId
from qhal.devices.device import Device
from qhal.devices.kind import Facet, Kind
from qhal.node.registry import drivers as known_drivers
from qhal.node.registry import load_driver


def drivers(json: AsJson = False) -> None:
    """List the drivers, or describe one: kind, transports, facets, what the protocol rests on, USB ids."""
    rows = [describe(name, load_driver(name)) for name in sorted(known_drivers())]
    if json:
        print_json(rows)
        return
    print_table(
        "Drivers (tried on hardware: none)",
        ("driver", "model", "kind", "transports", "facets", "rests on", "identity", "USB"),
        [
            (
                row["name"],
                row["model"],
                row["kind"],
                ", ".join(row["transports"]),
                ", ".join(row["facets"]) or "-",
                ", ".join(row["rests_on"]),
                row["identity"],
                ", ".join(row["usb"]) or "-",
            )
            for row in rows
        ],
    )
    CONSOLE.print("identity: what the instrument can prove at every opening", style="dim")


def describe(name: str, driver: type[Device]) -> dict[str, Any]:
    """Return what a driver declares, as plain data."""
    declaration = driver.declaration
    return {
        "name": name,
        "model": declaration.model,
        "kind": kind_of(driver),
        "facets": [kind_of(facet) for facet in driver.facet_types],
        "transports": sorted({scheme for link in declaration.links.values() for scheme in link.schemes}),
        "links": list(declaration.links),
        "rests_on": [str(evidence) for evidence in declaration.evidence],
        "identity": str(declaration.identity),
        "usb": [usb_text(usb) for usb in declaration.usb],
        "summary": (inspect.getdoc(driver) or "").partition("\n")[0],
    }


def kind_of(role: type) -> str:
    """Return the kind that a driver or facet class implements, e.g. ``Attenuator``."""
    kinds = [base for base in role.__mro__ if issubclass(base, Kind) and base is not Kind]
    return next(kind.__name__ for kind in kinds if not issubclass(kind, Device | Facet))


def usb_text(usb: UsbId) -> str:
    """Return ``vendor:product`` in hexadecimal."""
    return f"{usb.vendor:04x}:{usb.product:04x}"
