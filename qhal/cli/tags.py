"""``qhal tags``: what is in a file of tags, the same in another format, a look at it."""

import os
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.progress import Progress

from qhal.cli.output import CONSOLE, ERRORS, AsJson, check_picture, print_json, print_table
from qhal.errors import ConfigurationError, DataError
from qhal.key_values import key_values
from qhal.tags.analysis.rates import RateMeter
from qhal.tags.codecs.codec import Disorder
from qhal.tags.formats import FORMATS, TagFile, TagWriter, open_tags
from qhal.tags.numbering import describe

app = typer.Typer(
    help="Files of time tags: what is in them, conversion, plots. Formats: " + ", ".join(FORMATS) + ".",
    no_args_is_help=True,
)


def _known_format(name: str | None) -> str | None:
    if name is not None and name not in FORMATS:
        raise typer.BadParameter(f"{name!r}; allowed are {', '.join(FORMATS)}")
    return name


Source = Annotated[Path, typer.Argument(metavar="FILE", help="A file of tags.")]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        "-f",
        callback=_known_format,
        help="The file's format, where neither content nor name says it.",
    ),
]
Settings = Annotated[
    list[str] | None, typer.Option("--option", "-o", metavar="KEY=VALUE", help="Option of the file's format.")
]
Channels = Annotated[
    list[int] | None, typer.Option("--channel", "-c", help="Only this channel (may be given several times).")
]


@app.command()
def info(
    file: Source,
    format: Format = None,
    option: Settings = None,
    json: AsJson = False,
) -> None:
    """Print counts, rates, span and gaps. Exit code 1 when the file is damaged; what comes before it is counted."""
    with open_tags(file, format, key_values(option or [], "--option")) as tags:
        found = _Summary(tags)
        damage = found.read()
        content = found.content() | {"damage": damage}
    if json:
        print_json(content)
    else:
        _print(content)
    if damage is not None:
        raise typer.Exit(1)


@app.command()
def convert(
    file: Source,
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="The file to write.")],
    format: Format = None,
    option: Settings = None,
    to: Annotated[
        str | None,
        typer.Option("--to", "-t", callback=_known_format, help="Format to write (default: by the name)."),
    ] = None,
    to_option: Annotated[
        list[str] | None,
        typer.Option("--to-option", metavar="KEY=VALUE", help="Option of the format to write."),
    ] = None,
    channel: Channels = None,
    epoch: Annotated[
        int | None, typer.Option(help="Only this epoch (times of different epochs are unrelated).")
    ] = None,
    drop_gaps: Annotated[
        bool,
        typer.Option("--drop-gaps", help="Write a format that holds no gaps as if nothing were missing."),
    ] = False,
    json: AsJson = False,
) -> None:
    """Write the same tags in another format. The target appears only when it is complete."""
    _refuse_same(file, target)
    epochs = set()
    with (
        open_tags(file, format, key_values(option or [], "--option"), channel) as tags,
        TagWriter(target, to, key_values(to_option or [], "--to-option"), drop_gaps=drop_gaps) as writer,
        Progress(console=ERRORS, transient=True, disable=not ERRORS.is_terminal) as progress,
    ):
        task = progress.add_task(escape(file.name), total=file.stat().st_size)
        for batch in tags:
            epochs.add(batch.epoch)
            if epoch is None or batch.epoch == epoch:
                writer.write(batch)
            progress.update(task, completed=tags.position)
        if epoch is not None and epoch not in epochs:
            held = ", ".join(map(str, sorted(epochs))) or "none"
            raise ConfigurationError(f"--epoch: {file}: no epoch {epoch}; its epochs are {held}")
        late = tags.disorder
    if writer.paused_ps:
        pauses = f"{writer.paused_ps * 1e-12:.3g} s in which the tagger paused: rates count them as time"
        ERRORS.print(f"[yellow]not in {escape(str(target))}:[/] {pauses}", highlight=False, soft_wrap=True)
    if writer.rounded_ps:
        steps = f"up to {writer.rounded_ps} ps earlier: the format has coarser steps"
        ERRORS.print(f"[yellow]rounded in {escape(str(target))}:[/] {steps}", highlight=False, soft_wrap=True)
    _tell_disorder(late)
    if json:
        lost = {"paused_s": writer.paused_ps * 1e-12, "rounded_ps": writer.rounded_ps}
        print_json({"file": target, "tags": writer.written, **lost})
    CONSOLE.print(f"{writer.written} tags in {target}", markup=False, highlight=False, soft_wrap=True)


