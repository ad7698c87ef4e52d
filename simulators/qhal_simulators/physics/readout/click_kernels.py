"""Compiled: from photo-events to tags, by dead times, gates, recovery, afterpulses, jitter and bins.

What is drawn for an event depends on its time alone, so that it does not matter how time is cut into calls.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from qhal_simulators.physics.readout.draw_kernels import GOLDEN, LOW_11, LOW_32, UNIT_32, draw, mix, uniform

_CELLS_PER_BIN = 8
PENDING_FULL = -1
OUTPUT_FULL = -2


class Events(NamedTuple):
    """Photo-events in order: the first ``filled`` rows of time and mark (``4 * quantile of jitter + detector``)."""

    times_s: NDArray[np.float64]
    marks: NDArray[np.int32]
    filled: int


class Detectors(NamedTuple):
    """Sensitivity of the detectors, and the effect of a click on later ones; arrays by detector.

    ``gate`` (4, n): relative efficiency over a period of the gates, ``gate_period_ps`` long on the receiver's clock (0:
    free running). ``recovery_s``: time constant with which the efficiency recovers after the dead time. An afterpulse
    follows a click with ``afterpulse_probability``, later by the dead time and an exponential time of one of
    ``trap_lifetimes_s`` (chosen with ``trap_weights``, cumulated); afterpulses have afterpulses. ``jitter_ps``:
    quantiles of the timing error.
    """

    dead_time_s: NDArray[np.float64]
    common_hold_off: bool
    gate: NDArray[np.float64]
    gate_period_ps: float
    recovery_s: NDArray[np.float64]
    afterpulse_probability: NDArray[np.float64]
    trap_weights: NDArray[np.float64]
    trap_lifetimes_s: NDArray[np.float64]
    jitter_ps: NDArray[np.float64]


class Memory(NamedTuple):
    """State between calls, by detector: last click, clicks counted, tags by input, afterpulses to come."""

    last_s: NDArray[np.float64]
    clicks: NDArray[np.int64]
    tags: NDArray[np.int64]
    pending_s: NDArray[np.float64]
    pending_count: NDArray[np.int64]


class Clock(NamedTuple):
    """The tagger's clock: true time t reads ``origin_ps + (t - origin_s) * 1e12 * rate``."""

    origin_s: float
    origin_ps: float
    rate: float


class Inputs(NamedTuple):
    """The detectors' own counter and the tagger's inputs.

    ``counted``, ``passes``: fraction of the pulses, from the highest down, that exceed the counter's trigger level and
    the input's threshold. ``edges_ps``: edges of the bins in one period of the interpolator (empty: equal bins);
    ``guide``: see :func:`bin_guide`.
    """

    delay_ps: NDArray[np.float64]
    counted: NDArray[np.float64]
    passes: NDArray[np.float64]
    resolution_ps: int
    edges_ps: NDArray[np.float64]
    guide: NDArray[np.int64]


