"""Picture of a detection efficiency: the efficiencies, how well the light of a pair of outputs adds up, the budget."""

from typing import Any

import numpy as np

from qhal.calibration.figures.budget import budget_bars
from qhal.calibration.figures.labels import channels_of, with_uncertainty
from qhal.calibration.figures.style import COLOURS, tidy
from qhal.calibration.fitting.output_fractions import EVEN_FORMULA, FORMULA, OutputModel, counted_of
from qhal.records.record import Quantity, Record

_MARKS = "os^D"


def draw(figure: Any, record: Record) -> None:
    """Show the efficiencies, the light of pairs of outputs against its mean, and the budget of the first channel."""
    axes = figure.subplot_mosaic([["efficiencies", "budget"], ["sums", "budget"]], height_ratios=(3, 2))
    found = [
        record.quantity("detection_efficiency", channel=n)
        for n in channels_of(record, "detection_efficiency")
    ]
    _draw_efficiencies(axes["efficiencies"], found)
    _draw_sums(axes["sums"], record)
    label = f"contribution to channel {found[0].at['channel']:g}, relative"
    budget_bars(axes["budget"], found[0], label, 100 / found[0].value, "%")


def _draw_efficiencies(axes: Any, found: list[Quantity]) -> None:
    tidy(axes, "channel", "detection efficiency")
    channels = np.array([q.at["channel"] for q in found])
    values = np.array([q.value for q in found])
    axes.errorbar(
        channels, values, [q.uncertainty for q in found], fmt="o", markersize=4, color=COLOURS[0], linewidth=1,
        label="combined standard uncertainty",
    )  # fmt: skip
    axes.errorbar(
        channels, values, [q.statistical for q in found], fmt="none", color=COLOURS[1], linewidth=3,
        label="its statistical part",
    )  # fmt: skip
    axes.set_xticks(channels)
    axes.set_xlim(channels.min() - 0.5, channels.max() + 0.5)
    axes.legend(frameon=False, fontsize=8)
    text = "\n".join(f"channel {q.at['channel']:g}: {with_uncertainty(q)}" for q in found)
    axes.set_title(text, fontsize=8, loc="left")


def _draw_sums(axes: Any, record: Record) -> None:
    table, inputs = record.tables["counts"], record.inputs
    analysers = bool((table["setting"] > 0).any())
    counted = counted_of(table, record.tables["dark"])
    model = OutputModel(counted, inputs["dead_time_ns"] * 1e-9, analysers)
    rates_hz, dark_hz, strengths, _ = model.parts(record.fit(FORMULA if analysers else EVEN_FORMULA).values)
    rate_hz = counted.counts / counted.period_s[:, None]
    live = 1 - rate_hz * inputs["dead_time_ns"] * 1e-9
    scale = np.outer(strengths, rates_hz)
    light = (rate_hz / live - dark_hz) / scale[counted.visit]
    sigma = np.sqrt(counted.counts) / counted.period_s[:, None] / live**2 / scale[counted.visit]
    what = "both outputs together" if analysers else "mean of both outputs"
    tidy(axes, "measurement, in order of time", f"{what},\ndeviation from the fit / %")
    axes.axhline(0, color="0.6", linewidth=0.8)
    rows = np.arange(1, len(table) + 1)
    for first in range(0, light.shape[1] - 1, 2):
        pair = light[:, first : first + 2]
        off, spread = 100 * (pair.sum(axis=1) - 1), 100 * np.hypot(sigma[:, first], sigma[:, first + 1])
        if not analysers:
            off, spread = 100 * (pair.mean(axis=1) - 1), spread / 2
        for n, level in enumerate(np.unique(table["level"])):
            at = table["level"] == level
            axes.errorbar(
                rows[at] + 0.1 * first,
                off[at],
                spread[at],
                fmt=_MARKS[first // 2 % len(_MARKS)],
                markersize=3.5,
                linewidth=0.8,
                color=COLOURS[n % len(COLOURS)],
                label=f"channels {first + 1} and {first + 2}, level {level}",
            )
    axes.legend(frameon=False, fontsize=6.5, ncols=2, loc="lower left", bbox_to_anchor=(-0.02, 1))
