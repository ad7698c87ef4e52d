"""Picture of a hazard: clicks per microsecond at risk over the time since the last click, and residuals."""

from typing import Any

import numpy as np

from qhal.calibration.figures.style import COLOURS, line, points
from qhal.calibration.fitting.fit import Array
from qhal.calibration.fitting.intervals import Intervals


def draw_hazard(
    upper: Any, lower: Any, intervals: Intervals, expected: Array, number: int, label: str
) -> None:
    """Draw the measured hazard, merged to points of some counts, its model (per microsecond), and residuals."""
    exposure_us = intervals.at_risk * np.diff(intervals.edges_ns) * 1e-3
    lit = expected > 1
    group = np.floor(np.cumsum(expected[lit]) / max(200.0, expected.sum() / 150)).astype(np.int64)
    group = np.unique(group, return_inverse=True)[1]
    counts, model, exposure, place = (
        np.bincount(group, weights[lit])
        for weights in (intervals.counts, expected, exposure_us, intervals.middle_ns * exposure_us)
    )
    middle_ns = place / exposure
    points(upper, middle_ns, counts / exposure, np.sqrt(model) / exposure, number, label)
    line(upper, intervals.middle_ns, expected / exposure_us, number)
    colour = COLOURS[number % len(COLOURS)]
    lower.plot(middle_ns, (counts - model) / np.sqrt(model), ".", markersize=4, color=colour)
