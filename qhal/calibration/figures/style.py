"""Style of all pictures: axes, points, lines, colours."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from qhal.errors import ConfigurationError
from qhal.files import write_whole

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#4d4d4d")
"""One for each channel, distinct for the colour-blind, too (after Okabe and Ito)."""


def write_picture(figure: Any, path: Path, dpi: int) -> None:
    """Write a figure (PNG, PDF or SVG by the ending), whole or not at all. Raises ConfigurationError, Busy."""
    content = io.BytesIO()
    try:
        figure.savefig(content, format=path.suffix.removeprefix(".").lower(), dpi=dpi)
    except ValueError as error:
        raise ConfigurationError(f"{path}: {error}") from error
    write_whole(path, content.getvalue())


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
    """Return evenly spaced positions from the minimum to the maximum, for drawing a model."""
    return np.linspace(np.min(values), np.max(values), count)
