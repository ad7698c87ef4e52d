"""World time, and what is due in it.

World time follows the wall, runs ``speed`` times faster, or is stepped by a client over the control link.
Queries never move stepped time. A command whose reply or completion is due later does: ``after`` then
moves the world to that moment itself.
"""

import heapq
import itertools
import time
from collections.abc import Callable
from typing import Protocol

_TIDY = 1000


class Advances(Protocol):
    """A world that can be brought to a time."""

    def advance_to(self, t_s: float) -> None:
        """Let the world go on until ``t_s``."""
        ...


class Timer:
    """Something due at a world time; ``cancel`` takes it back."""

    __slots__ = ("action", "due_s")

    def __init__(self, due_s: float, action: Callable[[], None]) -> None:
        self.due_s = due_s
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        """Do nothing when the time comes."""
        self.action = None


class SimulationClock:
    """World time in seconds since the start. ``wake`` is called when something earlier becomes due."""

    def __init__(self, *, stepped: bool = False, speed: float = 1.0, world: Advances | None = None) -> None:
        if speed <= 0:
            raise ValueError(f"speed {speed} must be above 0")
        self.stepped = stepped
        self.speed = speed
        self.world = world
        self.wake: Callable[[], None] = lambda: None
        self._origin_s = time.monotonic()
        self._now_s = 0.0
        self._moving = False
        self._due: list[tuple[float, int, Timer]] = []
        self._tidy_at = _TIDY
        self._order = itertools.count()

    def __len__(self) -> int:
        return len(self._due)

    def now_s(self) -> float:
        """Return the world time; while something is carried out that was due earlier, the time when it was due."""
        if self.stepped or self._moving:
            return self._now_s
        return max(self._now_s, (time.monotonic() - self._origin_s) * self.speed)

    def call_at(self, due_s: float, action: Callable[[], None]) -> Timer:
        """Carry out an action at a world time (at once when it is past)."""
        timer = Timer(due_s, action)
        heapq.heappush(self._due, (due_s, next(self._order), timer))
        if len(self._due) > self._tidy_at:  # what was cancelled would wait for its time
            self._due = [entry for entry in self._due if entry[2].action is not None]
            heapq.heapify(self._due)
            self._tidy_at = _TIDY + 2 * len(self._due)
        self.wake()
        return timer

    def call_later(self, delay_s: float, action: Callable[[], None]) -> Timer:
        """Carry out an action after a delay of world time."""
        return self.call_at(self.now_s() + delay_s, action)

    def after(self, delay_s: float, action: Callable[[], None]) -> Timer:
        """Carry out the late end of a command: stepped time moves there at once."""
        timer = self.call_later(delay_s, action)
        if self.stepped:
            self.advance_to(timer.due_s)
        elif delay_s <= 0:
            self.catch_up()
        return timer

    def catch_up(self) -> float | None:
        """Carry out what is due by now; return the wall seconds until the next thing is (None: nothing)."""
        if not self.stepped:
            self.advance_to(self.now_s())
        if not self._due:
            return None
        return None if self.stepped else max(0.0, (self._due[0][0] - self.now_s()) / self.speed)

    def advance_to(self, t_s: float) -> None:
        """Bring the world to a time, carrying out what is due on the way, in order."""
        was_moving, self._moving = self._moving, True
        try:
            while self._due and self._due[0][0] <= t_s:
                due_s, _, timer = heapq.heappop(self._due)
                if timer.action is not None:
                    self._move(due_s)
                    action, timer.action = timer.action, None
                    action()
            self._move(t_s)
        finally:
            self._moving = was_moving

    def _move(self, t_s: float) -> None:
        self._now_s = max(self._now_s, t_s)
        if self.world is not None:
            self.world.advance_to(self._now_s)
