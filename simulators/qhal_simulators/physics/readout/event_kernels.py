"""Compiled: photo-events of signal and background.

Only what clicks is drawn, and a draw depends on nothing but its frame and its own number.

Photo-events of coherent light behind linear optics are independent Poisson processes, so the receiver sees
one inhomogeneous Poisson process that can be marked and thinned. The signal is drawn in cumulated energy,
a chain of unit exponentials ``-ln u(key, n)`` laid onto the cumulative energy of the repeating pattern; the
background is such a chain in time. A chain keeps its next event, so where an advance stops enters no
arithmetic: two half steps give the tags of one whole step, bit for bit.

Each chain restarts with every frame of FRAME_S, which changes nothing in distribution: exponentials have no memory.
So a frame can be drawn without those before it, and nothing need be drawn while no client records.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from qhal_simulators.physics.readout.draw_kernels import (
    GOLDEN,
    LOW_11,
    LOW_32,
    UNIT_32,
    draw,
    exponential,
    frame_key,
    mix,
    uniform,
)

FRAME_S = 2.5e-4
_BLOCK = 512


class Light(NamedTuple):
    """One period of the sender's light, as in a :class:`~qhal_simulators.physics.sender.light_pattern.LightPattern`."""

    cumulative: NDArray[np.float64]
    guide: NDArray[np.int32]
    shapes: NDArray[np.float32]
    kind_of_slot: NDArray[np.int32]
    kinds: NDArray[np.float32]


class Analysers(NamedTuple):
    """Probabilities of a photon's detector.

    ``axes`` (2, 4): offset and scaled axis of basis 0 and 1, see
    :class:`~qhal_simulators.physics.receiver.passive_receiver.PassiveReceiver`; ``weights`` (4): efficiency times
    fraction of the light, relative to the best. ``dimming``: quantiles of the brightest pulse's intensity over a
    pulse's own (empty: no noise), drawn by pulse with ``noise_key``.
    """

    axes: NDArray[np.float64]
    weights: NDArray[np.float64]
    noise_key: np.uint64
    dimming: NDArray[np.float64]


class Slots(NamedTuple):
    """When a slot arrives: position p at ``origin_s + (p - origin_position) * slot_s``."""

    origin_s: float
    origin_position: float
    slot_s: float


@njit(nogil=True, cache=True)
def signal_events(
    key, state, state_energy, frame_slots, stop_slot, scale, light, analysers, slots, times_s, marks
):
    """Draw the photo-events of the signal before a slot, counted from the pattern's start.

    ``state``: [frame, number of the next draw in it, period of the pattern it falls in]; ``state_energy``: [its
    cumulated energy in that period], both updated. A frame is ``frame_slots`` long. ``scale``: detected events per unit
    of energy for the best detector and, with noise, the brightest pulse. Returns the number of events, and whether
    there are more for which the buffers have no room.
    """
    filled = 0
    more = True
    positions = np.empty(_BLOCK, np.int64)
    draws = np.empty(_BLOCK, np.uint64)
    while more and filled + _BLOCK <= len(times_s):
        found = _positions(key, state, state_energy, frame_slots, stop_slot, scale, light, positions, draws)
        more = found == _BLOCK
        filled = _receive(positions[:found], draws, light, analysers, slots, times_s, marks, filled)
    return filled, more


@njit(nogil=True, cache=True)
def _positions(key, state, state_energy, frame_slots, stop_slot, scale, light, positions, draws):
    """Find the slots of the next events: a loop with nothing but the chain, so that memory is waited for once."""
    cumulative, guide = light.cumulative, light.guide
    slots = len(cumulative) - 1
    total = cumulative[slots]
    steps_per_energy = (len(guide) - 1) / total
    inverse_scale = 1.0 / scale
    frame, count, period = state[0], state[1], state[2]
    energy = state_energy[0]
    found = 0
    key_now = frame_key(key, frame)
    bits = draw(key_now, count)
    frame_end = (frame + 1) * frame_slots
    end = min(frame_end, stop_slot)
    end_period = end // slots
    end_energy = cumulative[end - end_period * slots]
    while found < len(positions):
        beyond = False
        if energy >= total:
            periods = np.floor(energy / total)
            beyond = periods > end_period - period  # weak light may have its next event years ahead
            if not beyond:
                period += np.int64(periods)
                energy = max(energy - periods * total, 0.0)
                if energy >= total:  # by rounding
                    energy -= total
                    period += 1
        if beyond or period > end_period or (period == end_period and energy >= end_energy):
            if frame_end >= stop_slot:
                break
            frame += 1
            count = 0
            period = frame_end // slots
            key_now = frame_key(key, frame)
            bits = draw(key_now, count)
            energy = cumulative[frame_end - period * slots] - math.log(uniform(bits)) * inverse_scale
            frame_end += frame_slots
            end = min(frame_end, stop_slot)
            end_period = end // slots
            end_energy = cumulative[end - end_period * slots]
            continue
        slot = np.int64(guide[np.int64(energy * steps_per_energy)])
        while cumulative[slot + 1] <= energy:
            slot += 1
        positions[found] = period * slots + slot
        draws[found] = bits
        found += 1
        count += 1
        bits = draw(key_now, count)
        energy -= math.log(uniform(bits)) * inverse_scale
    state[0], state[1], state[2] = frame, count, period
    state_energy[0] = energy
    return found


