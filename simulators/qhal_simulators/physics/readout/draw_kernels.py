"""Random numbers that depend on nothing but a key and a number: what is drawn where changes nothing else."""

import math

import numpy as np
from numba import njit

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
LOW_32 = np.uint64(0xFFFFFFFF)
UNIT_53 = 1.0 / 9007199254740992.0
UNIT_32 = 1.0 / 4294967296.0
QUANTILES = 2048
"""Length of a table of quantiles: eleven bits of a draw."""
FRAMES = np.uint64(0xD1B54A32D192ED03)
LOW_11 = np.uint64(QUANTILES - 1)


@njit(inline="always")
def mix(x):
    """Return 64 random bits for a number (the finaliser of SplitMix64)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@njit(inline="always")
def draw(key, number):
    """Return draw ``number`` of a key."""
    return mix(key + np.uint64(number) * GOLDEN)


@njit(inline="always")
def frame_key(key, frame):
    """Return the key of the draws of a frame, a short piece of time."""
    return mix(key ^ (np.uint64(frame) * FRAMES))


@njit(inline="always")
def uniform(bits):
    """Return a number above 0 and below 1 from the upper 53 bits of a draw."""
    return (np.float64(bits >> np.uint64(11)) + 0.5) * UNIT_53


@njit(cache=True)
def exponential(key, number):
    """Return draw ``number`` of a key as a unit exponential."""
    return -math.log(uniform(draw(key, number)))


@njit(cache=True)
def frame_exponential(key, frame, number):
    """Return draw ``number`` of a frame as a unit exponential."""
    return exponential(frame_key(key, frame), number)
