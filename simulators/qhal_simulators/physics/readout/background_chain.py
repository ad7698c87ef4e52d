"""A chain of events in time: dark counts and stray light, and electronic noise."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from qhal_simulators.physics.readout.draw_kernels import frame_exponential
from qhal_simulators.physics.readout.event_kernels import FRAME_S, background_events

NEVER_S = 1e300
MIDDLE = 1 << 40
"""From this number on a frame's draws are those of a chain that begins in its middle."""


class BackgroundChain:
    """Poisson events of four detectors or inputs, drawn for one stretch of equal rates after the other."""

    def __init__(self, key: np.uint64) -> None:
        self._key = key
        self._state = np.array([-1, 0], np.int64)
        self._time_s = np.full(1, NEVER_S)
        self._left = 0.0
        self._edges_hz = np.zeros(5)

    @property
    def rate_hz(self) -> float:
        """The rate of all together."""
        return float(self._edges_hz[-1])

    def begin(self, rates_hz: NDArray[np.float64], start_s: float, *, afresh: bool) -> None:
        """Begin a stretch; unless ``afresh`` what is left of the way to the next event is carried over."""
        self._edges_hz = np.concatenate(([0.0], np.cumsum(rates_hz)))
        rate_hz = self.rate_hz
        if rate_hz <= 0:
            self._time_s[0] = NEVER_S
            self._state[0] = -1
            return
        frame = _frame(start_s)
        if not afresh and self._state[0] == frame:
            self._time_s[0] = start_s + self._left / rate_hz
            return
        within_s = start_s - frame * FRAME_S
        number = MIDDLE + int(within_s * 1e13) if within_s > 0 else 0
        self._state[:] = frame, number
        self._time_s[0] = start_s + float(frame_exponential(self._key, frame, number)) / rate_hz

    def draw(self, until_s: float, times_s: NDArray[np.float64], marks: NDArray[np.int32]) -> int:
        """Fill in the events before ``until_s``; return how many there are, at most what there is room for."""
        if self.rate_hz <= 0:
            return 0
        return int(
            background_events(self._key, self._state, self._time_s, until_s, self._edges_hz, times_s, marks)
        )

    def end(self, stop_s: float) -> None:
        """Leave what holds now."""
        if self.rate_hz > 0:
            self._left = max(0.0, (self._time_s[0] - stop_s) * self.rate_hz)


def pieces(
    chain: BackgroundChain, until_s: float, room: int
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.int32], int]]:
    """Yield the events of a chain before ``until_s``: times, marks and how many."""
    filled = room
    while filled == room and chain.rate_hz > 0:
        times_s, marks = np.empty(room), np.empty(room, np.int32)
        filled = chain.draw(until_s, times_s, marks)
        yield times_s, marks, filled


def _frame(at_s: float) -> int:
    """Return the frame that a time falls into, by the arithmetic of the kernel."""
    frame = int(at_s / FRAME_S)
    while (frame + 1) * FRAME_S <= at_s:
        frame += 1
    while frame * FRAME_S > at_s:
        frame -= 1
    return frame
