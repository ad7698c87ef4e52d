"""The command line. What scripts may rely on is each command's ``--json`` output and its exit code."""

import sys


def main() -> None:
    """Run the command line (typer and rich are loaded only here)."""
    try:
        from qhal.cli.app import run

        run()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)  # noqa: T201
        sys.exit(130)
