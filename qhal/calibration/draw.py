"""Pictures of records: one style for all of them."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from qhal.errors import ConfigurationError
from qhal.extras import missing
from qhal.records.record import Quantity, Record

COLOURS = ("#0b6e99", "#d1495b", "#3f7d20", "#8c5fa8", "#e08e1a", "#5c5c5c")
"""One for each channel: told apart in print and by the colour-blind."""


def save_picture(record: Record, path: Path) -> None:
    """Write a record's picture (PNG, PDF or SVG by the ending). Raises ConfigurationError without matplotlib."""
    from qhal.calibration.registry import load_calibration

    try:
        figure_module = import_module("matplotlib.figure")
    except ModuleNotFoundError as error:
        raise missing("a picture", error, "report") from error
    figure = figure_module.Figure(figsize=(9.0, 5.6), layout="constrained")
    load_calibration(record.calibration).draw(figure, record)
    figure.suptitle(_headline(record), fontsize=11, x=0.01, ha="left")
    figure.text(0.995, 0.005, _footline(record), fontsize=6.5, ha="right", va="bottom", color="0.4")
    figure.get_layout_engine().set(rect=(0, 0.03, 1, 0.97))
    try:
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: {error}") from error


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


def with_uncertainty(quantity: Quantity) -> str:
    """Return ``value ± statistical (stat) ± systematic (syst) unit``, rounded to two digits of the uncertainty.

    A part of less than a thousandth of the whole is left out.
    """
    total = quantity.uncertainty
    unit = "" if quantity.unit == "1" else f" {quantity.unit}"
    if total == 0:
        return f"{quantity.value:.6g}{unit}"
    parts = [
        f"{float(f'{sigma:.2g}'):g} ({kind})"
        for sigma, kind in ((quantity.statistical, "stat"), (quantity.systematic, "syst"))
        if sigma > 1e-3 * total
    ]
    digits = 1 - int(np.floor(np.log10(total)))
    if digits < 10 and abs(quantity.value) < 1e7:
        shown = f"{round(quantity.value, digits):.{max(0, digits)}f}"
    else:
        decades = int(np.floor(np.log10(max(abs(quantity.value), total))))
        shown = f"{quantity.value:.{max(0, decades + digits)}e}"
    return f"{shown} ± {' ± '.join(parts)}{unit}"


def channels_of(record: Record, name: str) -> Sequence[int]:
    """Return the channels for which a record has a quantity."""
    return sorted({int(q.at["channel"]) for q in record.quantities if q.name == name and "channel" in q.at})


def _headline(record: Record) -> str:
    mark = "" if record.quality == "good" else "   POOR FIT"
    return f"{record.title}{mark}"


def _footline(record: Record) -> str:
    units = ", ".join(f"{i.device} {i.serial_number}".strip() for i in record.instruments)
    return f"{record.id}   {record.finished:%Y-%m-%d %H:%M} UTC   {record.operator}   {units}"
