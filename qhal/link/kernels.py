"""The compiled loops over tags. Plain arrays in and out; the callers own all state.

Symbol coordinates: the pulse of symbol n arrives where ``u = n``, and ``u`` runs on linearly in time, ``u =
symbol + fraction + (t - start) * rate`` with the integer apart, so that an endless stream loses no digits.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

LIVE, CLICKED, SIFTED, ERRORS, CROSS_BASIS, SAME_BASIS = range(6)
CURRENT, PLACE, MASK, IS_LIVE, NEXT, NEXT_PLACE = range(6)
NO_DETECTOR = 255
PHASE_BINS = 1024


@njit(nogil=True, cache=True)
def deskew(
    times_ps: NDArray[np.int64],
    channels: NDArray[np.uint8],
    detector_of: NDArray[np.uint8],
    skews_ps: NDArray[np.int64],
    filled: int,
    out_times_ps: NDArray[np.int64],
    out_detectors: NDArray[np.uint8],
) -> int:
    """Append tags of known detectors to ``filled`` entries, less their skew, ascending.

    Returns how many entries there are then. Skews move tags past few neighbours only, so sorting by
    insertion is linear.
    """
    for i in range(len(times_ps)):
        detector = detector_of[channels[i]]
        if detector == NO_DETECTOR:
            continue
        time = times_ps[i] - skews_ps[detector]
        j = filled
        while j > 0 and out_times_ps[j - 1] > time:
            out_times_ps[j] = out_times_ps[j - 1]
            out_detectors[j] = out_detectors[j - 1]
            j -= 1
        out_times_ps[j] = time
        out_detectors[j] = detector
        filled += 1
    return filled


@njit(nogil=True, cache=True)
def measure_block(
    times_ps: NDArray[np.int64],
    start_ps: int,
    symbol: int,
    fraction: float,
    rate: float,
    template: NDArray[np.float64],
    cosines: NDArray[np.float64],
    sines: NDArray[np.float64],
) -> tuple[float, float, float]:
    """Sum cosine and sine of the pulse phase, and the template at each tag's symbol.

    ``cosines``, ``sines``: one turn in PHASE_BINS steps, from phase -1/2 to 1/2 of a symbol.
    """
    cosine, sine, match = 0.0, 0.0, 0.0
    length = len(template)
    base = symbol % length
    for i in range(len(times_ps)):
        u = fraction + (times_ps[i] - start_ps) * rate + 0.5
        n = int(u)  # u is never negative
        phase = int((u - n) * PHASE_BINS)
        cosine += cosines[phase]
        sine += sines[phase]
        n += base
        if n >= length:
            n -= length
            if n >= length:  # a block longer than the pattern; divisions are slow
                n %= length
        match += template[n]
    return cosine, sine, match


@njit(nogil=True, cache=True)
def fold_block(
    times_ps: NDArray[np.int64],
    start_ps: int,
    symbol: int,
    fraction: float,
    rate: float,
    lead: float,
    period_ps: float,
    symbols: NDArray[np.int64],
    offsets_ps: NDArray[np.float32],
) -> None:
    """Write each tag's symbol and its offset from the pulse.

    A symbol's slot begins ``lead`` symbols before its pulse.
    """
    for i in range(len(times_ps)):
        u = fraction + (times_ps[i] - start_ps) * rate
        n = int(u + lead)  # never negative
        symbols[i] = symbol + n
        offsets_ps[i] = (u - n) * period_ps


@njit(nogil=True, cache=True)
def random_bit(seed: int, symbol: int) -> int:
    """Return the bit of one symbol: splitmix64 (Steele, Lea and Flood 2014) of seed and symbol number."""
    x = np.uint64(seed) + np.uint64(symbol) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return int((x ^ (x >> np.uint64(31))) & np.uint64(1))


@njit(nogil=True, cache=True)
def add_live(place: int, count: int, cumulative: NDArray[np.int32], counters: NDArray[np.int64]) -> int:
    """Add ``count`` symbols from a place of the pattern to the live counters; return the place after them.

    ``cumulative[i]``: symbols of each intensity among the first i of the pattern, length pattern + 1.
    """
    length = len(cumulative) - 1
    stop, turns = place + count, 0
    while stop >= length:  # seldom more than once: much faster than a division
        stop -= length
        turns += 1
    for k in range(3):
        counters[LIVE, k] += turns * cumulative[length, k] + cumulative[stop, k] - cumulative[place, k]
    return stop


@njit(nogil=True, cache=True)
def settle_symbol(
    symbol: int, code: int, mask: int, seed: int, counters: NDArray[np.int64], clicks: NDArray[np.int64]
) -> None:
    """Count one live symbol.

    ``code``: intensity + 4 * state of the symbol. ``mask``: bit ``2 * basis + bit`` set for each detector
    that clicked in the window.
    """
    k, state = code & 3, code >> 2
    counters[LIVE, k] += 1
    if mask == 0:
        return
    counters[CLICKED, k] += 1
    for detector in range(4):
        clicks[k, state, detector] += (mask >> detector) & 1
    if mask & 3 and mask >> 2:
        counters[CROSS_BASIS, k] += 1
        return
    basis = 0 if mask & 3 else 1
    which = mask >> (2 * basis)
    if which == 3:
        counters[SAME_BASIS, k] += 1
        value = random_bit(seed, symbol)
    else:
        value = which - 1
    if basis == state >> 1:
        counters[SIFTED, k] += 1
        counters[ERRORS, k] += value != (state & 1)


@njit(nogil=True, cache=True)
def sift(
    symbols: NDArray[np.int64],
    detectors: NDArray[np.uint8],
    offsets_ps: NDArray[np.float32],
    half_window_ps: float,
    hold_symbols: int,
    stop: int,
    codes: NDArray[np.uint8],
    cumulative: NDArray[np.int32],
    seed: int,
    state: NDArray[np.int64],
    counters: NDArray[np.int64],
    clicks: NDArray[np.int64],
) -> None:
    """Count the tags of ascending symbols, and the live symbols before ``stop``.

    ``state``: CURRENT symbol (-1: none) with its PLACE in the pattern, MASK of detectors and whether it
    IS_LIVE; NEXT symbol that can be live and is not yet counted, and its NEXT_PLACE. The symbol ``stop``
    stays open: more tags of it may follow.
    """
    length = len(codes)
    current, place, mask, live = state[CURRENT], state[PLACE], state[MASK], state[IS_LIVE]
    following, following_place = state[NEXT], state[NEXT_PLACE]
    for i in range(len(symbols) + 1):
        n = symbols[i] if i < len(symbols) else stop
        if n != current:
            if current >= 0 and live:
                settle_symbol(current, codes[place], mask, seed, counters, clicks)
            current = -1
        if i == len(symbols):
            break
        if current < 0:
            live = n >= following
            if live:
                following_place = add_live(following_place, n - following, cumulative, counters)
                following = n
            current, place, mask = n, following_place, 0
            following_place += n + hold_symbols + 1 - following
            following = n + hold_symbols + 1
            while following_place >= length:
                following_place -= length
        if abs(offsets_ps[i]) < half_window_ps:
            mask |= 1 << detectors[i]
    if following < stop:
        following_place = add_live(following_place, stop - following, cumulative, counters)
        following = stop
    state[CURRENT], state[PLACE], state[MASK], state[IS_LIVE] = current, place, mask, live
    state[NEXT], state[NEXT_PLACE] = following, following_place
