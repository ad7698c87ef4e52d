"""Volts of the pattern generator as light, sample by sample: the compiled part of :mod:`waveform`."""

import math

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def settle(volts, fine, keep, half, curve):
    """Return what one pole makes of a repeating row of samples, at the middle of each of ``fine`` parts of a sample.

    ``keep``, ``half``: what is left of a change after a part, and after half of one. ``curve`` is overwritten.
    """
    # Two turns: the first finds where an endless row begins, since what is left of it fades as that of one pole does.
    edge, kept = 0.0, keep**fine
    for value in volts:
        edge = value + (edge - value) * kept
    edge = edge / (1.0 - kept ** len(volts))
    place = 0
    for value in volts:
        for _ in range(fine):
            curve[place] = value + (edge - value) * half
            edge = value + (edge - value) * keep
            place += 1


@njit(nogil=True, cache=True)
def shine(carver, decoy, polarizer, slopes, offsets, floors, power, energy, stokes):
    """Fill in the light of slots: ``power`` (slots, parts), its sum, and its mean Stokes vector's first two parts.

    ``carver``, ``decoy``, ``polarizer``: volts at the modulators; ``slopes`` and ``offsets`` make angles of them.
    ``floors``: the least transmission of the first two.
    """
    slots, parts = power.shape
    n = 0
    for slot in range(slots):
        total = along = across = 0.0
        for part in range(parts):
            first = math.cos(slopes[0] * carver[n] + offsets[0])
            second = math.cos(slopes[1] * decoy[n] + offsets[1])
            light = floors[0] + (1.0 - floors[0]) * first * first
            light *= floors[1] + (1.0 - floors[1]) * second * second
            angle = slopes[2] * polarizer[n] + offsets[2]
            power[slot, part] = light
            total += light
            along += light * math.cos(angle)
            across += light * math.sin(angle)
            n += 1
        total = max(total, 1e-300)
        energy[slot], stokes[slot, 0], stokes[slot, 1] = total, along / total, across / total


@njit(nogil=True, cache=True)
def fingerprints(power, energy, steps, found):
    """Fill in a number for each slot that is the same for slots whose light is spread alike, in ``steps`` steps."""
    slots, parts = power.shape
    for slot in range(slots):
        number = np.uint64(1469598103934665603)
        for part in range(parts):
            share = np.uint64(np.int64(np.rint(power[slot, part] / energy[slot] * steps)))
            number = (number ^ share) * np.uint64(1099511628211)
        found[slot] = number


@njit(nogil=True, cache=True)
def add_up(power, classes, together):
    """Add the light of each slot to that of its class: ``together`` (classes, parts)."""
    slots, parts = power.shape
    for slot in range(slots):
        for part in range(parts):
            together[classes[slot], part] += power[slot, part]
