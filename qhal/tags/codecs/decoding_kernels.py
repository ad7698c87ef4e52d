"""Compiled decoders: one pass over the records, nothing but integers. Each has a numpy twin beside its codec."""

import numpy as np
from numba import njit

_BLOCK = 512
_GROUP = 64


@njit(nogil=True, cache=True)
def decode_picoquant(
    words,
    time_bits,
    dtime_bits,
    channel_shift,
    special_channel,
    lowest,
    highest,
    offset,
    wrap,
    counted,
    overflow,
    latest,
    tolerance,
    limit,
    ticks,
    channels,
    dtimes,
):
    """Decode 32-bit T2 or T3 words of one chunk; ``dtimes`` is empty for T2.

    The layout is a :class:`~qhal.tags.codecs.picoquant.RecordLayout`. ``overflow``: ticks before this chunk;
    ``latest``: the last time before it, ``tolerance``: by how much a time may be before an earlier one, ``limit``: the
    last tick.
    Returns (records written, overflow after it, whether times ascend, index of the first impossible word or -1).
    """
    shift = np.uint32(channel_shift)
    first_special = np.uint32(special_channel << channel_shift)
    time_mask = (np.uint32(1) << np.uint32(time_bits)) - np.uint32(1)
    lowest_photon, highest_photon = np.uint32(lowest), np.uint32(min(highest, special_channel - 1))
    places = np.empty(_BLOCK + 1, np.int64)
    filled, ordered, bad = 0, True, -1
    for i in range(0, len(words), _BLOCK):
        block = words[i : i + _BLOCK]
        # Where the special words are: most groups have none, and one comparison of the compiler's says so.
        specials = 0
        for group in range(0, len(block), _GROUP):
            words_of_group = block[group : group + _GROUP]
            found = False
            for n in range(len(words_of_group)):
                found |= words_of_group[n] >= first_special
            if found:
                for n in range(len(words_of_group)):
                    if words_of_group[n] >= first_special:
                        places[specials] = group + n
                        specials += 1
        places[specials] = len(block)
        begin = 0
        for k in range(specials + 1):
            stop = places[k]
            count = stop - begin
            if count > 0 and overflow <= limit - time_mask and _decode_photons(
                block[begin:stop], time_mask, shift, lowest_photon, highest_photon, offset, overflow, latest,
                ticks[filled : filled + count], channels[filled : filled + count],
            ):  # fmt: skip
                if dtime_bits > 0:
                    _decode_dtimes(block[begin:stop], time_bits, dtime_bits, dtimes[filled : filled + count])
                filled += count
                begin = stop
                latest = ticks[filled - 1]
            if begin < len(block):
                # The special word, or what did not go so smoothly before it.
                last = min(stop + 1, len(block))
                filled, overflow, latest, ordered, bad = _decode_singly(
                    block[begin:last], time_bits, dtime_bits, shift, special_channel, lowest, highest, offset, wrap,
                    counted, overflow, latest, tolerance, limit, ordered, ticks, channels, dtimes, filled,
                )  # fmt: skip
                if bad >= 0:
                    return filled, overflow, ordered, i + begin + bad
                begin = last
    return filled, overflow, ordered, bad


@njit(nogil=True, cache=True)
def _decode_singly(
    words, time_bits, dtime_bits, shift, special_channel, lowest, highest, offset, wrap, counted, overflow, latest,
    tolerance, limit, ordered, ticks, channels, dtimes, filled,
):  # fmt: skip
    """Decode words one by one, whatever they are; as :func:`decode_picoquant`, with ``latest`` and ``filled``."""
    t3 = dtime_bits > 0
    time_mask = (np.uint32(1) << np.uint32(time_bits)) - np.uint32(1)
    dtime_mask = (np.uint32(1) << np.uint32(dtime_bits)) - np.uint32(1)
    dtime_shift, special_from = np.uint32(time_bits), np.uint32(special_channel)
    for n in range(len(words)):
        word = words[n]
        time = np.int64(word & time_mask)
        channel = word >> shift
        dtime = np.uint16(0)
        if channel >= special_from:
            if special_channel == 15:  # PicoHarp 300: one kind of special record, told apart by a field
                field = np.int64(word & np.uint32(15))
                if t3:
                    field = np.int64((word >> dtime_shift) & dtime_mask)
                if field == 0:
                    if overflow > limit - wrap:
                        return filled, overflow, latest, ordered, n
                    overflow += wrap
                    continue
                if field > 15:
                    return filled, overflow, latest, ordered, n
                number = np.int64(200) + field
                if not t3:
                    time &= np.int64(~15)
            else:
                number = np.int64(channel - special_from)
                if number == 63:
                    step = wrap * max(time, np.int64(1)) if counted else np.int64(wrap)
                    if overflow > limit - step:
                        return filled, overflow, latest, ordered, n
                    overflow += step
                    continue
                if number > 15 or (t3 and number == 0):
                    return filled, overflow, latest, ordered, n
                number = number + np.int64(200) if number > 0 else np.int64(0)
        elif channel < lowest or channel > highest:
            return filled, overflow, latest, ordered, n
        else:
            number = np.int64(channel) + offset
            dtime = np.uint16((word >> dtime_shift) & dtime_mask)
        if overflow > limit - time or time + overflow < latest - tolerance:
            return filled, overflow, latest, ordered, n
        time += overflow
        if time < latest:
            ordered = False
        else:
            latest = time
        ticks[filled] = time
        channels[filled] = np.uint8(number)
        if t3:
            dtimes[filled] = dtime
        filled += 1
    return filled, overflow, latest, ordered, -1


