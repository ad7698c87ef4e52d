"""``qhal test``: the suites that every driver of a kind must pass, on the devices of a node."""

from pathlib import Path
from typing import Annotated

import typer

from qhal.errors import ConfigurationError
from qhal.node.schema import load_node_file

_MARKS = ("reads", "moves", "emits", "biases")


def run_suites(
    file: Annotated[Path, typer.Argument(metavar="NODE.toml", help="The node file.")],
    device: Annotated[str | None, typer.Argument(help="One device of it; all by default.")] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(help="Also run tests that do this: moves, emits, biases. By default they only read."),
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write the outcome of each test here.")] = None,
) -> None:
    """Run the kind suites on real or simulated devices. Exit code 1 when a test fails."""
    node = load_node_file(file)
    if device is not None and device not in node.devices:
        raise ConfigurationError(f"{file}: no device {device!r}; there are {', '.join(node.devices)}")
    for mark in allow or []:
        if mark not in _MARKS:
            raise ConfigurationError(f"--allow {mark}: allowed are {', '.join(_MARKS[1:])}")
    try:
        import pytest
    except ImportError as error:
        raise ConfigurationError("qhal test needs pytest (pip install 'qhal[dev]')") from error
    allowed = {"reads", *(allow or [])}
    arguments = ["-p", "qhal.testing.plugin", "--pyargs", "qhal.testing.suites", "--qhal-node", str(file)]
    arguments += [
        "-m",
        " or ".join(sorted(allowed)),
        "-o",
        "addopts=",
        "-c",
        "/dev/null",
        "-p",
        "no:cacheprovider",
    ]
    arguments += ["--qhal-device", device] if device else []
    arguments += ["--qhal-json", str(json)] if json else []
    code = pytest.main(arguments)
    raise typer.Exit(0 if code == pytest.ExitCode.OK else 1)
