"""``qhal calibrate``: carry out a calibration on a node's devices and keep its record."""

import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars

from qhal.cli.output import CONSOLE, ERRORS, AsJson, print_json
from qhal.errors import ConfigurationError, DataError


def calibrate(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="The calibration; 'list' shows all, 'list NAME' one's parameters."
        ),
    ],
    file: Annotated[Path | None, typer.Argument(metavar="NODE.toml", help="The node file.")] = None,
    device: Annotated[
        list[str] | None,
        typer.Option(
            "--device",
            "-d",
            metavar="ROLE=NAME",
            help="Which device plays a role (default: the only one that can).",
        ),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", metavar="KEY=VALUE", help="A parameter of its plan (TOML value)."),
    ] = None,
    record: Annotated[
        list[str] | None,
        typer.Option(help="A record whose result to use: id, name of a calibration (its latest) or file."),
    ] = None,
    path: Annotated[
        str | None, typer.Option(help="The optical path of the node file that it is about.")
    ] = None,
    folder: Annotated[Path, typer.Option(help="Where records are kept.")] = Path("records"),
    operator: Annotated[str | None, typer.Option(help="Who does it (default: who is logged in).")] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="JOURNAL", help="Go on with one that was interrupted.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Calibrate, restore the devices' settings, and keep the record.

    Exit code 1 when it fails or its model does not describe the data, 130 after Ctrl-C (128 and the signal).
    """
    from qhal.calibration.registry import load_calibration
    from qhal.cli.calibrations import print_calibration, print_calibrations
    from qhal.cli.records import print_record

    if name == "list":
        print_calibrations(json) if file is None else print_calibration(str(file), json)
        return
    calibration = load_calibration(name)
    if file is None:
        raise ConfigurationError(f"{name}: which node? Give its file: qhal calibrate {name} NODE.toml")
    found = _calibrate(
        calibration,
        file,
        _pairs(device or [], "--device"),
        setting or [],
        record or [],
        path,
        folder,
        operator,
        resume,
    )
    if json:
        print_json(found.model_dump(mode="json"))
    else:
        print_record(found)
        CONSOLE.print(
            f"kept as {folder / found.id}.h5; picture: qhal records plot {found.id}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    if found.quality != "good":
        raise typer.Exit(1)


def _calibrate(
    calibration: Any,
    file: Path,
    names: dict[str, str],
    settings: Sequence[str],
    record_names: Sequence[str],
    path: str | None,
    folder: Path,
    operator: str | None,
    resume: Path | None,
) -> Any:
    from qhal.calibration.assign import calibrate_prepared
    from qhal.calibration.restore import NotRestored, is_unsafe
    from qhal.signals import Terminated, exit_code, name_of, owned

    node, prepared = _prepare(calibration, file, names, settings, record_names, path, folder, resume)
    failure: BaseException | None = None
    with owned():  # from before anything is opened until what became of the devices is printed
        try:
            with node:
                try:
                    CONSOLE.print(
                        f"{calibration.title}: "
                        + ", ".join(f"{role} {name}" for role, name in prepared.assigned.items()),
                        style="dim",
                        highlight=False,
                        markup=False,
                    )
                    with _progress() as tell:
                        return calibrate_prepared(
                            node, prepared, folder=folder, operator=operator, tell=tell, resume=resume
                        )
                except BaseException as error:
                    if is_unsafe(error):
                        raise  # then the node makes everything safe that it can
                    failure = error
            raise failure
        except (KeyboardInterrupt, Terminated) as interrupt:
            first = failure if isinstance(failure, (KeyboardInterrupt, Terminated)) else interrupt
            causes = [failure] if isinstance(failure, Exception) else []
            _print_end(f"interrupted by {name_of(first)}", first, *causes)
            raise typer.Exit(exit_code(first) or 1) from interrupt
        except NotRestored as group:
            _print_end(group.message, group, *group.exceptions)
            raise typer.Exit(1) from group


def _print_end(what: str, error: BaseException, *causes: Exception) -> None:
    ERRORS.print(f"[red]{what}[/]", highlight=False)
    for line in dict.fromkeys([*map(str, causes), *_notes(error), *chain.from_iterable(map(_notes, causes))]):
        ERRORS.print(f"  {line}", highlight=False, soft_wrap=True, markup=False)


def _notes(error: BaseException) -> list[str]:
    """Return the notes of an error and of those that were handled when it came."""
    notes: list[str] = []
    each: BaseException | None = error
    while each is not None:
        notes += getattr(each, "__notes__", ())
        each = each.__context__
    return notes


def _prepare(
    calibration: Any,
    file: Path,
    names: dict[str, str],
    settings: Sequence[str],
    record_names: Sequence[str],
    path: str | None,
    folder: Path,
    resume: Path | None,
) -> Any:
    """Return the node, which is not open yet, and what is prepared: all that can be wrong without the devices."""
    from qhal.calibration.assign import prepare
    from qhal.calibration.calibrate import check_journal
    from qhal.node.node import Node
    from qhal.node.records import read_records
    from qhal.node.schema import load_node_file
    from qhal.records.store import RecordStore

    if resume is not None:
        check_journal(resume, calibration)
    values = {key: _value(value) for key, value in _pairs(settings, "--set").items()}
    calibration.check_values(values)
    records = [RecordStore(folder).load(each) for each in record_names]
    node = Node(load_node_file(file))
    try:
        prepared = prepare(node, calibration, values, names, path=path, records=records)
        if resume is not None:
            check_journal(resume, calibration, prepared.plan)
    except BaseException:
        node.release()
        raise
    for _, damaged in read_records(node.file):
        if isinstance(damaged, DataError):
            ERRORS.print(f"not used: {damaged}", highlight=False, soft_wrap=True, markup=False)
    return node, prepared


@contextmanager
def _progress() -> Iterator[Any]:
    """Yield what reports progress: on a terminal a bar a stage with points and remaining time, elsewhere a line."""
    from qhal.calibration.run import Progress

    if not CONSOLE.is_terminal:
        told: set[str] = set()

        def tell_line(progress: Progress) -> None:
            if progress.stage not in told:
                told.add(progress.stage)
                total = "" if progress.total is None else f" ({progress.total} points)"
                CONSOLE.print(f"  {progress.stage}{total}", style="dim", highlight=False)

        yield tell_line
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("points,"),
        TimeElapsedColumn(),
        TextColumn("passed,"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with Bars(*columns, console=CONSOLE) as bars:
        tasks: dict[str, TaskID] = {}

        def tell_bar(progress: Progress) -> None:
            if progress.stage not in tasks:
                tasks[progress.stage] = bars.add_task(progress.stage, total=progress.total)
            bars.update(tasks[progress.stage], completed=progress.done, total=progress.total)

        yield tell_bar


def _pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator or not key or not value:
            raise ConfigurationError(f"{option} {text!r}: KEY=VALUE is needed")
        if key in pairs:
            raise ConfigurationError(f"{option} {key} is given twice: {pairs[key]} and {value}")
        pairs[key] = value
    return pairs


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
