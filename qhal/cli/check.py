"""``qhal check``: is this node file right, and does everything in it answer?"""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from qhal.cli.output import ERRORS, AsJson, print_json, print_table
from qhal.errors import OpenFailed
from qhal.node.node import Node
from qhal.node.schema import load_node_file


def check(
    file: Annotated[Path, typer.Argument(metavar="NODE.toml", help="The node file.")],
    json: AsJson = False,
) -> None:
    """Validate a node file, open every device, ask who it is. Exit code 1 when one fails."""
    node = Node(load_node_file(file))
    failures: dict[str, str] = {}
    try:
        node.open(guarded=False)
        identities = {name: device.identity for name, device in node.devices.items()}
    except OpenFailed as error:
        failures = {name: f"{type(cause).__name__}: {cause}" for name, cause in error.failures.items()}
        identities = {}
    finally:
        node.release()
    if json:
        print_json(
            {
                "node": node.name,
                "devices": {name: identity.model_dump() for name, identity in identities.items()},
                "failures": failures,
            }
        )
    elif identities:
        print_table(
            f"{node.name}: {len(identities)} devices answer",
            ("device", "manufacturer", "model", "serial number", "firmware", "shape"),
            [
                (name, i.manufacturer, i.model, i.serial_number, i.firmware, i.shape)
                for name, i in identities.items()
            ],
        )
    if failures:
        if not json:
            for name, reason in failures.items():
                ERRORS.print(f"[red]{escape(name)}[/]: {escape(reason)}", highlight=False, soft_wrap=True)
        raise typer.Exit(1)
