"""``qhal calibrate``: run a calibration on a node's devices and store its record."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
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

from qhal.cli.ending import FAILED, Failed, naming
from qhal.cli.output import CONSOLE, ERRORS, AsJson, print_json
from qhal.errors import ConfigurationError
from qhal.key_values import key_values, toml_values


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
    resume: Annotated[Path | None, typer.Option(metavar="JOURNAL", help="Resume an interrupted run.")] = None,
    json: AsJson = False,
) -> None:
    """Calibrate, restore the devices' settings, and keep the record.

    Exit code 1 when it fails or its model does not describe the data, 130 after Ctrl-C (128 and the signal).
    """
    from qhal.calibration import load_calibration
    from qhal.cli.calibrations import print_calibration, print_calibrations
    from qhal.cli.records import print_record

    if name == "list":
        print_calibrations(json) if file is None else print_calibration(str(file), json)
        return
    calibration = load_calibration(name)
    if file is None:
        raise ConfigurationError(f"{name}: which node? Give its file: qhal calibrate {name} NODE.toml")
    request = _Request(
        calibration=calibration,
        file=file,
        devices=device or [],
        settings=setting or [],
        records=record or [],
        path=path,
        folder=folder,
        operator=operator,
        resume=resume,
    )
    found = _carry_out(request)
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


@dataclass(frozen=True, slots=True)
class _Request:
    """The command line."""

    calibration: Any
    file: Path
    devices: Sequence[str]
    settings: Sequence[str]
    records: Sequence[str]
    path: str | None
    folder: Path
    operator: str | None
    resume: Path | None


def _carry_out(request: _Request) -> Any:
    """Return the record. Raises Failed, with what became of the devices, when interrupted or unable to restore them."""
    from qhal.calibration.framework.device_state import NotRestored, is_unsafe
    from qhal.calibration.framework.node_runner import calibrate_prepared
    from qhal.signals import Terminated, exit_code, name_of, owned

    node, prepared = _prepare(request)
    failure: BaseException | None = None
    with owned():  # from before anything is opened until what became of the devices is known
        try:
            with node:
                try:
                    roles = ", ".join(f"{role} {name}" for role, name in prepared.assigned.items())
                    CONSOLE.print(
                        f"{request.calibration.title}: {roles}", style="dim", highlight=False, markup=False
                    )
                    with _progress() as on_progress:
                        return calibrate_prepared(
                            node, prepared, folder=request.folder, operator=request.operator, on_progress=on_progress,
                            resume=request.resume,
                        )  # fmt: skip
                except BaseException as error:
                    if is_unsafe(error):
                        raise  # then the node makes everything safe that it can
                    failure = error
            raise failure
        except (KeyboardInterrupt, Terminated) as interrupt:
            first = failure if isinstance(failure, (KeyboardInterrupt, Terminated)) else interrupt
            causes = [failure] if isinstance(failure, Exception) else []
            lines = _lines(first, causes)
            raise Failed(f"interrupted by {name_of(first)}", lines, exit_code(first) or FAILED) from interrupt
        except NotRestored as group:
            raise Failed(group.message, _lines(group, group.exceptions)) from group


def _lines(error: BaseException, causes: Sequence[Exception]) -> list[str]:
    """Return the messages of the causes, and all notes, each once."""
    notes = chain.from_iterable(map(_notes, (error, *causes)))
    return list(dict.fromkeys([*map(str, causes), *notes]))


def _notes(error: BaseException) -> list[str]:
    """Return the notes of an error and of those that were handled when it came."""
    notes: list[str] = []
    each: BaseException | None = error
    while each is not None:
        notes += getattr(each, "__notes__", ())
        each = each.__context__
    return notes


def _prepare(request: _Request) -> Any:
    """Return the node, which is not open yet, and what is prepared: all that can be wrong without the devices."""
    from qhal.calibration.framework.node_runner import prepare
    from qhal.calibration.framework.resuming import check_journal
    from qhal.calibration.framework.roles import assign_roles
    from qhal.node.node import Node
    from qhal.node.schema import load_node_file
    from qhal.records.store import RecordStore

    calibration, resume = request.calibration, request.resume
    names = key_values(request.devices, "--device")
    values = toml_values(request.settings, "--set")
    if resume is not None:
        with naming("--resume"):
            check_journal(resume, calibration)
    with naming("--set"):
        calibration.check_values(values)
    with naming("--record"):
        records = [RecordStore(request.folder).load(each) for each in request.records]
    with naming("--folder"):
        _check_folder(request.folder)
    if request.operator is not None and not (request.operator.isprintable() and len(request.operator) <= 200):
        raise ConfigurationError("--operator: a name of at most 200 printable characters is needed")
    node = Node(load_node_file(request.file))
    try:
        with naming("--device"):
            assign_roles(calibration, node, names)
        if request.path is not None:
            with naming("--path"):
                node.path(request.path)
        prepared = prepare(node, calibration, values, names, path=request.path, records=records)
        if resume is not None:
            with naming("--resume"):
                check_journal(resume, calibration, prepared.plan)
    except BaseException:
        node.release()
        raise
    for damaged in node.damaged_records().values():
        ERRORS.print(f"not used: {damaged}", highlight=False, soft_wrap=True, markup=False)
    return node, prepared


def _check_folder(folder: Path) -> None:
    """Raise ConfigurationError for a folder in which no record can be kept; it need not exist yet."""
    there = os.path.abspath(folder)
    while not os.path.lexists(there):
        there = os.path.dirname(there)
    if not os.path.isdir(there):
        raise ConfigurationError(f"{folder}: {there} is not a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigurationError(f"{folder}: no permission to write in {there}")


@contextmanager
def _progress() -> Iterator[Any]:
    """Yield what reports progress: on a terminal a bar a stage with points and remaining time, elsewhere a line."""
    from qhal.calibration.framework.points import Progress

    if not CONSOLE.is_terminal:
        reported: set[str] = set()

        def tell_line(progress: Progress) -> None:
            if progress.stage not in reported:
                reported.add(progress.stage)
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
