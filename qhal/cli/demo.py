"""``qhal demo``: the simulated metro link, driven over real wires, measured beside expected."""

import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from qhal.cli.ending import MAX_SEED, finite
from qhal.cli.output import CONSOLE, AsJson, print_json
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
    if report is not None:
        import_module("matplotlib")  # an extra: reported as missing before anything runs
        _check_folder(report)
    if not run_demo(seconds, seed, json, report):
        raise typer.Exit(1)


def run_demo(seconds: float, seed: int | None, json: bool, report: Path | None) -> bool:
    """Run it, print and write the results; return whether every check is within bounds."""
    from qhal.demo.check import all_passed
    from qhal.demo.demonstration import demonstrate
    from qhal.demo.tables import print_results, progress
    from qhal.signals import owned

    started = time.monotonic()
    # Signals are owned throughout, so that the simulators end with the demonstration.
    with (
        owned(),
        progress(CONSOLE) as announce,
        tempfile.TemporaryDirectory(prefix="qhal-records-") as folder,
    ):
        results = demonstrate(seconds, seed, announce, Path(folder) if report is None else report / "records")
    results.timings_s["total"] = time.monotonic() - started
    print_results(CONSOLE, results)
    if json:
        print_json(results.document())
    if report is not None:
        from qhal.demo.report import write_report

        write_report(results, report)
        CONSOLE.print(f"report: {report / 'report.html'}", highlight=False, markup=False, soft_wrap=True)
    return all_passed(results.checks)


def _check_folder(report: Path) -> None:
    """Raise ConfigurationError for a folder that cannot be made or written to, before anything is measured."""
    try:
        report.mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=report):
            pass
    except OSError as error:
        raise ConfigurationError(f"--report {report}: {error.strerror}") from error
