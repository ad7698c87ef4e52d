"""The commands of ``qhal``, one module each; a module is imported when its command is called.

Exit codes: README.md, "Exit codes and JSON".
"""

import io
import sys
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

from qhal import __version__
from qhal.cli.ending import FAILED, INTERRUPTED, WRONG_REQUEST, Failed, json_wanted, print_failure
from qhal.errors import ConfigurationError, QhalError
from qhal.extras import missing
from qhal.signals import Terminated, exit_code, name_of


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
_CommandLineError: type[Exception] = typer.BadParameter.__mro__[2]
"""click's error for a command line that cannot be parsed; typer has a copy of click of its own since 0.20."""
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
    """Run a command; an error becomes one line on the error stream, a document with ``--json``, and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(
                errors="backslashreplace"
            )  # a file's name need not be text that can be printed
    sys.exit(_run())


def _run() -> int:
    try:
        code = app(prog_name="qhal", standalone_mode=False)
    except _CommandLineError as error:
        _print_usage(error)
        return WRONG_REQUEST
    except Failed as error:
        print_failure(error)
        return error.code
    except ConfigurationError as error:
        print_failure(error, "error")
        return WRONG_REQUEST
    except QhalError as error:
        print_failure(error, type(error).__name__)
        return FAILED
    except ModuleNotFoundError as error:
        if (error.name or "qhal").startswith("qhal"):
            raise
        print_failure(_missing(error), "error")
        return WRONG_REQUEST
    except OSError as error:
        if error.filename is None:
            raise
        print_failure(error, "error", f"{error.filename}: {error.strerror}")
        return FAILED
    except Terminated as error:
        print_failure(error, message=f"interrupted by {name_of(error)}")
        return exit_code(error) or FAILED
    if code == INTERRUPTED and json_wanted():
        print_failure(KeyboardInterrupt(), message="interrupted by SIGINT")
    return code or 0


def _print_usage(error: Any) -> None:
    """Print what is wrong with the command line, as click does, and with ``--json`` the document."""
    if error.ctx is not None and error.message == error.ctx.get_help():
        error.show()  # no arguments at all
        return
    if error.ctx is not None:
        typer.echo(f"{error.ctx.get_usage()}\nTry '{error.ctx.command_path} -h' for help.\n", err=True)
    print_failure(error, "Error", error.format_message())


def _missing(error: ModuleNotFoundError) -> ConfigurationError:
    name = next((word for word in sys.argv[1:] if word in COMMANDS), "")
    module = (error.name or "").partition(".")[0]
    extras = COMMANDS[name].extras if name else ()
    own = _MODULES.get(module)
    return missing(f"qhal {name}".rstrip(), error, *extras, *([own] if own and own not in extras else []))
