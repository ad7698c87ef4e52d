"""``qhal demo``: the metro link, driven end to end over real wires, measured beside expected."""

from pathlib import Path
from typing import Annotated

import typer

from qhal.errors import ConfigurationError


def demo(
    seconds: Annotated[
        float, typer.Option(min=1.0, max=3600.0, help="Time of the link in each of three states.")
    ] = 10.0,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of the world (default: the scenario's).")
    ] = None,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write checks and timings here.")] = None,
    report: Annotated[Path | None, typer.Option(metavar="DIR", help="Write numbers and plots here.")] = None,
) -> None:
    """Run a simulated 20 km metro link with quantum and classical light on one fibre.

    Starts the simulated instruments, opens them with the drivers, aligns, measures with the classical channel
    off and at two powers, and compares. Exit code 1 when a check is out of bounds.
    """
    try:
        from qhal.cli.demo.run import run_demo
    except ImportError as error:
        raise ConfigurationError(
            f"qhal demo needs {error.name} (pip install 'qhal[simulators,link,calibration]')"
        ) from error
    if report is not None:
        _needs_matplotlib()
    for target in (json, report):
        if target is not None and not target.resolve().parent.is_dir():
            raise ConfigurationError(f"{target}: no folder {target.resolve().parent}")
    if not run_demo(seconds, seed, json, report):
        raise typer.Exit(1)


def _needs_matplotlib() -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ConfigurationError("--report needs matplotlib (pip install 'qhal[report]')") from error
