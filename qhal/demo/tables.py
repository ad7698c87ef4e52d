"""The results of the demonstration as tables on a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from qhal.demo.check import SIGMAS, Check, all_passed, plain, verdict
from qhal.demo.results import Results
from qhal.records.uncertain import Uncertain, nominal, shown, standard_uncertainty

TITLES = {
    "truth": f"Measured, and expected from the world's log (bound {SIGMAS['truth']:g} sigma)",
    "reported": f"Measured, and expected from records and data sheets (bound k = {SIGMAS['reported']:g})",
}


@contextmanager
def progress(console: Console) -> Iterator[Callable[[str], None]]:
    """Yield a function that shows a line about the current step, on a terminal also as a status line."""
    if not console.is_terminal:
        yield lambda text: console.print(f"  {escape(text)}", style="dim", highlight=False, soft_wrap=True)
        return
    with console.status("starting the simulated instruments") as status:

        def announce(text: str) -> None:
            console.print(f"  {escape(text)}", style="dim", highlight=False)
            status.update(escape(text))

        yield announce


def print_results(console: Console, results: Results) -> None:
    """Print the tables of measured beside expected, the bounds, and the verdict."""
    aligned = results.alignment
    console.print(
        f"\nSkews of the detectors {results.skews_ps} ps. Polarization aligned with {aligned.settings} settings "
        f"and {aligned.restarts} restarts: QBER {aligned.qber.value:.2%} at "
        f"{', '.join(f'{angle:.1f}' for angle in aligned.angles_deg)} deg.",
        highlight=False,
    )
    rows = [(name.replace("_", " "), *pair) for name, pair in results.reported.items()]
    console.print(
        "From records: " + ", ".join(f"{name} {shown(value, sigma)}" for name, value, sigma in rows) + ".",
        highlight=False,
    )
    for basis, title in TITLES.items():
        _print_checks(console, title, [check for check in results.checks if check.basis == basis])
    print_rows(console, "Decoy bounds and asymptotic estimate", BOUNDS, bound_rows(results))
    style = "green" if all_passed(results.checks) else "bold red"
    console.print(f"[{style}]{verdict(results.checks)}[/]", highlight=False)
    console.print(
        "This is a test pattern, no key is made: the estimate is what an infinitely long run could give.",
        highlight=False,
    )
    console.print(f"seed {results.seed}, {results.timings_s['total']:.1f} s", style="dim", highlight=False)


BOUNDS = ("state", "Y0 at least", "Y1 at least", "e1 at most", "estimate")
CHECKS = ("", "measured", "expected", "deviation")


def bound_rows(results: Results) -> list[tuple[str, ...]]:
    """Return the decoy bounds and the estimate of each state, as text."""
    return [
        (
            state.name,
            shown(*_pair(state.bounds.background_yield)),
            shown(*_pair(state.bounds.single_photon_yield)),
            shown(*_pair(state.bounds.single_photon_error, 100)) + " %",
            shown(*_pair(state.key_rate, 1e-3)) + " kb/s",
        )
        for state in results.states
    ]


def check_rows(checks: list[Check]) -> list[tuple[str, ...]]:
    """Return name, measured, expected and deviation of each check, as text."""
    return [
        (
            check.name,
            shown(check.measured, check.uncertainty),
            ("at most " if check.at_most else "") + plain(check.expected, check.uncertainty),
            _deviation(check),
        )
        for check in checks
    ]


def _deviation(check: Check) -> str:
    if not check.judged:
        return "not judged: too few counts"
    sigmas = check.deviation_sigma
    text = f"{sigmas:+.2f} sigma"
    if check.at_most:
        text = f"{abs(sigmas):.2f} sigma {'above' if sigmas > 0 else 'below'}"
    return text if check.passed else f"{text}, out of bounds"


def _pair(number: Uncertain, scale: float = 1.0) -> tuple[float, float]:
    return scale * nominal(number), scale * standard_uncertainty(number)


def _print_checks(console: Console, title: str, checks: list[Check]) -> None:
    print_rows(
        console, title, CHECKS, check_rows(checks), [check.judged and not check.passed for check in checks]
    )


def print_rows(
    console: Console,
    title: str,
    columns: tuple[str, ...],
    rows: list[tuple[str, ...]],
    bad: list[bool] | None = None,
) -> None:
    """Print a table whose first column is text; rows that are bad are red."""
    table = Table(title=title, title_justify="left")
    for n, column in enumerate(columns):
        table.add_column(column, justify="right" if n else "left")
    for row, is_bad in zip(rows, bad or [False] * len(rows), strict=True):
        table.add_row(*map(escape, row), style="red" if is_bad else None)
    console.print(table)
