"""The compiled loops over tags. Plain arrays in and out; the callers own all state.

Symbol coordinates: the pulse of symbol n arrives where ``u = n``, and ``u`` runs on linearly in time, ``u =
symbol + fraction + (t - start) * rate`` with the integer apart, so that an endless stream loses no digits.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

CURRENT, PLACE, MASK, IS_LIVE, LIVE_SYMBOLS = range(5)
NO_DETECTOR = 255
PHASE_BINS = 1024
_BLOCK = 2048


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


@njit(inline="always")
def _next_symbol(n, current, place, mask, live, hold, codes, outcomes, edges, doubles, found):
    """Settle the current symbol and continue with symbol ``n``; return its place, whether it is live, doubles found.

    Nothing here branches on what clicked: whether a click is live, sifted or wrong is as good as random, and a branch
    on it would be guessed wrongly half of the time. Even a branch that is never taken makes the loop four times
    slower, because the compiler then spreads it over the others. A double click, whose random bit takes longer than
    all the rest, is written down each time and stays only when it was one.
    """
    code = np.int64(codes[np.uint64(place)])
    outcomes[np.uint64(code), np.uint64(mask)] += live
    doubles[np.uint64(found)] = current << 4 | code
    found += live & np.int64(mask == 3 << (code >> 2 & 2))
    is_live = np.int64(n > current + hold)
    edges[np.uint64(place)] += is_live + (live << 32)
    place += n - current
    while place >= len(codes):  # seldom more than once: much faster than a division
        place -= len(codes)
    return place, is_live, found


@njit(inline="always")
def _throw_coins(doubles, found, seed, luck):
    """Count the random bits of double clicks that came out wrong."""
    for k in range(found):
        code = doubles[k] & 15
        luck[code & 3, code >> 3] += bad_luck(doubles[k] >> 4, code >> 2, seed)


@njit(nogil=True, cache=True)
def bad_luck(symbol: int, state: int, seed: int) -> int:
    """Return 1 when the random bit of a double click in the sender's basis is wrong, else 0."""
    return int(random_bit(seed, symbol) != (state & 1))


@njit(nogil=True, cache=True)
def sift(
    symbols: NDArray[np.int64],
    detectors: NDArray[np.uint8],
    offsets_ps: NDArray[np.float32],
    half_window_ps: float,
    hold: int,
    codes: NDArray[np.uint8],
    seed: int,
    state: NDArray[np.int64],
    outcomes: NDArray[np.int64],
    edges: NDArray[np.int64],
    luck: NDArray[np.int64],
) -> bool:
    """Count the tags of ascending symbols; return whether they were.

    ``codes``: intensity + 4 * state of each symbol of the pattern. ``state``: CURRENT symbol with its PLACE in the
    pattern, the MASK of its detectors that clicked in the window (bit ``2 * basis + bit``), whether it IS_LIVE, and
    LIVE_SYMBOLS without a tag so far. ``outcomes`` (16, 16): live symbols by code and mask. ``edges``: stretches of
    live symbols by the place of the tags before them (lower half of a number), and of those that end them (upper
    half). ``luck`` (3, 2): wrong random bits by intensity and basis.
    """
    current, place, mask, live = state[CURRENT], state[PLACE], state[MASK], state[IS_LIVE]
    live_symbols = state[LIVE_SYMBOLS]
    doubles = np.empty(_BLOCK, np.int64)
    # Both halves are counted when a symbol is left, the current one's upper half for the time between calls, too.
    edges[place] -= live << 32
    for begin in range(0, len(symbols), _BLOCK):
        found = 0
        for i in range(begin, min(begin + _BLOCK, len(symbols))):
            n = symbols[i]
            if n != current:
                if n < current:
                    return False
                place, live, found = _next_symbol(
                    n, current, place, mask, live, hold, codes, outcomes, edges, doubles, found
                )
                live_symbols += live * (n - current - hold - 1)
                current, mask = n, np.int64(0)
            mask |= np.int64(abs(offsets_ps[i]) < half_window_ps) << np.int64(detectors[i])
        _throw_coins(doubles, found, seed, luck)
    edges[place] += live << 32
    state[CURRENT], state[PLACE], state[MASK], state[IS_LIVE] = current, place, mask, live
    state[LIVE_SYMBOLS] = live_symbols
    return True


@njit(nogil=True, cache=True)
def sift_words(
    words: NDArray[np.uint64],
    time_shift: int,
    start: int,
    symbol: int,
    fraction: float,
    rate: float,
    half_window: float,
    masks: NDArray[np.int64],
    hold: int,
    codes: NDArray[np.uint8],
    seed: int,
    state: NDArray[np.int64],
    outcomes: NDArray[np.int64],
    edges: NDArray[np.int64],
    luck: NDArray[np.int64],
) -> bool:
    """Do the same from a tagger's own words in one pass: decode, fold, gate, sift.

    The time of a word is above ``time_shift``, its detectors are ``masks`` (32) of its lowest five bits; none at all
    is a dummy. Ticks t are at symbol coordinate ``symbol + fraction + (t - start) * rate``; ``half_window`` is in
    symbols, and a slot begins that much before its pulse.
    """
    current, place, mask, live = state[CURRENT], state[PLACE], state[MASK], state[IS_LIVE]
    live_symbols = state[LIVE_SYMBOLS]
    doubles = np.empty(_BLOCK, np.int64)
    shift = np.uint64(time_shift)
    lead = fraction + half_window
    edges[place] -= live << 32
    for begin in range(0, len(words), _BLOCK):
        found = 0
        for i in range(begin, min(begin + _BLOCK, len(words))):
            detectors = masks[words[i] & np.uint64(31)]
            if detectors == 0:
                continue
            u = lead + np.float64(np.int64(words[i] >> shift) - start) * rate
            whole = np.int64(u)  # never negative
            n = symbol + whole
            if n != current:
                if n < current:
                    return False
                place, live, found = _next_symbol(
                    n, current, place, mask, live, hold, codes, outcomes, edges, doubles, found
                )
                live_symbols += live * (n - current - hold - 1)
                current, mask = n, np.int64(0)
            mask |= detectors * np.int64(u - whole < 2 * half_window)
        _throw_coins(doubles, found, seed, luck)
    edges[place] += live << 32
    state[CURRENT], state[PLACE], state[MASK], state[IS_LIVE] = current, place, mask, live
    state[LIVE_SYMBOLS] = live_symbols
    return True
