"""What is wrong with a picture, as far as a program can see it."""

from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from qhal.calibration import draw_record
from qhal.records.record import Record

_DOTTED = (":", "--", "-.")
_NO_MARKER = (None, "None", "", " ")


def drawn(record: Record) -> Figure:
    """Return the picture of a record, laid out."""
    figure = Figure(figsize=(9.0, 5.6), layout="constrained")
    draw_record(figure, record)
    FigureCanvasAgg(figure).draw()
    return figure


def faults(figure: Figure) -> list[str]:
    """Return points beyond their axes, axes without a label, and lines and colours that nothing explains."""
    found = []
    for number, axes in enumerate(figure.axes, 1):
        name = f"axes {number} ({axes.get_ylabel()!r} over {axes.get_xlabel()!r})"
        found += [f"{name}: {fault}" for fault in (*_cut(axes), *_unlabelled(axes), *_unexplained(axes))]
    return found


def _cut(axes: Any) -> list[str]:
    found = []
    frame = axes.get_window_extent()
    for line in axes.lines:
        places = axes.transData.transform(line.get_xydata().astype(float))
        if line.get_marker() in _NO_MARKER or not len(places):
            continue
        places = places[np.isfinite(places).all(axis=1)]
        outside = (
            (places[:, 0] < frame.x0)
            | (places[:, 0] > frame.x1)
            | (places[:, 1] < frame.y0)
            | (places[:, 1] > frame.y1)
        )
        if outside.any():
            found.append(f"{outside.sum()} of {len(places)} points are outside")
    return found


def _unlabelled(axes: Any) -> list[str]:
    if not axes.axison or axes.get_label() == "<colorbar>":
        return []
    bars_with_names = any(
        text.get_text().isalpha() or " " in text.get_text() for text in axes.get_yticklabels()
    )
    found = []
    if (
        not axes.get_xlabel()
        and axes.get_subplotspec()
        and any(t.get_visible() for t in axes.get_xticklabels())
    ):
        found.append("no label of x")
    if not axes.get_ylabel() and not bars_with_names and any(t.get_visible() for t in axes.get_yticklabels()):
        found.append("no label of y")
    return found


def _unexplained(axes: Any) -> list[str]:
    """Return dotted lines without a label, and marks in several colours of which nothing says what they are."""
    found, everywhere = [], axes.figure.axes
    labels = {label for other in everywhere for label in other.get_legend_handles_labels()[1]}
    lines = [line for other in everywhere for line in other.lines if line.get_linestyle() in _DOTTED]
    named = {line.get_linestyle() for line in lines if not line.get_label().startswith("_")}
    found += [
        f"a line {line.get_linestyle()} without a label"
        for line in axes.lines
        if line.get_linestyle() in _DOTTED and line.get_linestyle() not in named
    ]
    colours = {str(line.get_color()) for line in axes.lines if line.get_marker() not in _NO_MARKER}
    if len(colours) > 1 and len(labels) < 2:
        found.append(f"marks in {len(colours)} colours and no legend")
    if labels and not axes.figure.legends and not any(other.get_legend() for other in everywhere):
        found.append("labels without a legend")
    return found
