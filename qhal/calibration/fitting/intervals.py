"""Intervals between the tags of one channel, and how a detector's hazard shows in them.

A click resets the detector, so that in light without structure the intervals are independent, and their hazard (clicks
per second of those intervals that have lasted so long) is the efficiency as it comes back, times the rate of the light,
and the afterpulses. Counts per bin over those at risk in it are independent, too.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from qhal.calibration.fitting.fit import Array
from qhal.link.link_errors import NotEnoughCounts
from qhal.records.record import Table
from qhal.tags.batch import TagBatch

TABLE = "intervals"
_GROWTH = 0.05
"""Width of a group of bins over its distance from the first counts: fine where the hazard changes quickly."""
_FIRST, _SOME = 3, 20
"""Counts that mark the first interval, and those of a group at the edge: a likelihood of less is not Gaussian."""
_FWHM_PER_SIGMA = 2.354820045
_ROOT_2_PI = 2.5066282746310002


@dataclass(frozen=True, eq=False, slots=True)
class Intervals:
    """Groups of bins of one channel: edges (one more than groups, ns), counts, and mean number of intervals at risk.

    ``tail_counts``, ``tail_ns``: by repetition, intervals that outlast all bins and how long they do so, together.
    """

    edges_ns: Array
    counts: Array
    at_risk: Array
    tail_counts: Array
    tail_ns: Array

    @property
    def middle_ns(self) -> Array:
        """Middle of each group."""
        middle: Array = (self.edges_ns[1:] + self.edges_ns[:-1]) / 2
        return middle

    @property
    def hazard_per_ns(self) -> Array:
        """Measured hazard."""
        hazard: Array = self.counts / (self.at_risk * np.diff(self.edges_ns))
        return hazard

    @property
    def rate_per_ns(self) -> float:
        """Rate of clicks long after one."""
        return float(self.tail_counts.sum() / self.tail_ns.sum())

    def expected(self, cumulated: Array) -> Array:
        """Return the counts that a hazard, cumulated up to each edge, lets expect."""
        counts: Array = self.at_risk * np.diff(cumulated)
        return counts


def histogram(batch: TagBatch, channel: int, bin_ps: int, bins: int) -> tuple[NDArray[np.int64], int, float]:
    """Return counts of intervals of 0, 1, ... bins, and number and further duration (ns) of the longer ones.

    An interval in which the tagger paused is none. An interval of n bins lasted from n - 1 to n + 1 bins, n on average.
    """
    times = batch.times_ps[batch.channels == channel]
    whole = np.ones(max(len(times) - 1, 0), np.bool_)
    places = np.searchsorted(times, [gap.start_ps for gap in batch.gaps if gap.concerns(channel)])
    whole[places[(places > 0) & (places < len(times))] - 1] = False
    intervals = np.diff(times)[whole] // bin_ps
    short = intervals < bins
    counts = np.bincount(intervals[short], minlength=bins)
    beyond = intervals[~short]
    return counts, len(beyond), float((beyond - bins + 0.5).sum() * bin_ps * 1e-3)


def read(table: Table, column: int) -> Intervals:
    """Return the intervals of a channel, all repetitions together. Raises NotEnoughCounts when there are hardly any."""
    bin_ns = float(table["bin_ps"][0]) * 1e-3
    counts = table["counts"][:, column].sum(axis=0).astype(np.float64)
    tails = table["tail_counts"][:, column].astype(np.float64)
    if counts.sum() < 100 or tails.min() < 10:
        raise NotEnoughCounts(
            f"channel {column + 1}: {counts.sum():.0f} intervals up to {len(counts) * bin_ns:g} ns, "
            f"{tails.min():.0f} longer ones in the least of {len(table)} repetitions: 100 and 10 are needed"
        )
    at_risk = tails.sum() + counts.sum() - np.cumsum(counts) + counts / 2
    risen = np.cumsum(counts)
    first = int(np.argmax(risen >= _FIRST))
    step = max(1, int(np.argmax(risen >= _SOME)) - first)
    starts, place = [0], step
    while place < len(counts):
        starts.append(place)
        place += max(step, int(_GROWTH * (place - first)))
    widths = np.diff([*starts, len(counts)])
    return Intervals(
        edges_ns=(np.array([*starts, len(counts)]) - 0.5) * bin_ns,
        counts=np.add.reduceat(counts, starts),
        at_risk=np.add.reduceat(at_risk, starts) / widths,
        tail_counts=tails,
        tail_ns=table["tail_ns"][:, column].astype(np.float64),
    )


def cumulated_edge(since_ns: Array, sigma_ns: float) -> Array:
    """Return the integral of a step at 0 that a Gaussian smears."""
    z = since_ns / sigma_ns
    found: Array = since_ns * special.ndtr(z) + sigma_ns * np.exp(-(z**2) / 2) / _ROOT_2_PI
    return found


def cumulated_decay(since_ns: Array, constant_ns: float, sigma_ns: float) -> Array:
    """Return the integral of ``exp(-t / constant)`` from 0 on, smeared by a Gaussian."""
    z, ratio = since_ns / sigma_ns, sigma_ns / constant_ns
    # The product of a huge and a tiny number, by their logarithms.
    decay = np.exp(ratio**2 / 2 - since_ns / constant_ns + special.log_ndtr(z - ratio))
    found: Array = constant_ns * (special.ndtr(z) - decay)
    return found


def smearing_ns(table: Table, jitter_fwhm_ps: float) -> float:
    """Return the standard deviation of an interval less its bin: both ends have the jitter, and a bin is rounding."""
    bin_ps = float(table["bin_ps"][0])
    return float(np.hypot(jitter_fwhm_ps / _FWHM_PER_SIGMA * 2**0.5, bin_ps / 12**0.5) * 1e-3)
