"""``qhal check``: is this node file right, and does everything in it answer?"""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from qhal.cli.opening import open_each
from qhal.cli.output import ERRORS, AsJson, print_json, print_table
from qhal.errors import reason
from qhal.node.node import Node
from qhal.node.schema import load_node_file


def check(
    file: Annotated[Path, typer.Argument(metavar="NODE.toml", help="The node file.")],
    json: AsJson = False,
) -> None:
    """Validate a node file, open every device, ask who it is. Exit code 1 when one fails."""
    node = Node(load_node_file(file))
    try:
        opened = open_each(node)
        identities = {name: node.devices[name].identity for name, error in opened.items() if error is None}
    finally:
        node.release()
    failures = {name: reason(name, error) for name, error in opened.items() if error is not None}
    if json:
        found = {name: {"answers": True} | identity.model_dump() for name, identity in identities.items()}
        silent: dict[str, dict[str, object]] = {
            name: {"answers": False, "problem": why} for name, why in failures.items()
        }
        print_json(
            {
                "node": node.name,
                "devices": {name: (found | silent)[name] for name in opened},
                "failures": failures,
            }
        )
    elif identities:
        print_table(
            f"{node.name}: {len(identities)} of {len(opened)} devices answer",
            ("device", "manufacturer", "model", "serial number", "firmware", "shape"),
            [
                (name, i.manufacturer, i.model, i.serial_number, i.firmware, i.shape)
                for name, i in identities.items()
            ],
        )
    for name, why in failures.items():
        ERRORS.print(f"[red]{escape(name)}[/]: {escape(why)}", highlight=False, soft_wrap=True)
    if failures:
        raise typer.Exit(1)
