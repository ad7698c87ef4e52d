"""Picture of a detection efficiency: how outputs share the light, what is left of it row by row, and the budget."""

from typing import Any

import numpy as np

from qhal.calibration.budget_picture import budget_bars
from qhal.calibration.draw import COLOURS, channels_of, tidy, with_uncertainty
from qhal.calibration.share_fit import counted_of, fit_shares
from qhal.records.record import Quantity, Record
from qhal.records.uncertain import nominal


def draw(figure: Any, record: Record) -> None:
    """Show the light of the outputs against each other, its sum, and the budgets."""
    axes = figure.subplot_mosaic([["shares", "budget"], ["sums", "budget"]], height_ratios=(3, 2))
    found = [
        record.quantity("detection_efficiency", channel=n)
        for n in channels_of(record, "detection_efficiency")
    ]
    _draw_light(axes["shares"], axes["sums"], record)
    _draw_budget(axes["budget"], found)


def _draw_light(shares: Any, sums: Any, record: Record) -> None:
    table, inputs = record.tables["counts"], record.inputs
    analysers = bool((table["setting"] > 0).any())
    counted = counted_of(table, record.tables["dark"])
    fitted = fit_shares(counted, inputs["dead_time_ns"] * 1e-9, 0.0, analysers=analysers)
    rate_hz = counted.counts / counted.period_s[:, None]
    live = 1 - rate_hz * inputs["dead_time_ns"] * 1e-9
    scale = np.outer(
        [nominal(each) for each in fitted.strengths], [nominal(each) for each in fitted.rates_hz]
    )
    light = (rate_hz / live - [nominal(each) for each in fitted.dark_hz]) / scale[counted.visit]
    sigma = np.sqrt(counted.counts) / counted.period_s[:, None] / live**2 / scale[counted.visit]
    tidy(shares, "light of the first output", "of the second")
    tidy(sums, "row", "sum less 1 / %")
    sums.axhline(0, color="0.6", linewidth=0.8)
    shares.plot([0, 1], [1, 0], color="0.7", linewidth=0.8)
    levels, rows = np.unique(table["level"]), np.arange(1, len(table) + 1)
    for first in range(0, light.shape[1] - 1, 2):
        pair, mark = light[:, first : first + 2], "os"[first // 2 % 2]
        off, spread = 100 * (pair.sum(axis=1) - 1), 100 * np.hypot(sigma[:, first], sigma[:, first + 1])
        if not analysers:
            off, spread = 100 * (pair.mean(axis=1) - 1), spread / 2
        for n, level in enumerate(levels):
            at, colour = table["level"] == level, COLOURS[n % len(COLOURS)]
            shares.plot(pair[at, 0], pair[at, 1], mark, markersize=4, fillstyle="none", color=colour)
            sums.errorbar(
                rows[at] + 0.2 * (first > 0),
                off[at],
                spread[at],
                fmt=mark,
                markersize=3,
                linewidth=0.8,
                color=colour,
            )
    for n, level in enumerate(levels):
        shares.plot([], [], "o", color=COLOURS[n % len(COLOURS)], label=f"level {level}")
    shares.legend(frameon=False, fontsize=8)


def _draw_budget(axes: Any, found: list[Quantity]) -> None:
    """Show what contributes to the uncertainty of the first channel, and all efficiencies."""
    label = f"contribution to channel {found[0].at['channel']:g}, relative"
    budget_bars(axes, found[0], label, 100 / found[0].value, "%")
    text = "\n".join(f"channel {q.at['channel']:g}: {with_uncertainty(q)}" for q in found)
    axes.set_title(text, fontsize=8, loc="right")
