"""How the demonstration looks on a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from qhal.cli.demo.checks import SIGMAS, Check, all_passed
from qhal.cli.output import CONSOLE

if TYPE_CHECKING:
    from qhal.cli.demo.run import Results


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Show what is going on; on a terminal in one line, elsewhere line by line."""
    if not CONSOLE.is_terminal:
        yield lambda text: CONSOLE.print(f"  {escape(text)}", style="dim", highlight=False, soft_wrap=True)
        return
    with CONSOLE.status("starting the simulated instruments") as status:

        def tell(text: str) -> None:
            CONSOLE.print(f"  {escape(text)}", style="dim", highlight=False)
            status.update(escape(text))

        yield tell


def print_results(results: "Results") -> None:
    """Print the tables of measured beside expected, the bounds, and the verdict."""
    assert results.alignment is not None
    aligned = results.alignment
    CONSOLE.print(
        f"\nSkews of the detectors {results.skews_ps} ps. Polarization aligned with {aligned.settings} settings "
        f"and {aligned.restarts} restarts: QBER {aligned.qber.value:.2%} at "
        f"{', '.join(f'{angle:.1f}' for angle in aligned.angles_deg)} deg.",
        highlight=False,
    )
    rows = [(name.replace("_", " "), *pair) for name, pair in results.reported.items()]
    CONSOLE.print(
        "From records: "
        + ", ".join(f"{name} {value:.4g} ± {sigma:.1g}" for name, value, sigma in rows)
        + ".",
        highlight=False,
    )
    for basis, title in (
        ("truth", f"Measured and expected from the world's log (bound {SIGMAS['truth']:g} sigma)"),
        ("reported", f"Measured and what instruments and data sheets say (bound k = {SIGMAS['reported']:g})"),
    ):
        _print_checks(title, [check for check in results.checks if check.basis == basis])
    table = Table(title="Decoy bounds and asymptotic estimate", title_justify="left")
    for column in ("state", "Y0 at least", "Y1 at least", "e1 at most", "estimate"):
        table.add_column(column)
    for state in results.states:
        bounds, rate = state.bounds, state.key_rate
        table.add_row(
            state.name,
            f"{bounds.background_yield.value:.2e} ± {bounds.background_yield.standard_uncertainty:.0e}",
            f"{bounds.single_photon_yield.value:.5f} ± {bounds.single_photon_yield.standard_uncertainty:.5f}",
            f"{bounds.single_photon_error.value:.2%} ± {bounds.single_photon_error.standard_uncertainty:.2%}",
            f"{rate.value / 1e3:.0f} ± {rate.standard_uncertainty / 1e3:.0f} kb/s",
        )
    CONSOLE.print(table)
    good = sum(check.passed for check in results.checks)
    style = "green" if all_passed(results.checks) else "bold red"
    CONSOLE.print(f"[{style}]{good} of {len(results.checks)} checks within bounds[/]", highlight=False)
    CONSOLE.print(
        "This is a test pattern, no key is made: the estimate is what an infinitely long run could give.",
        highlight=False,
    )
    CONSOLE.print(f"seed {results.seed}, {results.timings_s['total']:.1f} s", style="dim", highlight=False)


def _print_checks(title: str, checks: list[Check]) -> None:
    table = Table(title=title, title_justify="left")
    for column in ("", "measured", "expected", "deviation"):
        table.add_column(column, justify="left" if not column else "right")
    for check in checks:
        mark = (
            ""
            if check.passed
            else " [red]" + ("out of bounds" if check.decisive else "too few counts") + "[/]"
        )
        expected = f"<= {check.expected:.5g}" if check.at_most else f"{check.expected:.5g}"
        table.add_row(
            check.name,
            f"{check.measured:.5g} ± {check.uncertainty:.1g}",
            expected,
            f"{check.deviation_sigma:+.2f} sigma{mark}",
        )
    CONSOLE.print(table)
