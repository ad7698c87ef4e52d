"""``qhal demo``: the metro link, driven end to end over real wires, measured beside expected."""

import tempfile
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from qhal.cli.ending import MAX_SEED, finite
from qhal.cli.output import AsJson
from qhal.errors import ConfigurationError


def demo(
    seconds: Annotated[
        float,
        typer.Option(min=1.0, max=3600.0, callback=finite, help="Time of the link in each of three states."),
    ] = 10.0,
    seed: Annotated[
        int | None, typer.Option(min=0, max=MAX_SEED, help="Seed of the world (default: the scenario's).")
    ] = None,
    json: AsJson = False,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Write a page (report.html), plots, numbers and records here."),
    ] = None,
) -> None:
    """Run a simulated 20 km link, and compare it with expectation.

    It is a metro link with quantum and classical light on one fibre.

    Starts the simulated instruments, opens them with the drivers, aligns, measures with the classical channel
    off and at two powers, and compares. Exit code 1 when a check is out of bounds.
    """
    from qhal.demo.run import run_demo

    if report is not None:
        import_module("matplotlib")  # an extra; missing is told before anything runs
        _needs_folder(report)
    if not run_demo(seconds, seed, json, report):
        raise typer.Exit(1)


def _needs_folder(report: Path) -> None:
    """Raise ConfigurationError for a folder that cannot be made or written to, before anything is measured."""
    try:
        report.mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=report):
            pass
    except OSError as error:
        raise ConfigurationError(f"--report {report}: {error.strerror}") from error
