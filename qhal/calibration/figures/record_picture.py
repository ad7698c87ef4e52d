"""The picture of a record, drawn by its calibration: headline, footline, every measured point in sight."""

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from qhal.calibration.figures.style import write_picture
from qhal.calibration.framework.registry import load_calibration
from qhal.extras import missing
from qhal.records.record import Record

_ROOM = 0.02
"""Between the outermost points and the frame, as a fraction of the axis."""


def save_picture(record: Record, path: Path) -> None:
    """Write a record's picture (PNG, PDF or SVG by the ending). Raises ConfigurationError without matplotlib."""
    try:
        figure_module = import_module("matplotlib.figure")
    except ModuleNotFoundError as error:
        raise missing("a picture", error, "report") from error
    figure = figure_module.Figure(figsize=(9.0, 5.6), layout="constrained")
    draw_record(figure, record)
    write_picture(figure, path, 150)


def draw_record(figure: Any, record: Record) -> None:
    """Draw a record's picture on an empty figure, with every measured point in sight."""
    load_calibration(record.calibration).draw(figure, record)
    for axes in figure.axes:
        show_all_points(axes)
    figure.suptitle(_headline(record), fontsize=11, x=0.01, ha="left")
    figure.text(0.995, 0.005, _footline(record), fontsize=6.5, ha="right", va="bottom", color="0.4")
    figure.get_layout_engine().set(rect=(0, 0.03, 1, 0.97))


def show_all_points(axes: Any) -> None:
    """Widen the limits of axes so that no marker is cut, as the scales of the axes measure distances."""
    marked = [each for each in axes.lines if each.get_marker() not in (None, "None", "", " ")]
    for axis, column in ((axes.xaxis, 0), (axes.yaxis, 1)):
        transform = axis.get_transform()
        values = [
            np.asarray(each.get_xydata()[:, column], np.float64)
            for each in marked
            if each.get_transform().contains_branch(axes.transData)
        ]
        if not values:
            continue
        together = np.concatenate(values)
        if axis.get_scale() == "log":  # what is not positive has no place on it
            together = together[together > 0]
        places = transform.transform(together[np.isfinite(together)])
        if not len(places):
            continue
        low, high = transform.transform(np.array(axis.get_view_interval(), np.float64))
        room = _ROOM * max(abs(high - low), float(np.ptp(places)))
        lowest, highest = min(low, high, places.min() - room), max(low, high, places.max() + room)
        if (lowest, highest) != (min(low, high), max(low, high)):
            ends = transform.inverted().transform(
                np.array((lowest, highest) if low <= high else (highest, lowest))
            )
            (axes.set_xlim if column == 0 else axes.set_ylim)(*ends)


def _headline(record: Record) -> str:
    mark = "" if record.quality == "good" else "   POOR FIT"
    return f"{record.title}{mark}"


def _footline(record: Record) -> str:
    units = ", ".join(dict.fromkeys(f"{i.device} {i.serial_number}".strip() for i in record.instruments))
    return f"{record.id}   {record.finished:%Y-%m-%d %H:%M} UTC   {record.operator}   {units}"
