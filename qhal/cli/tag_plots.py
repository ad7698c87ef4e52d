"""The picture of ``qhal tags plot``: for each channel its rate over time, and the intervals between its tags."""

import math
from collections.abc import Iterable
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter
from numpy.typing import NDArray

from qhal.calibration.figures.style import COLOURS, tidy, write_picture
from qhal.errors import DataError
from qhal.tags.analysis.rates import RateMeter
from qhal.tags.batch import TagBatch
from qhal.tags.numbering import describe

_DECADES = np.logspace(0, 12, 241)
_MIN_LIVE = 0.1
"""Fraction of a bin that must be live for its rate to be drawn."""
_LEAST_COUNTS = 100
"""Tags in a bin, on average: its rate is then known to 10 %."""
MOST_BINS = 400
MOST_CHANNELS = 12


def draw(batches: Iterable[TagBatch], duration_s: float, channels: list[int], target: Path) -> None:
    """Draw the rates and the intervals of these channels of a stream, whose longest epoch takes ``duration_s``.

    A damaged file is drawn as far as it goes. Raises ConfigurationError when the picture cannot be written.
    """
    meter = RateMeter(max(math.ceil(duration_s * 1e12 / MOST_BINS), 1000) * 1e-12)
    intervals = {channel: np.zeros(len(_DECADES) - 1, np.int64) for channel in channels}
    last: dict[tuple[int, int], int] = {}
    spans: dict[int, list[int]] = {}
    try:
        for batch in batches:
            meter.add(batch)
            spans.setdefault(batch.epoch, [batch.start_ps, batch.stop_ps])[1] = batch.stop_ps
            for channel in channels:
                times = batch.times_ps[batch.channels == channel]
                before = last.get((batch.epoch, channel))
                joined = times if before is None else np.concatenate(([before], times))
                intervals[channel] += np.histogram(np.diff(joined), _DECADES)[0]
                if len(times):
                    last[batch.epoch, channel] = int(times[-1])
    except DataError:
        pass  # told by the caller, who has read the file before
    with mpl.rc_context({"font.size": 9}):
        figure = Figure(figsize=(11, 1.6 + 1.35 * max(2, len(channels))), layout="constrained")
        left, right = np.ravel(np.asarray(figure.subfigures(1, 2, width_ratios=(3, 2))))
        colours = dict(zip(channels, (COLOURS[n % len(COLOURS)] for n in range(len(channels))), strict=True))
        _draw_rates(left, meter, spans, colours)
        _draw_intervals(right, intervals, colours)
        write_picture(figure, target, 130)


def _draw_rates(
    figure: Figure, meter: RateMeter, spans: dict[int, list[int]], colours: dict[int, str]
) -> None:
    """Draw each channel in a panel of its own, one epoch behind the other."""
    panels = figure.subplots(len(colours), 1, sharex=True, squeeze=False)[:, 0]
    for (channel, colour), axes in zip(colours.items(), panels, strict=True):
        offset_s = 0.0
        bins = _bins(meter, channel)
        for number, (epoch, (start, stop)) in enumerate(spans.items()):
            times, rates, sigmas = meter.over_time(channel, epoch, _MIN_LIVE, bins)
            middles = offset_s + times + 0.5 * bins * meter.bin_s - start * 1e-12
            middles = np.minimum(middles, offset_s + (stop - start) * 1e-12)
            axes.errorbar(middles, rates, sigmas, fmt=".", color=colour, markersize=3, elinewidth=0.8)
            if number:
                axes.axvline(offset_s, color="0.6", linestyle=":", linewidth=0.8)
            offset_s += (stop - start) * 1e-12
        tidy(axes, "", "tags / s")
        axes.set_ylim(0, None)
        axes.set_xlim(0, None)
        axes.yaxis.set_major_formatter(EngFormatter())
        width = EngFormatter("s")(float(f"{bins * meter.bin_s:.3g}"))
        axes.set_title(f"{describe(channel)}: bins of {width}", fontsize=9, loc="left", color=colour)
    epochs = "" if len(spans) == 1 else f", {len(spans)} epochs one behind the other"
    panels[-1].set_xlabel(f"time since the recording began (s){epochs}")


def _bins(meter: RateMeter, channel: int) -> int:
    """Return how many bins of the meter are taken together so that the uncertainty of a rate is at most it."""
    per_bin = meter.counts.get(channel, 0) / MOST_BINS
    return min(MOST_BINS, max(1, math.ceil(_LEAST_COUNTS / per_bin))) if per_bin else MOST_BINS


def _draw_intervals(figure: Figure, intervals: dict[int, NDArray[np.int64]], colours: dict[int, str]) -> None:
    axes = figure.subplots()
    for channel, histogram in intervals.items():
        shown = np.flatnonzero(histogram)
        if len(shown):
            part = slice(shown[0], shown[-1] + 1)
            middle = np.sqrt(_DECADES[1:] * _DECADES[:-1])[part] * 1e-12
            axes.step(
                middle, histogram[part], where="mid", color=colours[channel], lw=1, label=describe(channel)
            )
    tidy(axes, "interval to the next tag of the channel", "tags in a bin of a twentieth of a decade")
    axes.set(xscale="log", yscale="log")
    axes.xaxis.set_major_formatter(EngFormatter("s", sep=" "))
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=8)
