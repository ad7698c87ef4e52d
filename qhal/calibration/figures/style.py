"""Pictures of records: one style for all of them."""

import io
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from qhal.errors import ConfigurationError
from qhal.extras import missing
from qhal.files import write_whole

if TYPE_CHECKING:  # records need an extra that the pictures of tags do without
    from qhal.records.record import Quantity, Record

_ROOM = 0.02
"""Between the outermost points and the frame, as a fraction of the axis."""
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#4d4d4d")
"""One for each channel, distinct for the colour-blind, too (after Okabe and Ito)."""


def save_picture(record: "Record", path: Path) -> None:
    """Write a record's picture (PNG, PDF or SVG by the ending). Raises ConfigurationError without matplotlib."""
    try:
        figure_module = import_module("matplotlib.figure")
    except ModuleNotFoundError as error:
        raise missing("a picture", error, "report") from error
    figure = figure_module.Figure(figsize=(9.0, 5.6), layout="constrained")
    draw_record(figure, record)
    write_picture(figure, path, 150)


def write_picture(figure: Any, path: Path, dpi: int) -> None:
    """Write a figure (PNG, PDF or SVG by the ending), whole or not at all. Raises ConfigurationError, Busy."""
    content = io.BytesIO()
    try:
        figure.savefig(content, format=path.suffix.removeprefix(".").lower(), dpi=dpi)
    except ValueError as error:
        raise ConfigurationError(f"{path}: {error}") from error
    write_whole(path, content.getvalue())


def draw_record(figure: Any, record: "Record") -> None:
    """Draw a record's picture on an empty figure, with every measured point in sight."""
    from qhal.calibration.framework.registry import load_calibration

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


def data_and_residuals(figure: Any, x_label: str, y_label: str) -> tuple[Any, Any]:
    """Return axes for data with their model, and for residuals in standard uncertainties below."""
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    tidy(upper, "", y_label)
    tidy(lower, x_label, "residual / σ")
    lower.axhspan(-2, 2, color="0.93", zorder=0)
    lower.axhline(0, color="0.6", linewidth=0.8)
    return upper, lower


def one_axes(figure: Any, x_label: str, y_label: str) -> Any:
    """Return plain axes."""
    axes = figure.subplots()
    tidy(axes, x_label, y_label)
    return axes


def tidy(axes: Any, x_label: str, y_label: str) -> None:
    """Label axes and take off what does not help to read them."""
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(True, color="0.9", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def points(
    axes: Any, x: ArrayLike, y: ArrayLike, sigma: ArrayLike | None, number: int, label: str = ""
) -> None:
    """Draw measured points with their standard uncertainties."""
    axes.errorbar(
        x,
        y,
        sigma,
        fmt="o",
        markersize=3.5,
        linewidth=1,
        capsize=0,
        color=COLOURS[number % len(COLOURS)],
        label=label or None,
    )


def line(axes: Any, x: ArrayLike, y: ArrayLike, number: int, label: str = "") -> None:
    """Draw a model."""
    axes.plot(x, y, linewidth=1.3, color=COLOURS[number % len(COLOURS)], label=label or None)


def spread(values: ArrayLike, count: int = 400) -> np.ndarray[Any, Any]:
    """Return evenly spaced places from the least to the greatest value, for drawing a model."""
    return np.linspace(np.min(values), np.max(values), count)


def in_unit(quantity: "Quantity", scale: float = 1.0, unit: str | None = None) -> str:
    """Return ``value ± combined standard uncertainty unit``; ``scale`` for another ``unit`` than the quantity's."""
    from qhal.records.uncertain import shown

    return f"{shown(scale * quantity.value, scale * quantity.uncertainty)} {quantity.unit if unit is None else unit}"


def with_uncertainty(quantity: "Quantity") -> str:
    """Return ``value ± statistical (stat) ± systematic (syst) unit``, all with two digits of the whole uncertainty.

    A part that is 0 in these digits is left out.
    """
    total = quantity.uncertainty
    unit = "" if quantity.unit == "1" else f" {quantity.unit}"
    if total == 0:
        return f"{quantity.value:.6g}{unit}"
    digits = 1 - int(np.floor(np.log10(total)))
    sizes = (quantity.value, quantity.statistical, quantity.systematic)
    if digits < 10 and abs(quantity.value) < 1e7:
        value, *sigmas = (f"{round(size, digits):.{max(0, digits)}f}" for size in sizes)
    else:
        decades = int(np.floor(np.log10(max(abs(quantity.value), total))))
        value, *sigmas = (
            f"{size / 10.0**decades:.{max(0, decades + digits)}f}e{decades:+03d}" for size in sizes
        )
    # What is 0 in the digits of the whole does not matter.
    parts = [
        f"{sigma} ({kind})" for sigma, kind in zip(sigmas, ("stat", "syst"), strict=True) if float(sigma) > 0
    ]
    return f"{value} ± {' ± '.join(parts)}{unit}"


def channels_of(record: "Record", name: str) -> Sequence[int]:
    """Return the channels for which a record has a quantity."""
    return sorted({int(q.at["channel"]) for q in record.quantities if q.name == name and "channel" in q.at})


def _headline(record: "Record") -> str:
    mark = "" if record.quality == "good" else "   POOR FIT"
    return f"{record.title}{mark}"


def _footline(record: "Record") -> str:
    units = ", ".join(dict.fromkeys(f"{i.device} {i.serial_number}".strip() for i in record.instruments))
    return f"{record.id}   {record.finished:%Y-%m-%d %H:%M} UTC   {record.operator}   {units}"
