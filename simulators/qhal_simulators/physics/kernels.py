"""The click sampler: only what clicks is drawn, and a draw depends on nothing but its own number.

Photo-events of coherent light behind linear optics are independent Poisson processes, so the receiver sees
one inhomogeneous Poisson process that can be marked and thinned. The signal is drawn in cumulated energy,
a chain of unit exponentials ``-ln u(key, n)`` laid onto the cumulative energy of the repeating pattern; the
background is such a chain in time. A chain keeps its next event, so where an advance stops enters no
arithmetic: two half steps give the tags of one whole step, bit for bit.
"""

import math

import numpy as np
from numba import njit

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_UNIT_53 = 1.0 / 9007199254740992.0
_UNIT_32 = 1.0 / 4294967296.0
_LOW_32 = np.uint64(0xFFFFFFFF)
JITTER_STEPS = 2048
"""Length of the table of jitter quantiles: eleven bits of a draw."""


@njit(inline="always")
def _mix(x):
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@njit(nogil=True, cache=True)
def signal_events(
    key,
    state_count,
    state_energy,
    stop_period,
    stop_slot,
    scale,
    cumulative,
    guide,
    shapes,
    marks_by_slot,
    axes,
    weights,
    origin_s,
    origin_position,
    slot_s,
    times_s,
    marks,
):
    """Draw the photo-events of the signal before a slot of the pattern.

    ``state_count``: [number of the next draw, period it falls in]; ``state_energy``: [its cumulated energy in
    that period], both updated. ``scale``: detected events per unit of energy for the best detector.
    ``guide``, ``shapes``, ``marks_by_slot``: of a :class:`LightPattern`. ``axes`` (2, 3): analysers of basis 0 and
    1, scaled by their contrast; ``weights`` (4): efficiencies relative to the best. A slot at position p is at
    ``origin_s + (p - origin_position) * slot_s``. Returns the number of events; when the buffers are full it
    stops early, and the caller calls again.
    """
    slots = len(cumulative) - 1
    total = cumulative[slots]
    steps = len(guide) - 1
    finest = shapes.shape[1] - 1
    count, period = state_count[0], state_count[1]
    energy = state_energy[0]
    filled = 0
    while filled < len(times_s):
        while energy >= total:
            energy -= total
            period += 1
        slot = np.int64(guide[np.int64(energy / total * steps)])
        while cumulative[slot + 1] <= energy:
            slot += 1
        if period > stop_period or (period == stop_period and slot >= stop_slot):
            break
        first = _mix(key + np.uint64(count) * _GOLDEN)
        second = _mix(first + _GOLDEN)
        place = np.float64(second >> np.uint64(32)) * _UNIT_32 * finest
        cell = np.int64(place)
        kind = np.int64(marks_by_slot[slot, 3])
        within = shapes[kind, cell] + (place - cell) * (shapes[kind, cell + 1] - shapes[kind, cell])
        x, y, z = marks_by_slot[slot, 0], marks_by_slot[slot, 1], marks_by_slot[slot, 2]
        straight = axes[0, 0] * x + axes[0, 1] * y + axes[0, 2] * z
        diagonal = axes[1, 0] * x + axes[1, 1] * y + axes[1, 2] * z
        choice = np.float64(second & _LOW_32) * _UNIT_32 * 4.0
        detector = -1
        choice -= weights[0] * (1.0 + straight)
        if choice < 0.0:
            detector = 0
        else:
            choice -= weights[1] * (1.0 - straight)
            if choice < 0.0:
                detector = 1
            else:
                choice -= weights[2] * (1.0 + diagonal)
                if choice < 0.0:
                    detector = 2
                else:
                    choice -= weights[3] * (1.0 - diagonal)
                    if choice < 0.0:
                        detector = 3
        if detector >= 0:
            position = np.float64(period * slots + slot) + within
            time_s = origin_s + (position - origin_position) * slot_s
            mark = np.int32(np.int64(first & np.uint64(JITTER_STEPS - 1)) * 4 + detector)
            # Two events of one slot may come in the wrong order.
            place_in_row = filled
            while place_in_row > 0 and times_s[place_in_row - 1] > time_s:
                times_s[place_in_row] = times_s[place_in_row - 1]
                marks[place_in_row] = marks[place_in_row - 1]
                place_in_row -= 1
            times_s[place_in_row] = time_s
            marks[place_in_row] = mark
            filled += 1
        count += 1
        following = _mix(key + np.uint64(count) * _GOLDEN)
        uniform = (np.float64(following >> np.uint64(11)) + 0.5) * _UNIT_53
        energy -= math.log(uniform) / scale
    state_count[0], state_count[1] = count, period
    state_energy[0] = energy
    return filled


