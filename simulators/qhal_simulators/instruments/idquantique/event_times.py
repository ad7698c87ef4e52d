"""Ascending times of events, and how blocks combine them.

Pulses have no width here: both edges of an event are at one time, and AND finds events that are at most
``_OVERLAP_PS`` apart. A window is open when its last opening is later than its last closing.
"""

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.int64]

NONE: Times = np.empty(0, np.int64)
_OVERLAP_PS = 4_000


def since(references: Times, times: Times, *, itself: bool) -> tuple[Times, Times]:
    """Return times since the last reference, and its number; times before the first are left out.

    ``itself``: references and events are the same; each is measured from the one before.
    """
    indices = np.searchsorted(references, times, side="left" if itself else "right")
    times, indices = times[indices > 0], indices[indices > 0]
    return times - references[indices - 1], indices


def merged(ones: Times, others: Times) -> Times:
    """Return the events of both."""
    return (
        np.sort(np.concatenate((ones, others)), kind="stable")
        if len(ones) and len(others)
        else (ones if len(ones) else others)
    )


def together(ones: Times, others: Times) -> Times:
    """Return the later of every two events that overlap."""
    if not len(ones) or not len(others):
        return NONE
    before = np.clip(np.searchsorted(others, ones, side="right") - 1, 0, None)
    after = np.clip(before + 1, None, len(others) - 1)
    found = [
        np.maximum(ones, others[near])[np.abs(ones - others[near]) <= _OVERLAP_PS] for near in (before, after)
    ]
    return np.unique(np.concatenate(found))


def is_open(times: Times, opened: Times, closed: Times) -> NDArray[np.bool_]:
    """Return for each time whether a window is open."""
    far = np.iinfo(np.int64).min
    last_opened = np.concatenate(([far], opened))[np.searchsorted(opened, times, side="right")]
    last_closed = np.concatenate(([far], closed))[np.searchsorted(closed, times, side="right")]
    return last_opened > last_closed
