"""The compiled loops over interleaved tags. All state is in arrays of the caller, so a stream may be cut anywhere.

Partners are looked for backwards in the stream itself, as far as the window reaches: most tags have no neighbour
that near, and then a comparison is all they cost. ``before_times`` and ``before_channels`` hold the end of the
stream ahead of this piece, at least as far as the window reaches.
"""

import numpy as np
from numba import njit

_A, _B = 1, 2
_LONG_AGO = -(1 << 62)
_SPARE_BINS = 64


@njit(nogil=True, cache=True)
def count_channels(channels, counts):
    """Add the tags of each channel number to ``counts`` (256)."""
    # Two tables, because adding to one place twice in a row waits for the memory.
    other = np.zeros(256, np.int64)
    paired = len(channels) - len(channels) % 2
    for i in range(0, paired, 2):
        counts[channels[i]] += 1
        other[channels[i + 1]] += 1
    for i in range(paired, len(channels)):
        counts[channels[i]] += 1
    counts += other


@njit(nogil=True, cache=True)
def count_pairs(times, channels, before_times, before_channels, roles, low, high):
    """Count pairs with a lag ``b - a`` from ``low`` to ``high``, each when its later tag comes.

    ``roles`` (256): 1 for tags a, 2 for b, 3 for both.
    """
    reach = max(high, -low)
    previous = before_times[-1] if len(before_times) else np.int64(_LONG_AGO)
    pairs = 0
    for i in range(len(times)):
        time = times[i]
        if time - previous <= reach:
            role = roles[channels[i]]
            if role != 0:
                k = i - 1
                while k >= 0 and time - times[k] <= reach:
                    pairs += _is_pair(time - times[k], roles[channels[k]], role, low, high)
                    k -= 1
                if k < 0:
                    k = len(before_times) - 1
                    while k >= 0 and time - before_times[k] <= reach:
                        pairs += _is_pair(time - before_times[k], roles[before_channels[k]], role, low, high)
                        k -= 1
        previous = time
    return pairs


@njit(inline="always")
def _is_pair(distance, earlier, later, low, high):
    """Return how many pairs two tags make: with b after a, and for an autocorrelation with a after b, too."""
    forth = (earlier & _A) & (later >> 1) & (distance >= low) & (distance <= high)
    back = (earlier >> 1) & (later & _A) & (-distance >= low) & (-distance <= high)
    return np.int64(forth) + np.int64(back)


@njit(nogil=True, cache=True)
def histogram_pairs(times, channels, before_times, before_channels, roles, low, bin_ps, histogram):
    """Add pairs to bins of their lag ``b - a``, of ``bin_ps`` each from ``low`` on; as :func:`count_pairs`."""
    high = low + bin_ps * len(histogram) - 1
    reach = max(high, -low)
    per_ps = 1.0 / bin_ps
    previous = before_times[-1] if len(before_times) else np.int64(_LONG_AGO)
    for i in range(len(times)):
        time = times[i]
        if time - previous <= reach:
            role = roles[channels[i]]
            if role != 0:
                k = i - 1
                while k >= 0 and time - times[k] <= reach:
                    _add_pair(time - times[k], roles[channels[k]], role, low, high, bin_ps, per_ps, histogram)
                    k -= 1
                if k < 0:
                    k = len(before_times) - 1
                    while k >= 0 and time - before_times[k] <= reach:
                        earlier = roles[before_channels[k]]
                        _add_pair(time - before_times[k], earlier, role, low, high, bin_ps, per_ps, histogram)
                        k -= 1
        previous = time


@njit(inline="always")
def _add_pair(distance, earlier, later, low, high, bin_ps, per_ps, histogram):
    if earlier & _A and later & _B and low <= distance <= high:
        histogram[_bin(distance - low, bin_ps, per_ps)] += 1
    if earlier & _B and later & _A and low <= -distance <= high:
        histogram[_bin(-distance - low, bin_ps, per_ps)] += 1


@njit(inline="always")
def _bin(distance, bin_ps, per_ps):
    """Return ``distance // bin_ps`` without a division, which is slow."""
    place = np.int64(distance * per_ps)
    place -= place * bin_ps > distance
    return place + ((place + 1) * bin_ps <= distance)


@njit(nogil=True, cache=True)
def count_tuples(times, channels, roles, low, high, begin, stop):
    """Count tuples of one tag of each role with lags to role 1 from ``low`` to ``high``.

    ``roles`` (256): 1..n, 0 for others. References are the tags of role 1 from index ``begin`` on whose last possible
    partner lies before ``stop``. Returns (tuples, index of the first reference that must wait).
    """
    count = roles.max()
    partners = np.empty(count + 1, np.int64)
    tuples = 0
    for i in range(begin, len(times)):
        if roles[channels[i]] != 1:
            continue
        time = times[i]
        if time + high >= stop:
            return tuples, i
        partners[:] = 0
        k = i - 1
        while k >= 0 and times[k] - time >= low:
            partners[roles[channels[k]]] += 1
            k -= 1
        k = i + 1
        while k < len(times) and times[k] - time <= high:
            partners[roles[channels[k]]] += 1
            k += 1
        tuples += partners[2 : count + 1].prod()
    return tuples, len(times)


@njit(nogil=True, cache=True)
def start_stop(times, channels, roles, last, bin_ps, histogram):
    """Add the time since the last start (role 1) of each stop (role 2 + row) to its row; return the last start."""
    rows, bins = histogram.shape
    per_ps = 1.0 / bin_ps
    longest = bin_ps * bins
    # No branch on the role, which is as good as random, and no min or max that becomes one: all roles have a row, and
    # what comes too late goes to bins beyond the last, by turns, because adding to one again and again would have to
    # wait for itself.
    found = np.zeros((rows + 2, bins + _SPARE_BINS), np.int64)
    for i in range(len(times)):
        role, time = roles[channels[i]], times[i]
        distance = time - last
        spare = bins + (i & (_SPARE_BINS - 1))
        place = spare + (-np.int64(distance < longest) & (_bin(distance, bin_ps, per_ps) - spare))
        found[role, place] += 1
        last = time if role == 1 else last
    histogram += found[2:, :bins]
    return last


@njit(nogil=True, cache=True)
def apply_dead_time(times, channels, dead_ps, last, extending, out_times, out_channels):
    """Keep tags at least a dead time after the last kept one (``extending``: the last one) of their channel."""
    filled = 0
    for i in range(len(times)):
        channel, time = channels[i], times[i]
        kept = time - last[channel] >= dead_ps[channel]
        out_times[filled], out_channels[filled] = time, channel
        filled += kept
        if kept or extending:
            last[channel] = time
    return filled


@njit(nogil=True, cache=True)
def merge(times_a, channels_a, times_b, channels_b, times, channels):
    """Merge two ascending lists into one; at equal times a comes first."""
    i = j = 0
    for n in range(len(times)):
        from_a = j >= len(times_b) or (i < len(times_a) and times_a[i] <= times_b[j])
        if from_a:
            times[n], channels[n] = times_a[i], channels_a[i]
            i += 1
        else:
            times[n], channels[n] = times_b[j], channels_b[j]
            j += 1
