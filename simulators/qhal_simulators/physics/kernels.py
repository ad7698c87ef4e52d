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
_BLOCK = 512
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
    kind_of_slot,
    kinds,
    axes,
    weights,
    noise_key,
    brightness,
    origin_s,
    origin_position,
    slot_s,
    times_s,
    marks,
):
    """Draw the photo-events of the signal before a slot of the pattern.

    ``state_count``: [number of the next draw, period it falls in]; ``state_energy``: [its cumulated energy in
    that period], both updated. ``scale``: detected events per unit of energy for the best detector.
    ``guide``, ``shapes``, ``kind_of_slot``, ``kinds``: of a :class:`LightPattern`. ``axes`` (2, 3): analysers of basis
    0 and 1, scaled by their contrast; ``weights`` (4): efficiencies relative to the best. ``brightness``: quantiles of
    a pulse's intensity over its mean, ascending (empty: no noise); ``scale`` is then that of the brightest. A slot at
    position p is at ``origin_s + (p - origin_position) * slot_s``. Returns the number of events, and whether there are
    more for which the buffers have no room.
    """
    filled = 0
    more = True
    positions = np.empty(_BLOCK, np.int64)
    draws = np.empty(_BLOCK, np.uint64)
    while more and filled + _BLOCK <= len(times_s):
        found = _positions(
            key, state_count, state_energy, stop_period, stop_slot, scale, cumulative, guide, positions, draws
        )
        more = found == _BLOCK
        filled = _receive(
            positions[:found],
            draws,
            shapes,
            kind_of_slot,
            kinds,
            axes,
            weights,
            noise_key,
            brightness,
            origin_s,
            origin_position,
            slot_s,
            times_s,
            marks,
            filled,
        )
    return filled, more


@njit(nogil=True, cache=True)
def _positions(
    key, state_count, state_energy, stop_period, stop_slot, scale, cumulative, guide, positions, draws
):
    """Find the slots of the next events: a loop with nothing but the chain, so that memory is waited for once."""
    slots = len(cumulative) - 1
    total = cumulative[slots]
    steps_per_energy = (len(guide) - 1) / total
    inverse_scale = 1.0 / scale
    count, period = state_count[0], state_count[1]
    energy = state_energy[0]
    found = 0
    draw = _mix(key + np.uint64(count) * _GOLDEN)
    while found < len(positions):
        while energy >= total:
            energy -= total
            period += 1
        slot = np.int64(guide[np.int64(energy * steps_per_energy)])
        while cumulative[slot + 1] <= energy:
            slot += 1
        if period > stop_period or (period == stop_period and slot >= stop_slot):
            break
        positions[found] = period * slots + slot
        draws[found] = draw
        found += 1
        count += 1
        draw = _mix(key + np.uint64(count) * _GOLDEN)
        energy -= math.log((np.float64(draw >> np.uint64(11)) + 0.5) * _UNIT_53) * inverse_scale
    state_count[0], state_count[1] = count, period
    state_energy[0] = energy
    return found


