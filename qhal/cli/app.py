"""The commands of ``qhal``, gathered; one module each.

Exit codes: 0 good, 1 something failed or is out of bounds, 2 the request itself was wrong.
"""

import sys

import typer
from rich.markup import escape

from qhal.cli import calibrate, check, drivers, records, simulate, status, suites, tags, udev
from qhal.cli.demo import demo
from qhal.cli.output import ERRORS
from qhal.errors import ConfigurationError, QhalError

app = typer.Typer(
    name="qhal",
    help="Hardware abstraction, drivers and wire-level simulators for quantum key distribution.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("demo")(demo)
app.command("drivers")(drivers.drivers)
app.command("simulate")(simulate.simulate)
app.command("udev")(udev.udev)
app.command("check")(check.check)
app.command("status")(status.status)
app.command("test")(suites.run_suites)
app.command("calibrate")(calibrate.calibrate)
app.add_typer(records.app, name="records")
app.add_typer(tags.app, name="tags")


def run() -> None:
    """Run a command; errors of ours become one line on the error stream and an exit code."""
    try:
        app()
    except ConfigurationError as error:
        ERRORS.print(f"[red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(2)
    except QhalError as error:
        ERRORS.print(f"[red]{type(error).__name__}:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        for note in getattr(error, "__notes__", ()):
            ERRORS.print(f"  {note}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)
