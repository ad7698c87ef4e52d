"""A command of the command line, run in this process: a process of its own takes a second for what it imports."""

import io
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from unittest.mock import patch

from qhal.cli import main


def qhal(*words: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command; return its exit code and what it prints. ``check``: it must end well."""
    command = ["qhal", *map(str, words)]
    output, errors, code = io.StringIO(), io.StringIO(), 0
    with redirect_stdout(output), redirect_stderr(errors), patch.object(sys, "argv", command):
        try:
            main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    assert not (check and code), errors.getvalue()
    return subprocess.CompletedProcess(command, code, output.getvalue(), errors.getvalue())