@njit(nogil=True, cache=True)
def _receive(
    positions,
    draws,
    shapes,
    kind_of_slot,
    kinds,
    axes,
    weights,
    noise_key,
    brightness,
    origin_s,
    origin_position,
    slot_s,
    times_s,
    marks,
    filled,
):
    """Place each event within its slot and choose its detector, or none; return how many rows are filled now."""
    slots = len(kind_of_slot)
    finest = shapes.shape[1] - 1
    x0, y0, z0 = axes[0, 0], axes[0, 1], axes[0, 2]
    x1, y1, z1 = axes[1, 0], axes[1, 1], axes[1, 2]
    w0, w1, w2, w3 = weights[0], weights[1], weights[2], weights[3]
    slot = positions[0] % slots if len(positions) else 0
    before = positions[0] if len(positions) else 0
    for n in range(len(positions)):
        slot += positions[n] - before
        before = positions[n]
        while slot >= slots:
            slot -= slots
        second = _mix(draws[n] + _GOLDEN)
        place = np.float64(second >> np.uint64(32)) * _UNIT_32 * finest
        cell = np.int64(place)
        kind = kind_of_slot[slot]
        x, y, z, shape = kinds[kind, 0], kinds[kind, 1], kinds[kind, 2], np.int64(kinds[kind, 3])
        low = shapes[shape, cell]
        within = low + (place - cell) * (shapes[shape, cell + 1] - low)
        straight = x0 * x + y0 * y + z0 * z
        diagonal = x1 * x + y1 * y + z1 * z
        choice = np.float64(second & _LOW_32) * _UNIT_32 * 4.0
        if len(brightness):
            own = _mix(noise_key + np.uint64(positions[n]) * _GOLDEN)
            choice *= brightness[-1] / brightness[np.int64(own & np.uint64(JITTER_STEPS - 1))]
        edge0 = w0 * (1.0 + straight)
        edge1 = edge0 + w1 * (1.0 - straight)
        edge2 = edge1 + w2 * (1.0 + diagonal)
        edge3 = edge2 + w3 * (1.0 - diagonal)
        # Sums of comparisons, because branches on a random choice are mispredicted.
        detector = np.int64(choice >= edge0) + np.int64(choice >= edge1) + np.int64(choice >= edge2)
        time_s = origin_s + (np.float64(positions[n]) + within - origin_position) * slot_s
        mark = np.int32(np.int64(draws[n] & np.uint64(JITTER_STEPS - 1)) * 4 + detector)
        row = filled
        if row > 0 and times_s[row - 1] > time_s and choice < edge3:
            # Two events of one slot may come in the wrong order.
            while row > 0 and times_s[row - 1] > time_s:
                times_s[row], marks[row] = times_s[row - 1], marks[row - 1]
                row -= 1
        times_s[row], marks[row] = time_s, mark
        filled += np.int64(choice < edge3)
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
    stop_s,
    dead_time_s,
    recovery_s,
    gate,
    gate_turn_ps,
    common_hold_off,
    last_s,
    clicks,
    after_key,
    after_probability,
    after_shares,
    after_lifetimes_s,
    pending_s,
    pending_count,
    jitter_ps,
    clock_origin_s,
    clock_origin_ps,
    clock_rate,
    delay_ps,
    passes,
    resolution_ps,
    edges_ps,
    tag_count,
    times_ps,
    channels,
):
    """Merge both kinds of events with afterpulses, apply dead times, recovery and jitter, and tag what passes.

    ``stop_s``: later events are still to come. ``last_s`` (4): last click of each detector, ``clicks`` (4) their
    number, ``tag_count`` (4) tags by input, ``pending_s`` (4, n) and ``pending_count`` (4) afterpulses to come; all
    updated. An afterpulse follows a click with ``after_probability``, the dead time and an exponential time of one of
    the lifetimes (``after_shares``: cumulated) later. ``gate`` (4, n): relative efficiency over a turn of the gates,
    ``gate_turn_ps`` long on the receiver's clock (0: free running). ``recovery_s``: time constant of the efficiency
    after the dead time. True time t reads ``clock_origin_ps + (t - clock_origin_s) * 1e12 * clock_rate`` on the
    tagger's clock; ``edges_ps``: of its unequal bins, repeating (empty: equal ones). Returns the number of tags
    written to ``times_ps`` and ``channels`` (inputs 1..4), in order of the clicks; -1 when ``pending_s`` is
    full, -2 when the output is.
    """
    i = j = filled = 0
    after_s, after_of = _soonest(pending_s, pending_count)
    while True:
        time_s, mark, source = np.inf, np.int32(0), 0
        if i < signal_count:
            time_s, mark, source = signal_s[i], signal_marks[i], 1
        if j < background_count and background_s[j] < time_s:
            time_s, mark, source = background_s[j], background_marks[j], 2
        if after_s < stop_s and after_s < time_s:
            detector = after_of
            time_s = after_s
            draw = _mix(after_key + _time_bits(after_s))
            mark = np.int32(np.int64(draw & np.uint64(JITTER_STEPS - 1)) * 4 + detector)
            _take_soonest(pending_s[detector], pending_count, detector)
            after_s, after_of = _soonest(pending_s, pending_count)
        elif source == 0:
            break
        else:
            i += source == 1
            j += source == 2
            detector = mark & 3
            if recovery_s > 0:
                since = time_s - last_s[detector] - dead_time_s[detector]
                if 0 <= since < 40 * recovery_s:
                    draw = _mix(after_key ^ _time_bits(time_s))
                    if np.float64(draw >> np.uint64(11)) * _UNIT_53 >= 1 - math.exp(-since / recovery_s):
                        continue
        if gate_turn_ps > 0:
            turn = (clock_origin_ps + (time_s - clock_origin_s) * clock_rate * 1e12) / gate_turn_ps
            phase = np.int64((turn - math.floor(turn)) * gate.shape[1])
            draw = _mix((after_key + _GOLDEN) ^ _time_bits(time_s))
            if np.float64(draw >> np.uint64(11)) * _UNIT_53 >= gate[detector, phase]:
                continue
        if time_s - last_s[detector] < dead_time_s[detector]:
            continue
        if common_hold_off:
            for each in range(4):
                last_s[each] = time_s
        else:
            last_s[detector] = time_s
        clicks[detector] += 1
        if after_probability > 0:
            draw = _mix(after_key + np.uint64(clicks[detector] * 4 + detector) * _GOLDEN)
            uniform = (np.float64(draw >> np.uint64(11)) + 0.5) * _UNIT_53
            if uniform < after_probability:
                if pending_count[detector] == pending_s.shape[1]:
                    return -1
                choice = np.float64(_mix(draw + _GOLDEN) >> np.uint64(11)) * _UNIT_53
                kind = 0
                while kind < len(after_shares) - 1 and choice >= after_shares[kind]:
                    kind += 1
                wait_s = -math.log(uniform / after_probability) * after_lifetimes_s[kind]
                pending_s[detector, pending_count[detector]] = time_s + dead_time_s[detector] + wait_s
                pending_count[detector] += 1
                after_s, after_of = _soonest(pending_s, pending_count)
        if passes[detector]:
            if filled == len(times_ps):
                return -2
            exact_ps = clock_origin_ps + (time_s - clock_origin_s) * clock_rate * 1e12
            exact_ps += jitter_ps[detector, mark >> 2] + delay_ps[detector]
            if len(edges_ps) == 0:
                tag_ps = np.int64(math.floor(exact_ps / resolution_ps)) * resolution_ps
            else:
                tag_ps = _unequal_bin(exact_ps, resolution_ps, edges_ps)
            row = filled
            # Jitter and cables turn a few neighbours round; longer delays are sorted when the tags are taken.
            while row > 0 and filled - row < 4 and times_ps[row - 1] > tag_ps:
                times_ps[row], channels[row] = times_ps[row - 1], channels[row - 1]
                row -= 1
            times_ps[row], channels[row] = tag_ps, detector + 1
            tag_count[detector] += 1
            filled += 1
    return filled


@njit(inline="always")
def _time_bits(time_s):
    """Return a number that only this moment has (to 0.1 ps): what is drawn for it depends on nothing else."""
    return np.uint64(np.int64(time_s * 1e13)) * _GOLDEN


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
def _unequal_bin(exact_ps, resolution_ps, edges_ps):
    """Return the nominal time of the bin that a time falls into; ``edges_ps`` of one turn of the interpolator."""
    bins = len(edges_ps) - 1
    turn_ps = bins * resolution_ps
    turn = np.int64(math.floor(exact_ps / turn_ps))
    within = exact_ps - turn * turn_ps
    place = np.int64(within / resolution_ps)
    if place >= bins:
        place = np.int64(bins - 1)
    while place > 0 and edges_ps[place] > within:
        place -= 1
    while place < bins - 1 and edges_ps[place + 1] <= within:
        place += 1
    return turn * turn_ps + place * resolution_ps
