"""The tags that wait for the instrument that records."""

from collections.abc import Iterable

import numpy as np

from qhal_simulators.physics.readings import Tags

_MAX_TAGS = 200_000_000


class RecordedTags:
    """Tags in the order of their drawing; beyond a maximum the buffer overflows and further tags are lost.

    ``overflows``: how often it overflowed.
    """

    def __init__(self) -> None:
        self.overflows = 0
        self._pieces: list[Tags] = []
        self._count = 0

    def add(self, pieces: Iterable[Tags]) -> None:
        """Append tags. The iterable is always used up: it draws the tags."""
        for piece in pieces:
            if self._count <= _MAX_TAGS:
                self._pieces.append(piece)
                self._count += len(piece[0])
                self.overflows += self._count > _MAX_TAGS

    def take(self, *, has_noise: bool) -> Tags:
        """Return all tags, ascending, and forget them. ``has_noise``: tags of equal times are sorted by input."""
        if not self._pieces:
            return np.empty(0, np.int64), np.empty(0, np.uint8)
        times, channels = (np.concatenate(column) for column in zip(*self._pieces, strict=True))
        self._pieces, self._count = [], 0
        if has_noise:
            # Tags of one moment in an order that does not depend on how time was cut.
            order = np.lexsort((channels, times))
            times, channels = times[order], channels[order]
        elif (times[1:] < times[:-1]).any():
            order = np.argsort(times, kind="stable")
            times, channels = times[order], channels[order]
        return times, channels
