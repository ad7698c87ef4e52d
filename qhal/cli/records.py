"""``qhal records``: list, show, plot and compare what calibrations left."""

import math
import os
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from qhal.cli.ending import naming
from qhal.cli.output import CONSOLE, AsJson, check_picture, flat, print_json, print_table
from qhal.errors import ConfigurationError

if TYPE_CHECKING:
    from qhal.records.record import Contribution, Quantity, Record

app = typer.Typer(help="Calibration records: list, show, plot, compare.", no_args_is_help=True)

Folder = Annotated[Path, typer.Option(help="Where records are kept.")]
Name = Annotated[
    str, typer.Argument(metavar="RECORD", help="Id, name of a calibration (its latest) or file.")
]
_FOLDER = Path("records")
_MARKED_SIGMAS = 3.0


@app.command("list")
def list_records(folder: Folder = _FOLDER, json: AsJson = False) -> None:
    """List the records of a folder, oldest first. Exit code 1 when a file is not a good record."""
    from qhal.records.store import RecordStore

    # No calibration yet is not an error; a folder that was named and does not exist is one.
    with naming("--folder"):
        found = [] if folder == _FOLDER and not folder.exists() else RecordStore(folder).list()
    if json:
        print_json([_listed(each.path, each.record, each.problem) for each in found])
    rows = []
    for each in found:
        record = each.record
        if record is None:
            rows.append((each.path.name, "", "", "", f"unreadable: {each.problem}"))
            continue
        # one instrument may have several roles
        units = ", ".join(dict.fromkeys(f"{i.device} {i.serial_number}".strip() for i in record.instruments))
        finished = f"{record.finished:%Y-%m-%d %H:%M}"
        rows.append(
            (
                record.id,
                finished,
                record.operator,
                units,
                f"{record.quality}, until {record.validity.until:%Y-%m-%d}",
            )
        )
    if not json:
        columns = ("record", "finished", "operator", "instruments", "state")
        print_table(f"{folder}: {len(found)} records", columns, rows)
    if any(each.record is None for each in found):
        raise typer.Exit(1)


def _listed(path: Path, record: "Record | None", problem: str) -> dict[str, Any]:
    """Return what a script asks of a record before it opens it; ``problem`` when it is not a good one."""
    if record is None:
        return {"file": path, "record": None, "problem": problem}
    fields = {"calibration", "title", "started", "finished", "operator", "quality", "instruments", "validity"}
    return {"file": path, "record": record.id, "problem": None} | record.model_dump(
        mode="json", include=fields
    )


def _load(name: str, folder: Path) -> "Record":
    """Return a record; where the folder is the reason that it cannot be found, the error names the option."""
    from qhal.records.store import RecordStore

    with nullcontext() if os.path.isdir(folder) else naming("--folder"):
        return RecordStore(folder).load(name)


@app.command("show")
def show(record: Name, folder: Folder = _FOLDER, json: AsJson = False) -> None:
    """Show a record: its results with their budgets, how they were obtained, until when they are valid."""
    found = _load(record, folder)
    if json:
        print_json(found.model_dump(mode="json"))
    else:
        print_record(found, budgets=True)


@app.command("plot")
def plot(
    record: Name,
    output: Annotated[
        Path | None, typer.Argument(metavar="PICTURE", help="PNG, PDF or SVG (default: RECORD.png).")
    ] = None,
    folder: Folder = _FOLDER,
    json: AsJson = False,
) -> None:
    """Draw a record's data, model and result."""
    from qhal.calibration import save_picture

    if output is not None:
        check_picture(output)
    found = _load(record, folder)
    target = output or Path(f"{found.id}.png")
    save_picture(found, target)
    if json:
        print_json({"record": found.id, "file": target})
    CONSOLE.print(f"{target}", markup=False, highlight=False, soft_wrap=True)


