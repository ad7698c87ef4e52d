"""The command line. What scripts may rely on is each command's ``--json`` output and its exit code."""


def main() -> None:
    """Run the command line (typer and rich are loaded only here)."""
    from qhal.cli.app import run

    run()
