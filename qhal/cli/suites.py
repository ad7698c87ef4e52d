"""``qhal test``: the suites that every driver with an interface must pass, on the devices of a node."""

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import pytest
import typer

from qhal.cli.output import CONSOLE, AsJson, print_json
from qhal.errors import ConfigurationError
from qhal.node.node import Node
from qhal.node.schema import load_node_file
from qhal.testing.plugin import MARKS, Suites

_ARGUMENTS = (
    "--pyargs",
    "qhal.testing.suites",
    "--no-header",
    "-o",
    "addopts=",
    "-c",
    "/dev/null",
    "-p",
    "no:cacheprovider",
)


def run_suites(
    file: Annotated[Path, typer.Argument(metavar="NODE.toml", help="The node file.")],
    device: Annotated[str | None, typer.Argument(help="One device of it; all by default.")] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(help="Also run tests that do this: moves, emits, biases. By default they only read."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Run the test suites on real or simulated devices. Exit code 1 when a test fails."""
    for mark in allow or []:
        if mark not in MARKS:
            raise ConfigurationError(f"--allow {mark}: allowed are {', '.join(MARKS[1:])}")
    node = Node(load_node_file(file))
    if device is not None:
        node.devices = {device: node.device(device)}
    allowed = {"reads", *(allow or [])}
    suites = Suites(node.devices)
    try:
        node.open()
        with redirect_stdout(sys.stderr if json else sys.stdout):
            code = pytest.main([*_ARGUMENTS, "-m", " or ".join(sorted(allowed))], plugins=[suites])
    finally:
        node.release()
    if code == pytest.ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    passed = code == pytest.ExitCode.OK
    if json:
        outcomes = {"passed": passed, "tests": suites.outcomes, "not_run": dict(suites.left_out)}
        print_json({"node": node.name, **outcomes})
    elif suites.left_out:
        number = sum(suites.left_out.values())
        options = " ".join(f"--allow {mark}" for mark in MARKS if suites.left_out[mark])
        CONSOLE.print(f"{number} tests not run; they need {options}", markup=False, highlight=False)
    raise typer.Exit(0 if passed else 1)
