"""How a command ends that fails: an exit code, one line for people, and one JSON document with ``--json``."""

import math
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import typer

from qhal.errors import ConfigurationError, InvalidRecord, OpenFailed, reason

MAX_SEED = 2**63 - 1
FAILED, WRONG_REQUEST, INTERRUPTED = 1, 2, 130
"""Exit codes. A signal other than SIGINT ends a command with 128 + its number."""

_LONG_WORD = re.compile(r"\S{500,}")


class Failed(Exception):
    """The end of a command that has its own exit code: what happened, and lines that say more."""

    def __init__(self, what: str, lines: Iterable[str] = (), code: int = FAILED) -> None:
        self.code = code
        super().__init__(what)
        for line in lines:
            self.add_note(line)


@contextmanager
def naming(option: str) -> Iterator[None]:
    """Name the option whose value is wrong in the error; a record or journal that does not fit is a wrong value."""
    try:
        yield
    except (ConfigurationError, InvalidRecord) as error:
        raise ConfigurationError(f"{option}: {error}") from error


def finite(value: float) -> float:
    """Refuse NaN and infinities, which pass click's limits: a callback of typer's."""
    if not math.isfinite(value):
        raise typer.BadParameter(f"{value} is not a finite number")
    return value


def json_wanted() -> bool:
    """Return whether the command line asks for JSON, even if it cannot be parsed."""
    words = sys.argv[1:]
    return "--json" in (words[: words.index("--")] if "--" in words else words)


def one_line(text: str) -> str:
    """Return a text in which control characters are escaped and words of hundreds of characters cut."""
    cut = _LONG_WORD.sub(lambda word: f"{word[0][:100]}... ({len(word[0])} characters)", text)
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in cut)


def print_failure(error: BaseException, label: str = "", message: str | None = None) -> None:
    """Print why a command failed: lines on the error stream, and with ``--json`` the document."""
    from rich.markup import escape

    from qhal.cli.output import ERRORS, print_json

    found: dict[str, Any] = {
        "type": type(error).__name__,
        "message": str(error) if message is None else message,
    }
    details = list(getattr(error, "__notes__", ()))
    if isinstance(error, OpenFailed):
        found["message"] = found["message"].partition("\n")[0]
        found["failures"] = {name: reason(name, each) for name, each in error.failures.items()}
        details += [f"{name}: {why}" for name, why in found["failures"].items()]
    head = escape(one_line(found["message"]))
    ERRORS.print(f"[red]{label}:[/] {head}" if label else f"[red]{head}[/]", highlight=False, soft_wrap=True)
    for line in details:
        ERRORS.print(f"  {one_line(line)}", markup=False, highlight=False, soft_wrap=True)
    if json_wanted():
        print_json({"error": found | {"details": details}})
