"""``qhal status``: one snapshot of everything."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import typer

from qhal.cli.output import AsJson, flat, print_json, print_table
from qhal.devices.device import Device
from qhal.devices.kind import Kind
from qhal.errors import QhalError
from qhal.node.node import Node
from qhal.node.schema import load_node_file


def status(
    file: Annotated[Path, typer.Argument(metavar="NODE.toml", help="The node file.")],
    json: AsJson = False,
) -> None:
    """Print one snapshot of all devices. Those that do not answer are named. Exit code 1 when there are any."""
    node = Node(load_node_file(file))
    try:
        with ThreadPoolExecutor() as pool:
            snapshots = dict(zip(node.devices, pool.map(_snapshot, node.devices.values()), strict=True))
        records = _records(node)
    finally:
        node.release()
    if json:
        print_json({"node": node.name, "devices": snapshots, "records": records})
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
        if records:
            rows = [
                (name, "degraded" if found else "good", "; ".join(found)) for name, found in records.items()
            ]
            print_table("records in use", ("record", "quality", "problems"), rows)
    if any(snapshot["quality"] == "unreadable" for snapshot in snapshots.values()):
        raise typer.Exit(1)


def _snapshot(device: Device) -> dict[str, Any]:
    """Return a device's status as plain data, or why it cannot be read."""
    try:
        device.open()
        assert isinstance(device, Kind)
        return device.status().model_dump(mode="json")
    except QhalError as error:
        return {"quality": "unreadable", "problems": [f"{type(error).__name__}: {error}"]}


def _records(node: Node) -> dict[str, tuple[str, ...]]:
    """Return why records that the node uses do not hold; those of devices that do not answer cannot be told."""
    try:
        return node.record_problems()
    except QhalError as error:
        return {"records": (f"{type(error).__name__}: {error}",)}
