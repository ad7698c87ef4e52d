"""The commands of ``qhal``, one module each; a module is imported when its command is called.

Exit codes: 0 good, 1 something failed or is out of bounds, 2 the request itself was wrong, 130 interrupted.
"""

import sys
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

from qhal import __version__
from qhal.errors import ConfigurationError, QhalError
from qhal.extras import missing


@dataclass(frozen=True)
class Command:
    """Where a command is (``module:function``, or ``module:app`` of several), its help, the extras it needs."""

    place: str
    help: str
    extras: tuple[str, ...] = ()

    def load(self) -> Any:
        """Import the command's module and return its function or its app of several commands."""
        module, _, attribute = self.place.partition(":")
        return getattr(import_module(module), attribute)


COMMANDS = {
    "demo": Command(
        "qhal.cli.demo:demo",
        "Run a simulated 20 km link, and compare it with expectation.",
        ("simulators", "calibration"),
    ),
    "drivers": Command("qhal.cli.drivers:drivers", "List the drivers, or describe one."),
    "simulate": Command(
        "qhal.cli.simulate:simulate",
        "Start simulated instruments that any client can connect to.",
        ("simulators",),
    ),
    "udev": Command("qhal.cli.udev:udev", "Print udev rules for all drivers that declare a USB identity."),
    "check": Command(
        "qhal.cli.check:check", "Validate a node file, open every device, ask who it is.", ("calibration",)
    ),
    "status": Command("qhal.cli.status:status", "Print one snapshot of all devices.", ("calibration",)),
    "test": Command(
        "qhal.cli.suites:run_suites", "Run the test suites on real or simulated devices.", ("testing",)
    ),
    "calibrate": Command(
        "qhal.cli.calibrate:calibrate",
        "Calibrate, restore the devices' settings, and keep the record.",
        ("calibration",),
    ),
    "records": Command(
        "qhal.cli.records:app", "Calibration records: list, show, plot, compare.", ("calibration",)
    ),
    "tags": Command(
        "qhal.cli.tags:app", "Files of time tags: what is in them, conversion, plots.", ("tags",)
    ),
}
_MODULES = {
    "matplotlib": "report",
    "h5py": "calibration",
    "uncertainties": "calibration",
    "pyarrow": "tags",
    "xxhash": "tags",
}
"""Optional modules that always come with this extra, whatever else the command needs."""


class Commands(TyperGroup):
    """The group of all commands: listed from the table, imported when called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that the arguments name, imported now."""
        name, listed, rest = super().resolve_command(ctx, args)
        return name, _load(name) if name in COMMANDS else listed, rest


def _load(name: str) -> Any:
    found = COMMANDS[name].load()
    if isinstance(found, typer.Typer):
        found.rich_markup_mode = None
        command: Any = get_group(found)
    else:
        single = typer.Typer(add_completion=False, rich_markup_mode=None)
        single.command(name)(found)
        command = get_command(single)
    command.name = name
    return command


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"qhal {__version__}")  # noqa: T201
        raise typer.Exit


app = typer.Typer(
    name="qhal",
    cls=Commands,
    help="Hardware abstraction, drivers and wire-level simulators for quantum key distribution.",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: the boxes of rich cost as much time as all the rest
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name, _command in COMMANDS.items():
    app.command(_name, help=_command.help)(lambda: None)


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version


def run() -> None:
    """Run a command; errors of ours become one line on the error stream and an exit code."""
    try:
        app(prog_name="qhal")
    except ConfigurationError as error:
        _fail(error, 2)
    except QhalError as error:
        _fail(error, 1)
    except ModuleNotFoundError as error:
        if (error.name or "qhal").startswith("qhal"):
            raise
        _fail(_missing(error), 2)
    except OSError as error:
        if error.filename is None:
            raise
        _fail(ConfigurationError(f"{error.filename}: {error.strerror}"), 1)


def _missing(error: ModuleNotFoundError) -> ConfigurationError:
    name = next((word for word in sys.argv[1:] if word in COMMANDS), "")
    module = (error.name or "").partition(".")[0]
    extras = COMMANDS[name].extras if name else ()
    own = _MODULES.get(module)
    return missing(f"qhal {name}".rstrip(), error, *extras, *([own] if own and own not in extras else []))


def _fail(error: QhalError, code: int) -> None:
    from rich.markup import escape

    from qhal.cli.output import ERRORS

    label = "error" if isinstance(error, ConfigurationError) else type(error).__name__
    ERRORS.print(f"[red]{label}:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
    for note in getattr(error, "__notes__", ()):
        ERRORS.print(f"  {note}", markup=False, highlight=False, soft_wrap=True)
    sys.exit(code)
