"""``qhal simulate``: simulated instruments that any client can connect to."""

from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import typer

from qhal.cli.ending import MAX_SEED, finite
from qhal.cli.output import print_json
from qhal.errors import ConfigurationError


def simulate(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A scenario (wuhan-metro-link), an instrument (ozoptics.dd100), or the path of your own scenario."
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option", "-o", metavar="KEY=VALUE", help="Simulator option; in a scenario UNIT.KEY=VALUE."
        ),
    ] = None,
    node_file: Annotated[Path | None, typer.Option(help="Write a node file for what was started.")] = None,
    at: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where serial lines are (default: a folder of NAME's own)."),
    ] = None,
    port_base: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            max=65535,
            help="First TCP port; 0: any free ones (default: follows from NAME).",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, max=MAX_SEED, help="Seed of the world (default: the scenario's).")
    ] = None,
    stepped: Annotated[bool, typer.Option(help="Let the world stand still until a client steps it.")] = False,
    speed: Annotated[
        float, typer.Option(min=1e-3, max=1e6, callback=finite, help="World s per wall s.")
    ] = 1.0,
    control: Annotated[
        bool, typer.Option(help="Print the control connection's address as a last line.")
    ] = False,
    list_names: Annotated[
        bool, typer.Option("--list", help="List what can be simulated, with options and defaults.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="With --list: as JSON.")] = False,
) -> None:
    """Start simulated instruments that any client can connect to.

    Prints one JSON line for each when all can be connected to. Addresses are the same at each start. A live
    simulation that lags behind the wall prints {"lag_s": ...}.
    """
    runners = entry_points(group="qhal.simulate")
    if not runners:
        raise ConfigurationError("no simulators are installed")
    simulators = import_module(next(iter(runners)).module)
    if list_names:
        found = simulators.catalogue()
        if json:
            print_json(found)
        else:
            _print_catalogue(found)
        return
    if name is None:
        raise ConfigurationError("simulate what? Give a NAME, or --list")
    simulators.run(
        name,
        option or [],
        node_file=node_file,
        seed=seed,
        stepped=stepped,
        speed=speed,
        print_control=control,
        at=at,
        first_port=port_base,
    )


def _print_catalogue(found: dict[str, Any]) -> None:
    lines = ["Scenarios:"]
    for name, scenario in found["scenarios"].items():
        lines.append(f"  {name}: {scenario['description']}")
        lines += [f"      {unit} ({model})" for unit, model in scenario["instruments"].items()]
    lines.append(
        "Instruments, and their options with defaults (-o KEY=VALUE; in a scenario -o UNIT.KEY=VALUE):"
    )
    for name, instrument in found["instruments"].items():
        lines.append(f"  {name}: {instrument['description']}")
        lines += [
            f"      {option} = {each['default']!r} ({each['type']})"
            for option, each in instrument["options"].items()
        ]
    typer.echo("\n".join(lines))
