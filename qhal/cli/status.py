"""``qhal status``: one snapshot of everything."""

from pathlib import Path
from typing import Annotated, Any

import typer

from qhal.cli.output import flat, print_json, print_table
from qhal.devices.kind import Kind
from qhal.errors import QhalError
from qhal.node.node import open_node


def status(
    file: Annotated[Path, typer.Argument(metavar="NODE.toml", help="The node file.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print one snapshot of all devices. Exit code 1 when one cannot be read."""
    snapshots: dict[str, dict[str, Any]] = {}
    with open_node(file) as node:
        for name, device in node.devices.items():
            try:
                assert isinstance(device, Kind)
                snapshots[name] = device.status().model_dump(mode="json")
            except QhalError as error:
                snapshots[name] = {"quality": "unreadable", "problems": [str(error)]}
    if json:
        print_json({"node": node.name, "devices": snapshots})
    else:
        print_table(
            f"{node.name}",
            ("device", "quality", "status", "problems"),
            [
                (
                    name,
                    snapshot["quality"],
                    flat({k: v for k, v in snapshot.items() if k not in ("time", "quality", "problems")}),
                    "; ".join(snapshot["problems"]),
                )
                for name, snapshot in snapshots.items()
            ],
        )
    if any(snapshot["quality"] == "unreadable" for snapshot in snapshots.values()):
        raise typer.Exit(1)
