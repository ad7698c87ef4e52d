"""``qhal status``: one snapshot of everything."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import typer

from qhal.cli.opening import open_each
from qhal.cli.output import AsJson, print_json, print_table
from qhal.devices.device import Device
from qhal.devices.status import Status
from qhal.errors import QhalError, reason
from qhal.node.node import Node
from qhal.node.schema import load_node_file
from qhal.words import in_words


def status(
    file: Annotated[Path, typer.Argument(metavar="NODE.toml", help="The node file.")],
    json: AsJson = False,
) -> None:
    """Print one snapshot of all devices. Exit code 1 when one does not answer or is faulted."""
    node = Node(load_node_file(file))
    try:
        opened = open_each(node)
        with ThreadPoolExecutor() as pool:
            found = pool.map(lambda name: opened[name] or _snapshot(node.devices[name]), opened)
            snapshots = dict(zip(opened, found, strict=True))
        records = _records(node)
    finally:
        node.release()
    plain = {name: _plain(name, snapshot) for name, snapshot in snapshots.items()}
    if json:
        print_json({"node": node.name, "devices": plain, "records": records})
    else:
        print_table(node.name, ("device", "quality", "status"), [_row(*each) for each in snapshots.items()])
        if records:
            rows = [(name, "degraded" if why else "good", "; ".join(why)) for name, why in records.items()]
            print_table("records in use", ("record", "quality", "problems"), rows)
    if any(snapshot["quality"] in ("unreadable", "faulted") for snapshot in plain.values()):
        raise typer.Exit(1)


def _snapshot(device: Device) -> Status | QhalError:
    """Return a device's status, or why it cannot be read."""
    try:
        return device.status()
    except QhalError as error:
        return error


def _plain(name: str, snapshot: Status | QhalError) -> dict[str, Any]:
    if isinstance(snapshot, Status):
        return snapshot.model_dump(mode="json")
    return {"quality": "unreadable", "problems": [reason(name, snapshot)]}


def _row(name: str, snapshot: Status | QhalError) -> tuple[str, str, str]:
    plain = _plain(name, snapshot)
    values = dict(snapshot) if isinstance(snapshot, Status) else {}
    lines = [in_words(key, value) for key, value in values.items() if key not in Status.model_fields]
    return name, plain["quality"], "\n".join((*lines, *plain["problems"]))


def _records(node: Node) -> dict[str, tuple[str, ...]]:
    """Return why records that the node uses do not hold; those of devices that do not answer cannot be told."""
    try:
        return node.record_problems()
    except QhalError as error:
        return {"records": (f"{type(error).__name__}: {error}",)}