@njit(nogil=True, cache=True)
def background_events(key, state_count, state_time, stop_s, edges_hz, times_s, marks):
    """Draw background events before ``stop_s``.

    ``state_count``: [number of the next draw], ``state_time``: [its time], both updated. ``edges_hz``: cumulated
    rates of the detectors (5 values from 0). Returns the number of events, as :func:`signal_events` does.
    """
    count, time_s = state_count[0], state_time[0]
    total = edges_hz[4]
    filled = 0
    while filled < len(times_s) and time_s < stop_s:
        first = _mix(key + np.uint64(count) * _GOLDEN)
        choice = np.float64(_mix(first + _GOLDEN) >> np.uint64(11)) * _UNIT_53 * total
        detector = 0
        while detector < 3 and choice >= edges_hz[detector + 1]:
            detector += 1
        times_s[filled] = time_s
        marks[filled] = np.int32(np.int64(first & np.uint64(JITTER_STEPS - 1)) * 4 + detector)
        filled += 1
        count += 1
        following = _mix(key + np.uint64(count) * _GOLDEN)
        time_s -= math.log((np.float64(following >> np.uint64(11)) + 0.5) * _UNIT_53) / total
    state_count[0], state_time[0] = count, time_s
    return filled


@njit(nogil=True, cache=True)
def detect_and_tag(
    signal_s,
    signal_marks,
    signal_count,
    background_s,
    background_marks,
    background_count,
    dead_time_s,
    common_hold_off,
    last_s,
    clicks,
    jitter_ps,
    clock_origin_s,
    clock_origin_ps,
    clock_rate,
    delay_ps,
    passes,
    resolution_ps,
    tag_count,
    times_ps,
    channels,
):
    """Merge both kinds of events, apply dead times and jitter, and tag what passes the tagger's inputs.

    ``last_s`` (4): last click of each detector, ``clicks`` (4) their number, ``tag_count`` (4) tags by input; all
    updated. True time t reads ``clock_origin_ps + (t - clock_origin_s) * 1e12 * clock_rate`` on the tagger's clock.
    Returns the number of tags written to ``times_ps`` and ``channels`` (inputs 1..4), in order of the clicks.
    """
    i = j = filled = 0
    while i < signal_count or j < background_count:
        if j >= background_count or (i < signal_count and signal_s[i] <= background_s[j]):
            time_s, mark = signal_s[i], signal_marks[i]
            i += 1
        else:
            time_s, mark = background_s[j], background_marks[j]
            j += 1
        detector = mark & 3
        if time_s - last_s[detector] < dead_time_s[detector]:
            continue
        if common_hold_off:
            for each in range(4):
                last_s[each] = time_s
        else:
            last_s[detector] = time_s
        clicks[detector] += 1
        if passes[detector]:
            exact_ps = clock_origin_ps + (time_s - clock_origin_s) * clock_rate * 1e12
            exact_ps += jitter_ps[detector, mark >> 2] + delay_ps[detector]
            times_ps[filled] = np.int64(math.floor(exact_ps / resolution_ps)) * resolution_ps
            channels[filled] = detector + 1
            tag_count[detector] += 1
            filled += 1
    return filled