@njit(nogil=True, cache=True)
def _receive(positions, draws, light, analysers, slots, times_s, marks, filled):
    """Place each event within its slot and choose its detector, or none; return how many rows are filled now."""
    shapes, kind_of_slot, kinds = light.shapes, light.kind_of_slot, light.kinds
    axes, weights, noise_key, dimming = analysers
    origin_s, origin_position, slot_s = slots
    period = len(kind_of_slot)
    finest = shapes.shape[1] - 1
    offset0, x0, y0, z0 = axes[0, 0], axes[0, 1], axes[0, 2], axes[0, 3]
    offset1, x1, y1, z1 = axes[1, 0], axes[1, 1], axes[1, 2], axes[1, 3]
    w0, w1, w2, w3 = weights[0], weights[1], weights[2], weights[3]
    slot = positions[0] % period if len(positions) else 0
    before = positions[0] if len(positions) else 0
    for n in range(len(positions)):
        slot += positions[n] - before
        before = positions[n]
        while slot >= period:
            slot -= period
        second = mix(draws[n] + GOLDEN)
        place = np.float64(second >> np.uint64(32)) * UNIT_32 * finest
        cell = np.int64(place)
        kind = kind_of_slot[slot]
        x, y, z, shape = kinds[kind, 0], kinds[kind, 1], kinds[kind, 2], np.int64(kinds[kind, 3])
        low = shapes[shape, cell]
        within = low + (place - cell) * (shapes[shape, cell + 1] - low)
        straight = offset0 + x0 * x + y0 * y + z0 * z
        diagonal = offset1 + x1 * x + y1 * y + z1 * z
        choice = np.float64(second & LOW_32) * UNIT_32 * 4.0
        if len(dimming):
            choice *= dimming[np.int64(draw(noise_key, positions[n]) & LOW_11)]
        edge0 = w0 * (1.0 + straight)
        edge1 = edge0 + w1 * (1.0 - straight)
        edge2 = edge1 + w2 * (1.0 + diagonal)
        edge3 = edge2 + w3 * (1.0 - diagonal)
        # Sums of comparisons, because branches on a random choice are mispredicted.
        detector = np.int64(choice >= edge0) + np.int64(choice >= edge1) + np.int64(choice >= edge2)
        time_s = origin_s + (np.float64(positions[n]) + within - origin_position) * slot_s
        mark = np.int32(np.int64(draws[n] & LOW_11) * 4 + detector)
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
def background_events(key, state, state_time, stop_s, edges_hz, times_s, marks):
    """Draw background events before ``stop_s``.

    ``state``: [frame, number of the next draw in it], ``state_time``: [its time], both updated. ``edges_hz``: cumulated
    rates of the detectors (5 values from 0). Returns the number of events, as :func:`signal_events` does.
    """
    frame, count, time_s = state[0], state[1], state_time[0]
    total = edges_hz[4]
    key_now = frame_key(key, frame)
    frame_end_s = (frame + 1) * FRAME_S
    filled = 0
    while filled < len(times_s):
        if time_s >= frame_end_s:
            if frame_end_s >= stop_s:
                break
            frame += 1
            count = 0
            key_now = frame_key(key, frame)
            time_s = frame_end_s + exponential(key_now, count) / total
            frame_end_s = (frame + 1) * FRAME_S
            continue
        if time_s >= stop_s:
            break
        first = draw(key_now, count)
        choice = uniform(mix(first + GOLDEN)) * total
        detector = 0
        while detector < 3 and choice >= edges_hz[detector + 1]:
            detector += 1
        times_s[filled] = time_s
        marks[filled] = np.int32(np.int64(first & LOW_11) * 4 + detector)
        filled += 1
        count += 1
        time_s += exponential(key_now, count) / total
    state[0], state[1], state_time[0] = frame, count, time_s
    return filled