@njit(inline="always")
def _decode_dtimes(words, time_bits, dtime_bits, dtimes):
    mask = (np.uint32(1) << np.uint32(dtime_bits)) - np.uint32(1)
    for n in range(len(words)):
        dtimes[n] = np.uint16((words[n] >> np.uint32(time_bits)) & mask)


@njit(inline="always")
def _decode_photons(words, time_mask, shift, lowest, highest, offset, overflow, latest, ticks, channels):
    """Decode a run of words as if all were photons in order; tell whether it is so. No branches, as below."""
    foreign = np.uint32(0)
    for n in range(len(words)):
        channel = words[n] >> shift
        foreign |= np.uint32(channel > highest) | np.uint32(channel < lowest)
        channels[n] = np.uint8(channel + np.uint32(offset))
    for n in range(len(words)):
        ticks[n] = np.int64(words[n] & time_mask) + overflow
    back = ticks[0] - latest
    for n in range(1, len(words)):
        back |= ticks[n] - ticks[n - 1]
    return foreign == 0 and back >= 0


@njit(nogil=True, cache=True)
def decode_patterns(
    words, begin, before, base, latest, time_shift, time_bits, factor, halvings, dummy, constant, tolerance, limit,
    times, channels, head,
):  # fmt: skip
    """Decode 64-bit event words, time above and detector pattern below, as far as the output has room.

    Times become ``base + (ticks * factor >> halvings)``; ``base`` moves by a period of the time field where the field
    wraps: a step of more than three quarters of a period ahead is one of less than a quarter back. A word with several
    pattern bits gives several tags, one with the ``dummy`` bit none and no order; all bits of ``constant`` must be
    set. ``before``: ticks of the word ahead; ``latest``: the latest time so far; ``tolerance``: by how much a time may
    be before it; ``limit``: the last time. Tags are written from place ``head`` on. Returns (words consumed, places
    filled, ticks and base of the last word, latest time, whether times ascend, what the next word is: 0 fine, 1 no
    event, 2 too early, 3 beyond the limit).
    """
    shift = np.uint64(time_shift)
    wrap = (np.int64(factor) << np.int64(time_bits)) >> np.int64(halvings)
    most = (np.int64(3) << np.int64(time_bits)) >> np.int64(2)
    mask = (np.int64(1) << np.int64(time_bits)) - np.int64(1)
    kept = np.uint64(15) | dummy
    filled, i = head, begin
    ordered = True
    while i < len(words):
        count = min(_BLOCK, len(words) - i)
        if filled + 4 * count > len(times):
            break
        piece = words[i : i + count]
        first, last = np.int64(piece[0] >> shift), np.int64(piece[count - 1] >> shift)
        if before <= first and last - before <= most and base <= limit - wrap and _decode_regular(
            piece, latest, shift, factor, halvings, kept, constant, base, times[filled : filled + count],
            channels[filled : filled + count],
        ):  # fmt: skip
            filled += count
            before = last
            latest = times[filled - 1]
        else:
            for n in range(count):
                word = piece[n]
                if word & constant != constant:
                    return i + n, filled, before, base, latest, ordered, 1
                ticks = np.int64(word >> shift)
                moved = base
                if (ticks - before) & mask <= most:
                    if ticks < before:
                        moved += wrap
                elif ticks > before:
                    moved -= wrap
                time = (ticks * factor) >> halvings
                if moved < -wrap or moved > limit - time:
                    return i + n, filled, before, base, latest, ordered, 3
                time += moved
                live = word & dummy == 0 and word & np.uint64(15) != 0
                if live:
                    if time < latest - tolerance:
                        return i + n, filled, before, base, latest, ordered, 2
                    if time < latest:
                        ordered = False
                    else:
                        latest = time
                before, base = ticks, moved
                if not live:
                    continue
                for bit in range(4):
                    if word >> np.uint64(bit) & np.uint64(1):
                        times[filled] = time
                        channels[filled] = bit + 1
                        filled += 1
        i += count
    return i, filled, before, base, latest, ordered, 0


@njit(inline="always")
def _decode_regular(words, latest, shift, factor, halvings, kept, constant, base, times, channels):
    """Decode words as if each had one pattern bit and no earlier time than the last; tell whether it is so.

    Loops without a branch, each over so little that it stays in the nearest cache: the compiler takes several
    words at once.
    """
    irregular = np.uint64(0)
    for n in range(len(words)):
        word = words[n]
        irregular |= (word & constant) ^ constant
        # Bit p of the number below is set where pattern p is a single bit of the lowest four.
        irregular |= ((np.uint64(0b1_0001_0110) >> (word & kept)) & np.uint64(1)) ^ np.uint64(1)
        times[n] = ((np.int64(word >> shift) * factor) >> halvings) + base
    for n in range(len(words)):
        low = np.uint32(words[n] & np.uint64(15))
        channels[n] = np.uint8(np.uint32(1) + np.uint32(low > 1) + np.uint32(low > 2) + np.uint32(low > 4))
    back = times[0] - latest
    for n in range(1, len(words)):
        back |= times[n] - times[n - 1]
    return irregular == 0 and back >= 0
