"""The report of the demonstration: a page to read, its pictures, and the numbers as JSON."""

import base64
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

import qhal
from qhal.demo.check import all_passed, verdict
from qhal.demo.pictures import write_pictures
from qhal.demo.results import Results, State
from qhal.demo.tables import BOUNDS, CHECKS, TITLES, bound_rows, check_rows
from qhal.records.uncertain import nominal, shown

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: 0.5rem 0 1.5rem }
th, td { padding: 0.15rem 0.8rem; border-bottom: 1px solid #ddd; text-align: right }
th:first-child, td:first-child { text-align: left }
tr.bad { color: #b00020; font-weight: 600 }
img { max-width: 100% }
figure { margin: 1.5rem 0 }
figcaption, .small { color: #555; font-size: 0.9em }
.good { color: #2a6f2a } .out { color: #b00020 }
"""


def write_report(results: Results, folder: Path) -> None:
    """Write ``report.html``, ``report.json`` and one PNG for each plot into a folder, which is made if need be.

    The page is whole in itself: its pictures are in it, too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = results.document() | {"measurements": [_numbers(state) for state in results.states]}
    (folder / "report.json").write_text(json.dumps(content, indent=2), encoding="utf-8")
    pictures = write_pictures(results, folder)
    (folder / "report.html").write_text(_page(results, pictures), encoding="utf-8")


def _page(results: Results, pictures: dict[Path, str]) -> str:
    aligned = results.alignment
    parts = [
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>qhal demo</title>",
        f"<style>{_STYLE}</style><h1>A simulated metro link, measured and expected</h1>",
        f"<p class='{'good' if all_passed(results.checks) else 'out'}'><b>{escape(verdict(results.checks))}</b></p>",
        f"<p>20 km of fibre with quantum and classical light; {results.seconds:g} s of test pattern in each of "
        f"{len(results.states)} states. A test pattern: no key is made.</p>",
        f"<p>Skews of the detectors {escape(str(results.skews_ps))} ps. Polarization aligned with {aligned.settings} "
        f"settings and {aligned.restarts} restarts, QBER {aligned.qber.value:.2%}.</p>",
    ]
    reported = [
        (name.replace("_", " "), shown(value, sigma)) for name, (value, sigma) in results.reported.items()
    ]
    parts.append(_table("From records", ("", "value"), reported))
    for basis, title in TITLES.items():
        checks = [check for check in results.checks if check.basis == basis]
        bad = [check.judged and not check.passed for check in checks]
        parts.append(_table(title, CHECKS, check_rows(checks), bad))
    parts.append(_table("Decoy bounds and asymptotic estimate", BOUNDS, bound_rows(results)))
    for path, caption in pictures.items():
        data = base64.b64encode(path.read_bytes()).decode()
        parts.append(
            f"<figure><img alt='{escape(path.stem)}' src='data:image/png;base64,{data}'>"
            f"<figcaption>{escape(caption)}</figcaption></figure>"
        )
    records = ", ".join(escape(each.id) for each in results.records)
    steps = [(name, f"{seconds:.1f}") for name, seconds in results.timings_s.items()]
    parts.append(_table("Time", ("step", "s"), steps))
    parts.append(
        f"<p class='small'>Records used: {records}.<br>Seed {results.seed}, qhal {escape(qhal.__version__)}, "
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC. The numbers are in report.json.</p></html>"
    )
    return "\n".join(parts)


def _table(
    title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], bad: list[bool] | None = None
) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    lines = [
        f"<tr{' class=bad' if is_bad else ''}>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>"
        for row, is_bad in zip(rows, bad or [False] * len(rows), strict=True)
    ]
    return f"<h2>{escape(title)}</h2><table><tr>{head}</tr>{''.join(lines)}</table>"


def _numbers(state: State) -> dict[str, Any]:
    pattern = state.measurement.pattern
    counts = pattern.counts
    return {
        "state": state.name,
        "classical_dbm": state.classical_dbm,
        "live": counts.live.tolist(),
        "clicked": counts.clicked.tolist(),
        "sifted": counts.sifted.tolist(),
        "errors": counts.errors.tolist(),
        "clicks": counts.clicks.tolist(),
        "rates_hz": pattern.rates_hz,
        "missed_tags": state.measurement.missed_tags,
        "background_hz": state.noise.rate_hz,
        "background_uncertainty_hz": state.noise.standard_uncertainty_hz,
        "e1_upper_bound": nominal(state.bounds.single_photon_error),
        "asymptotic_rate_hz": nominal(state.key_rate),
    }