def bin_guide(edges_ps: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the bin at the beginning of each of the fine cells that a period of the interpolator is divided into."""
    if len(edges_ps) == 0:
        return np.empty(0, np.int64)
    cells = (len(edges_ps) - 1) * _CELLS_PER_BIN
    begins = np.arange(cells) * (edges_ps[-1] / cells)
    guide: NDArray[np.int64] = np.searchsorted(edges_ps, begins, side="right").astype(np.int64) - 1
    return guide


@njit(nogil=True, cache=True)
def detect_and_tag(key, signal, background, stop_s, detectors, memory, clock, inputs, times_ps, channels):
    """Merge both kinds of events with afterpulses, drop those that no detector sees, and tag the rest.

    ``key``: key of the draws. Events after ``stop_s`` are still to come. ``memory`` is updated. Returns the
    number of tags that ``times_ps`` and ``channels`` (inputs 1..4) now hold, in order of the clicks; or PENDING_FULL,
    or OUTPUT_FULL.
    """
    signal_s, signal_marks, signal_count = signal
    background_s, background_marks, background_count = background
    last_s, clicks, tags = memory.last_s, memory.clicks, memory.tags
    pending_s, pending_count = memory.pending_s, memory.pending_count
    dead_time_s, recovery_s = detectors.dead_time_s, detectors.recovery_s
    gate, jitter_ps, common_hold_off = detectors.gate, detectors.jitter_ps, detectors.common_hold_off
    gate_period_ps, afterpulse_probability = detectors.gate_period_ps, detectors.afterpulse_probability
    trap_weights, trap_lifetimes_s = detectors.trap_weights, detectors.trap_lifetimes_s
    counted, passes, delay_ps = inputs.counted, inputs.passes, inputs.delay_ps
    resolution_ps, edges_ps, guide = inputs.resolution_ps, inputs.edges_ps, inputs.guide
    origin_s, origin_ps, rate = clock
    ps_per_s = rate * 1e12
    periods_per_ps = 1 / gate_period_ps if gate_period_ps > 0 else 0.0
    recovering = recovery_s.max() > 0
    recoveries_per_s = np.zeros(4)
    heights = False
    for each in range(4):
        recoveries_per_s[each] = 1 / recovery_s[each] if recovery_s[each] > 0 else 0.0
        heights = heights or 0 < counted[each] < 1 or 0 < passes[each] < 1
    own_draws = gate_period_ps > 0 or recovering or afterpulse_probability.max() > 0 or heights
    rank = 0.5  # without a draw, every pulse passes or none
    i = j = filled = 0
    after_s, after_of = _soonest(pending_s, pending_count)
    own = np.uint64(0)
    while True:
        time_s, mark, source = np.inf, np.int32(0), 0
        if i < signal_count:
            time_s, mark, source = signal_s[i], signal_marks[i], 1
        if j < background_count and background_s[j] < time_s:
            time_s, mark, source = background_s[j], background_marks[j], 2
        is_afterpulse = after_s < stop_s and after_s < time_s
        if is_afterpulse:
            time_s, mark = after_s, np.int32(after_of)
        elif source == 0:
            break
        if own_draws:
            # Its upper half decides on acceptance, its lower half on an afterpulse.
            own = draw(key, np.int64(time_s * 1e13))
        if is_afterpulse:
            mark += np.int32(np.int64(mix(own) & LOW_11) * 4)
            _take_soonest(pending_s[after_of], pending_count, after_of)
            after_s, after_of = _soonest(pending_s, pending_count)
        else:
            i += source == 1
            j += source == 2
        detector = mark & 3
        alive_s = time_s - last_s[detector] - dead_time_s[detector]
        if alive_s < 0:
            continue
        reading_ps = origin_ps + (time_s - origin_s) * ps_per_s
        lot = np.float64(own >> np.uint64(32)) * UNIT_32
        sensitivity = 1.0
        if gate_period_ps > 0:
            periods = reading_ps * periods_per_ps
            sensitivity = gate[detector, np.int64((periods - math.floor(periods)) * gate.shape[1])]
        if recovering and recovery_s[detector] > 0 and not is_afterpulse:
            since = alive_s * recoveries_per_s[detector]
            # exp(-x) is below 1 / (1 + x + x^2 / 2), which mostly settles it.
            series = 1 + since + since * since / 2
            if lot * series >= sensitivity * (series - 1):
                sensitivity *= 1 - math.exp(-since)
        if lot >= sensitivity:
            continue
        if common_hold_off:
            for each in range(4):
                last_s[each] = time_s
        else:
            last_s[detector] = time_s
        if heights:
            rank = uniform(mix(own + GOLDEN + GOLDEN))
        clicks[detector] += np.int64(rank < counted[detector])
        chance = (np.float64(own & LOW_32) + 0.5) * UNIT_32
        if chance < afterpulse_probability[detector]:
            if pending_count[detector] == pending_s.shape[1]:
                return PENDING_FULL
            wait_s = -math.log(chance / afterpulse_probability[detector]) * _lifetime_s(
                own, trap_weights, trap_lifetimes_s
            )
            pending_s[detector, pending_count[detector]] = time_s + dead_time_s[detector] + wait_s
            pending_count[detector] += 1
            after_s, after_of = _soonest(pending_s, pending_count)
        if rank < passes[detector]:
            if filled == len(times_ps):
                return OUTPUT_FULL
            exact_ps = reading_ps + jitter_ps[detector, mark >> 2] + delay_ps[detector]
            if len(edges_ps) == 0:
                tag_ps = np.int64(math.floor(exact_ps / resolution_ps)) * resolution_ps
            else:
                tag_ps = _unequal_bin(exact_ps, resolution_ps, edges_ps, guide)
            row = filled
            # Jitter and cables turn a few neighbours round; longer delays are sorted when the tags are taken.
            while row > 0 and filled - row < 4 and times_ps[row - 1] > tag_ps:
                times_ps[row], channels[row] = times_ps[row - 1], channels[row - 1]
                row -= 1
            times_ps[row], channels[row] = tag_ps, detector + 1
            tags[detector] += 1
            filled += 1
    return filled


@njit(nogil=True, cache=True)
def _soonest(pending_s, pending_count):
    """Return the time of the next afterpulse (inf: none) and its detector."""
    best_s, best = np.inf, 0
    for detector in range(4):
        for n in range(pending_count[detector]):
            if pending_s[detector, n] < best_s:
                best_s, best = pending_s[detector, n], detector
    return best_s, best


@njit(nogil=True, cache=True)
def _take_soonest(times_s, count, detector):
    """Remove the earliest time of a detector's list."""
    earliest = 0
    for n in range(1, count[detector]):
        if times_s[n] < times_s[earliest]:
            earliest = n
    count[detector] -= 1
    times_s[earliest] = times_s[count[detector]]


@njit(nogil=True, cache=True)
def _lifetime_s(own, weights, lifetimes_s):
    """Choose the lifetime of the trap that an afterpulse comes from."""
    choice = uniform(mix(own + GOLDEN))
    kind = 0
    while kind < len(weights) - 1 and choice >= weights[kind]:
        kind += 1
    return lifetimes_s[kind]


@njit(nogil=True, cache=True)
def tag_at_once(events, clock, inputs, times_ps, channels):
    """Tag what arises at the inputs themselves, such as electronic noise."""
    times_s, marks, filled = events
    resolution_ps, edges_ps = inputs.resolution_ps, inputs.edges_ps
    for n in range(filled):
        detector = marks[n] & 3
        reading_ps = clock.origin_ps + (times_s[n] - clock.origin_s) * clock.rate * 1e12
        exact_ps = reading_ps + inputs.delay_ps[detector]
        if len(edges_ps) == 0:
            times_ps[n] = np.int64(math.floor(exact_ps / resolution_ps)) * resolution_ps
        else:
            times_ps[n] = _unequal_bin(exact_ps, resolution_ps, edges_ps, inputs.guide)
        channels[n] = detector + 1


@njit(inline="always")
def _unequal_bin(exact_ps, resolution_ps, edges_ps, guide):
    """Return the nominal time of the bin that a time falls into."""
    bins = len(edges_ps) - 1
    period_ps = bins * resolution_ps
    period = np.int64(math.floor(exact_ps / period_ps))
    within = exact_ps - period * period_ps
    cell = min(np.int64(within * (len(guide) / period_ps)), len(guide) - 1)
    index = guide[cell]
    # A bin is rarely narrower than a cell: one step, without a branch, does it nearly always.
    index += np.int64(edges_ps[index + 1] <= within)
    while index < bins - 1 and edges_ps[index + 1] <= within:
        index += 1
    return period * period_ps + index * resolution_ps
