"""The picture of ``qhal tags plot``."""

from collections.abc import Iterable
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from qhal.errors import DataError
from qhal.tags.analysis.rates import RateMeter
from qhal.tags.batch import TagBatch
from qhal.tags.numbering import describe

_DECADES = np.logspace(0, 12, 241)
_LEAST_LIVE = 0.1
"""Share of a bin that must be live for its rate to be drawn."""


def draw(batches: Iterable[TagBatch], bin_s: float, channels: list[int], target: Path) -> None:
    """Write a PNG of rates in bins of ``bin_s`` and of the intervals between tags of each channel.

    A damaged file is drawn as far as it goes.
    """
    meter = RateMeter(bin_s)
    intervals = {channel: np.zeros(len(_DECADES) - 1, np.int64) for channel in channels}
    last: dict[tuple[int, int], int] = {}
    epochs: list[int] = []
    try:
        for batch in batches:
            meter.add(batch)
            if batch.epoch not in epochs:
                epochs.append(batch.epoch)
            for channel in channels:
                times = batch.times_ps[batch.channels == channel]
                before = last.get((batch.epoch, channel))
                joined = times if before is None else np.concatenate(([before], times))
                intervals[channel] += np.histogram(np.diff(joined), _DECADES)[0]
                if len(times):
                    last[batch.epoch, channel] = int(times[-1])
    except DataError:
        pass  # told by the caller, who has read the file before
    with mpl.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        _write(meter, intervals, epochs, target)


def _write(meter: RateMeter, intervals: dict[int, np.ndarray], epochs: list[int], target: Path) -> None:
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    rates, waits = figure.add_subplot(1, 2, 1), figure.add_subplot(1, 2, 2)
    colours = mpl.colormaps["viridis"](np.linspace(0, 0.9, len(intervals)))
    for (channel, histogram), colour in zip(intervals.items(), colours, strict=True):
        for number, epoch in enumerate(epochs):
            times, values = meter.over_time(channel, epoch, _LEAST_LIVE)
            rates.step(
                times, values, where="post", color=colour, lw=1, label=None if number else describe(channel)
            )
        shown = np.flatnonzero(histogram)
        if len(shown):
            middle = np.sqrt(_DECADES[1:] * _DECADES[:-1])[shown[0] : shown[-1] + 1] * 1e-3
            waits.step(middle, histogram[shown[0] : shown[-1] + 1], where="mid", color=colour, lw=1)
    rates.set(xlabel="time since the start of the epoch (s)", ylabel="tags per live second", ylim=(0, None))
    rates.legend(frameon=False, fontsize=8, loc="lower right")
    waits.set(
        xscale="log",
        yscale="log",
        xlabel="interval to the next tag of the channel (ns)",
        ylabel="tags per bin",
    )
    figure.savefig(target, dpi=130)
