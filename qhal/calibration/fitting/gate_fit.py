"""The shape of a gate: a rectangle whose edges are error functions, as one sees it in a histogram of tags.

``f = floor + (1 - floor) (S((t + w/2) / s1) - S((t - w/2) / s2))`` of the top, S being the normal distribution: width w
between the middles of the edges (which is the full width at half maximum of a gate that is wider than its edges, and
the width of the rectangle of the same area of any), standard deviations s1 and s2 of the edges, with the jitter in
them. The tagger's steps and the histogram's bins, even distributions both, are in the model.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from qhal.calibration.fitting.fit import Array, Model, fit_counts, numbered
from qhal.link.link_errors import NotEnoughCounts
from qhal.records.record import Fit

RISE_PER_SIGMA = 2 * float(special.ndtri(0.9))
"""10 to 90 % of an error function."""
FORMULA = "gate = floor + rectangle with edges that are error functions"
_ROOT_2_PI = np.sqrt(2 * np.pi)
_CLEAR = 4.0
"""Standard deviations of its edge outside of which a gate is negligible (3e-5)."""
_LEAST_SHARE = 0.05
_LEAST_LIVE = 0.1


@dataclass(frozen=True, eq=False, slots=True)
class GateFit:
    """``top`` (recordings): counts expected in a bin, without dead time; ``centre_ps`` (recordings): in the period.

    ``width_ps``, ``rise_ps``, ``fall_ps``: between the edges' middles, and 10 to 90 % of each, jitter included.
    ``counts``, and the fraction of the time that dead times leave ``live``: (recordings, bins).
    """

    top: tuple[Any, ...]
    centre_ps: tuple[Any, ...]
    width_ps: Any
    rise_ps: Any
    fall_ps: Any
    counts: Array
    live: Array
    fit: Fit


@dataclass(frozen=True, slots=True)
class PeriodGrid:
    """A period of the gates in bins, and the resolution of the tags in it."""

    period_ps: float
    bins: int
    resolution_ps: float

    @property
    def bin_ps(self) -> float:
        """Width of a bin."""
        return self.period_ps / self.bins

    def about(self, centre_ps: Any) -> Array:
        """Return how much later than a position the middles of the bins are, within half a period of it."""
        middle_ps = (np.arange(self.bins) + 0.5) * self.bin_ps
        half = self.period_ps / 2
        late: Array = np.mod(middle_ps - centre_ps + half, self.period_ps) - half
        return late

    def gate(self, late_ps: Array, width_ps: float, rise_ps: float, fall_ps: float) -> Array:
        """Return the fraction of the top in bins about the middle of a gate with nothing outside."""
        sides = (late_ps + width_ps / 2, rise_ps), (late_ps - width_ps / 2, fall_ps)
        up, down = (self._edge(t, edge_ps / RISE_PER_SIGMA) for t, edge_ps in sides)
        return up - down

    def outside(self, late_ps: Array, width_ps: float, rise_ps: float, fall_ps: float) -> NDArray[np.bool_]:
        """Return the bins outside of a gate."""
        blur_ps = (self.resolution_ps + self.bin_ps) / 2
        before, after = (
            width_ps / 2 + _CLEAR / RISE_PER_SIGMA * edge + blur_ps for edge in (rise_ps, fall_ps)
        )
        clear: NDArray[np.bool_] = (late_ps < -before) | (late_ps > after)
        return clear

    def _edge(self, t: Array, sigma: float) -> Array:
        a, b = (self.bin_ps + self.resolution_ps) / 2, (self.bin_ps - self.resolution_ps) / 2
        ends = _cumulated_twice(np.stack((t + a, t + b, t - b, t - a)), sigma)
        fraction: Array = (ends[0] - ends[1] - ends[2] + ends[3]) / (self.bin_ps * self.resolution_ps)
        return fraction


def _cumulated_twice(t: Array, sigma: float) -> Array:
    """Return the second integral of a step at 0 that a Gaussian smears."""
    z = t / sigma
    found: Array = ((t**2 + sigma**2) * special.ndtr(z) + t * sigma * np.exp(-(z**2) / 2) / _ROOT_2_PI) / 2
    return found


def live_fraction(counts: Array, gates: Array, grid: PeriodGrid, dead_time_ps: float) -> Array:
    """Return the fraction of the gates (recordings, bins) in which a detector is not dead at a position in the period.

    Dead are those in which a click came within the dead time before; all that come are in ``counts`` (recordings,
    bins), in the number of ``gates`` (recordings). Raises NotEnoughCounts when the dead times are longer than the time.
    """
    clicks = counts / gates[:, None]
    whole, rest = divmod(dead_time_ps / grid.bin_ps, grid.bins)
    cumulated = np.concatenate((np.zeros((len(clicks), 1)), np.cumsum(np.tile(clicks, 2), axis=1)), axis=1)
    ends = np.arange(2 * grid.bins + 1.0)
    here = grid.bins + np.arange(grid.bins) + 0.5
    recent = [np.interp(here, ends, row) - np.interp(here - rest, ends, row) for row in cumulated]
    live: Array = 1 - whole * clicks.sum(axis=1)[:, None] - np.stack(recent)
    if live.min() < _LEAST_LIVE:
        raise NotEnoughCounts(
            f"with a dead time of {dead_time_ps * 1e-3:g} ns the detector would be dead for {1 - live.min():.0%}"
            " of the time: give its dead time, or use less light"
        )
    return live


def fit_gate(counts: Array, live: Array, grid: PeriodGrid, who: str) -> GateFit:
    """Fit one channel's histograms (recordings, bins): one shape, with its own position and height in each.

    Raises NotEnoughCounts without time between the gates, or without a gate.
    """
    start = [_rough(row, grid) for row in counts]
    count = len(counts)
    width_ps, floor = (float(np.mean([each[n] for each in start])) for n in (2, 3))
    edge_ps = max(width_ps / 10, 2 * grid.bin_ps)

    most = grid.period_ps
    found = fit_counts(
        "counts",
        FORMULA,
        gate_model(live, grid),
        counts.ravel(),
        {
            **numbered("top", [each[0] for each in start]),
            **numbered("centre_ps", [each[1] for each in start]),
            "width_ps": width_ps,
            "rise_ps": edge_ps,
            "fall_ps": edge_ps,
            "floor": floor,
        },
        (
            [0.0] * count + [-most] * count + [grid.bin_ps, grid.bin_ps / 20, grid.bin_ps / 20, 0.0],
            [np.inf] * count + [2 * most] * count + [most, most, most, 1.0],
        ),
    )
    values, width, rise, fall = found.values, *found.values[2 * count : 2 * count + 3]
    clear = grid.outside(grid.about(0.0), width.nominal_value, rise.nominal_value, fall.nominal_value)
    if clear.mean() < _LEAST_SHARE:
        raise NotEnoughCounts(
            f"{who}: gates of {width.nominal_value:.0f} ps with edges of {rise.nominal_value:.0f} and"
            f" {fall.nominal_value:.0f} ps leave no time between them in {most:.0f} ps"
        )
    return GateFit(
        top=values[:count],
        centre_ps=values[count : 2 * count],
        width_ps=width,
        rise_ps=rise,
        fall_ps=fall,
        counts=counts,
        live=live,
        fit=found.fit,
    )


def gate_model(live: Array, grid: PeriodGrid) -> Model:
    """Return the counts expected (recordings and bins, in one row) for tops, centres, and the shape of the gate."""
    count = len(live)

    def expected(p: Array) -> Array:
        shape = p[2 * count :]
        rows = [
            p[n] * (shape[3] + (1 - shape[3]) * grid.gate(grid.about(p[count + n]), *shape[:3]))
            for n in range(count)
        ]
        counts: Array = (live * np.stack(rows)).ravel()
        return np.maximum(counts, 1e-9)

    return expected


def _rough(counts: Array, grid: PeriodGrid) -> tuple[float, float, float, float]:
    """Return top, centre, width and floor (of the top) of a gate, as a start."""
    middle = np.median(counts[counts > counts.max() / 2])
    high = counts > middle / 2
    angle = 2 * np.pi * (np.arange(grid.bins) + 0.5) / grid.bins
    centre_ps = float(np.angle((high * np.exp(1j * angle)).sum()) / (2 * np.pi) * grid.period_ps)
    top, width_ps = float(np.median(counts[high])), float(high.sum() * grid.bin_ps)
    far = np.abs(grid.about(centre_ps)) > min(0.75 * width_ps, 0.45 * grid.period_ps)
    return top, centre_ps % grid.period_ps, width_ps, float(np.clip(counts[far].mean() / top, 1e-4, 0.5))
