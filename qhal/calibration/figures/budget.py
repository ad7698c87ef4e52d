"""Bars of an uncertainty budget, the same for all records whose budget is what matters."""

from typing import Any

import numpy as np

from qhal.calibration.figures.style import COLOURS, tidy
from qhal.records.record import Quantity


def budget_bars(axes: Any, quantity: Quantity, label: str, scale: float, unit: str) -> None:
    """Show contributions times ``scale``; single set points and used records are one bar for each kind."""
    lines: dict[str, float] = {}
    for line in quantity.contributions:
        name = "set points" if " at " in line.name else line.name.partition(" (")[0]
        lines[name] = float(np.hypot(lines.get(name, 0.0), line.value))
    names = sorted(lines, key=lambda name: lines[name])
    names = [name for name in names if lines[name] > 1e-3 * quantity.uncertainty]
    axes.barh(names, [scale * lines[name] for name in names], color=COLOURS[0], height=0.6)
    axes.set_axisbelow(True)
    tidy(axes, f"{label} / {unit}", "")
    axes.tick_params(axis="y", labelsize=8)