@app.command()
def plot(
    file: Source,
    target: Annotated[Path, typer.Argument(metavar="PICTURE", help="The picture to write: PNG, PDF or SVG.")],
    format: Format = None,
    option: Settings = None,
    channel: Channels = None,
    json: AsJson = False,
) -> None:
    """Draw the rates over time and the intervals between tags of each channel."""
    from qhal.cli.tag_plots import MOST_CHANNELS, draw

    check_picture(target)
    _refuse_same(file, target)
    with open_tags(file, format, key_values(option or [], "--option"), channel) as tags:
        found = _Summary(tags)
        if (damage := found.read()) is not None:
            ERRORS.print(f"[yellow]damaged:[/] {escape(damage)}; drawn is what comes before", highlight=False)
    if not found.meter.counts:
        raise DataError(f"{file}: no tags to draw")
    brightest = [number for number, _ in Counter(found.meter.counts).most_common(MOST_CHANNELS)]
    if len(brightest) < len(found.meter.counts):
        ERRORS.print(f"drawn are the {MOST_CHANNELS} channels of {len(found.meter.counts)} with most tags")
    with open_tags(file, format, key_values(option or [], "--option"), channel) as tags:
        draw(tags, found.longest_s, sorted(brightest), target)
    if json:
        print_json({"file": target, "damage": damage})
    CONSOLE.print(f"{target}", markup=False, highlight=False, soft_wrap=True)


class _Summary:
    """The figures of one pass over a file."""

    def __init__(self, tags: TagFile) -> None:
        self._tags = tags
        self._spans: dict[int, list[int]] = {}
        self._gaps: Counter[str] = Counter()
        self.meter = RateMeter(1e6)
        self._live_s = 0.0

    @property
    def longest_s(self) -> float:
        """The duration of the longest epoch."""
        return max((stop - start for start, stop in self._spans.values()), default=0) * 1e-12

    def read(self) -> str | None:
        """Read the file; return what is damaged in it, if anything."""
        try:
            for batch in self._tags:
                self.meter.add(batch)
                span = self._spans.setdefault(batch.epoch, [batch.start_ps, batch.stop_ps])
                span[1] = batch.stop_ps
                self._gaps.update(str(gap.loss) for gap in batch.gaps)
                self._live_s += batch.live_time_s()
        except DataError as error:
            return str(error)
        return None

    def content(self) -> dict[str, Any]:
        """Return the figures as plain data."""
        return {
            "file": str(self._tags.path),
            "format": self._tags.format,
            "header": {k: v for k, v in self._tags.details.items() if isinstance(v, str | int | float)},
            "epochs": {str(n): {"start_ps": a, "stop_ps": b} for n, (a, b) in self._spans.items()},
            "live_time_s": self._live_s,
            "tags": sum(self.meter.counts.values()),
            "missed": self.meter.missed,
            "gaps": dict(self._gaps),
            "out_of_order": {
                "tags": self._tags.disorder.late,
                "furthest_ps": self._tags.disorder.furthest_ps,
            },
            "channels": {
                str(channel): {"name": describe(channel), "tags": self.meter.counts[channel], "rate_hz": rate}
                for channel, rate in self.meter.rates_hz().items()
            },
        }


def _print(content: dict[str, Any]) -> None:
    spans = content["epochs"].values()
    duration_s = sum(span["stop_ps"] - span["start_ps"] for span in spans) * 1e-12
    gaps = ", ".join(f"{count} {loss}" for loss, count in content["gaps"].items()) or "none"
    kind = content["header"].get("record type", "")
    lines = {
        "format": f"{content['format']} {kind}".rstrip(),
        "span": f"{duration_s:.6g} s in {len(spans)} epoch(s), live {content['live_time_s']:.6g} s",
        "tags": f"{content['tags']}, missed {content['missed']}; gaps: {gaps}",
    }
    for name, text in lines.items():
        CONSOLE.print(f"{name:8}{text}", markup=False, highlight=False, soft_wrap=True)
    print_table(
        content["file"],
        ("channel", "name", "tags", "rate /s"),
        [
            (number, each["name"], each["tags"], f"{each['rate_hz']:.6g}")
            for number, each in content["channels"].items()
        ],
    )
    _tell_disorder(Disorder(*content["out_of_order"].values()))
    if content["damage"]:
        ERRORS.print(f"[red]damaged:[/] {escape(content['damage'])}", highlight=False, soft_wrap=True)


def _tell_disorder(found: Disorder) -> None:
    if found.late:
        text = f"{found.late} tags came late, by up to {found.furthest_ps} ps; they are put in order"
        ERRORS.print(f"[yellow]out of order:[/] {text}", highlight=False, soft_wrap=True)


def _refuse_same(file: Path, target: Path) -> None:
    """Raise ConfigurationError when the target is the file that is read, whatever its name."""
    if os.path.exists(file) and os.path.exists(target) and file.samefile(target):
        raise ConfigurationError(f"{target}: is the file that is read, {file}")
