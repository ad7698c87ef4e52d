"""``qhal simulate``: simulated instruments that anybody's client can connect to."""

from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated

import typer

from qhal.errors import ConfigurationError


def simulate(
    name: Annotated[
        str, typer.Argument(help="A scenario (wuhan-metro-link) or an instrument (ozoptics.dd100).")
    ],
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option", "-o", metavar="KEY=VALUE", help="Simulator option; in a scenario UNIT.KEY=VALUE."
        ),
    ] = None,
    node_file: Annotated[Path | None, typer.Option(help="Write a node file for what was started.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the world (default: the scenario's).")] = None,
    stepped: Annotated[bool, typer.Option(help="Let the world stand still until a client steps it.")] = False,
    speed: Annotated[float, typer.Option(min=1e-3, help="World seconds per wall second.")] = 1.0,
    control: Annotated[bool, typer.Option(help="Print the control link's address as a last line.")] = False,
) -> None:
    """Start simulated instruments; print one JSON line for each when it can be connected to."""
    runners = entry_points(group="qhal.simulate")
    if not runners:
        raise ConfigurationError("no simulators are installed")
    run = next(iter(runners)).load()
    run(
        name,
        option or [],
        node_file=node_file,
        seed=seed,
        stepped=stepped,
        speed=speed,
        print_control=control,
    )