@app.command("compare")
def compare(first: Name, second: Name, folder: Folder = _FOLDER, json: AsJson = False) -> None:
    """Compare two records of one calibration, quantity by quantity. Exit code 1 when one differs by over 3 sigma.

    Systematic contributions of one name and origin are one error in both, so they do not count in the difference.
    In JSON, sigmas of a difference without uncertainty are null.
    """
    old, new = _load(first, folder), _load(second, folder)
    if old.calibration != new.calibration:
        raise ConfigurationError(f"{old.id} and {new.id} are records of different calibrations")
    rows, differs = [], False
    for before, after in _common(old, new):
        sigma = _sigma_of_difference(old, before, new, after)
        difference = after.value - before.value
        deviation = (
            difference / sigma if sigma else math.copysign(math.inf, difference) if difference else 0.0
        )
        differs |= abs(deviation) > _MARKED_SIGMAS
        rows.append((after.label, before.value, after.value, difference, sigma, deviation))
    if not rows:
        raise ConfigurationError(f"{old.id} and {new.id} have no quantity in common")
    if json:
        columns = ("quantity", "before", "after", "difference", "uncertainty", "sigmas")
        finite = [(*row, n if math.isfinite(n) else None) for *row, n in rows]
        print_json([dict(zip(columns, row, strict=True)) for row in finite])
    else:
        print_table(
            f"{old.id} and {new.id}",
            ("quantity", "before", "after", "difference", "deviation"),
            [
                (
                    label,
                    f"{b:.6g}",
                    f"{a:.6g}",
                    f"{d:.3g} ± {s:.2g}",
                    f"{n:+.1f} sigma" + (" !" if abs(n) > _MARKED_SIGMAS else ""),
                )
                for label, b, a, d, s, n in rows
            ],
        )
    if differs:
        raise typer.Exit(1)


def print_record(record: "Record", *, budgets: bool = False) -> None:
    """Print a record as tables."""
    from qhal.calibration import with_uncertainty

    rows = []
    for quantity in record.quantities:
        lines = sorted(quantity.contributions, key=lambda line: -abs(line.value))
        shown = "\n".join(_line(line) for line in lines)
        rows.append((quantity.label, with_uncertainty(quantity), *([shown] if budgets else [])))
    columns = ("quantity", "value ± standard uncertainty", *(["budget (k = 1)"] if budgets else []))
    print_table(f"{record.title} ({record.id})", columns, rows)
    for fit in record.fits:
        verdict = "[red]POOR[/]" if fit.poor else "good"
        scaled = ", uncertainties enlarged" if fit.scaled else ""
        CONSOLE.print(
            f"fit {verdict}: chi2 {fit.chi2:.1f} of {fit.degrees_of_freedom}, p = {fit.p_value:.2g}{scaled}"
            f" ({escape(fit.label)})",
            highlight=False,
        )
    for remark in record.remarks:
        CONSOLE.print(f"note: {remark}", markup=False, highlight=False)
    if budgets:
        for label, text in _provenance(record):
            CONSOLE.print(f"[dim]{label}:[/] {escape(text)}", highlight=False)


def _line(line: "Contribution") -> str:
    """Return a line of a budget, with what it comes from."""
    from qhal.records.origin import origin_text

    origin = origin_text(line.origin)
    return f"{line.kind[:4]} {line.name} {abs(line.value):.2g}" + (f" [{origin}]" if origin else "")


def _provenance(record: "Record") -> list[tuple[str, str]]:
    units = "; ".join(
        f"{i.role}: {i.device}, {i.manufacturer} {i.model} {i.serial_number} {i.firmware}".rstrip()
        for i in record.instruments
    )
    lines = [
        ("method", record.method),
        ("traceable to", record.traceability or "nothing named"),
        ("instruments", units),
        ("inputs", flat(record.inputs)),
        (
            "measured",
            f"{record.started:%Y-%m-%d %H:%M:%S} to {record.finished:%H:%M:%S} UTC"
            f" by {record.operator}, {record.software}",
        ),
        ("holds", f"until {record.validity.until:%Y-%m-%d %H:%M} UTC, with these instruments"),
    ]
    if record.uses:
        lines.append(("uses", ", ".join(record.uses)))
    if record.path_name:
        lines.append(("path", f"{record.path_name}: " + " > ".join(part.name for part in record.path)))
    return lines


def _common(old: "Record", new: "Record") -> "list[tuple[Quantity, Quantity]]":
    before = {(q.name, *sorted(q.at.items())): q for q in old.quantities}
    return [(before[key], q) for q in new.quantities if (key := (q.name, *sorted(q.at.items()))) in before]


def _sigma_of_difference(old: "Record", before: "Quantity", new: "Record", after: "Quantity") -> float:
    """Return the standard uncertainty of a difference of repetitions: their own systematic errors are the same."""
    from qhal.records.origin import RecordOrigin

    systematic: dict[object, float] = {}
    for record, quantity, sign in ((old, before, -1.0), (new, after, 1.0)):
        for line in quantity.contributions:
            if line.kind == "systematic":
                origin = record.origin_of(line)
                source = line.name, None if origin == RecordOrigin(record.id) else origin
                systematic[source] = systematic.get(source, 0.0) + sign * line.value
    return math.sqrt(before.statistical**2 + after.statistical**2 + sum(v**2 for v in systematic.values()))
