"""World time, and what is due in it.

World time follows the wall as far as the machine allows, runs ``speed`` times faster, or is stepped by a client over
the control connection.
Queries never move stepped time. A command whose reply or completion is due later does: ``after`` then
moves the world to that moment itself.
"""

import heapq
import itertools
import time
from collections.abc import Callable
from typing import Protocol

_TIDY = 1000
SLICE_S = 0.03
"""Wall time for which a live world is moved at a stretch; then clients are answered, from the world as it is."""
_CHASE_S = 2.0
"""Wall time by which a live world may be late before the rest is given up: it lags instead of chasing for ever."""
_PIECES_S = (0.001, 1.0)
_FIRST_PIECE_S = 0.02


class Advances(Protocol):
    """A world that can be brought to a time. ``pace_s``: wall time after which a live one is to be moved again."""

    @property
    def pace_s(self) -> float:
        """How soon a live world wants to be moved again."""
        ...

    def advance_to(self, t_s: float) -> None:
        """Advance the world until ``t_s``."""
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
    """World time in seconds since the start. ``wake`` is called when something earlier becomes due.

    A world that does not get its share of the machine falls behind the wall: ``behind`` while it is late, ``lag_s`` in
    total since the start. Time of all devices is the world's, so that what they do stays consistent.
    """

    def __init__(self, *, stepped: bool = False, speed: float = 1.0, world: Advances | None = None) -> None:
        if speed <= 0:
            raise ValueError(f"speed {speed} must be above 0")
        self.stepped = stepped
        self.speed = speed
        self.world = world
        self.wake: Callable[[], None] = lambda: None
        self.behind = False
        self.lag_s = 0.0
        self._origin_s = time.monotonic()
        self._given_up_s = 0.0
        self._piece_s = _FIRST_PIECE_S
        self._now_s = 0.0
        self._moving = False
        self._due: list[tuple[float, int, Timer]] = []
        self._tidy_at = _TIDY
        self._order = itertools.count()

    def start(self) -> None:
        """Let time run on from here: what it took to make and open everything is not lag."""
        self._origin_s = time.monotonic() - self._now_s / self.speed

    def __len__(self) -> int:
        return len(self._due)

    def now_s(self) -> float:
        """Return the world time: the one at which a command came, or at which what is being run was due."""
        return self._now_s

    def call_at(self, due_s: float, action: Callable[[], None]) -> Timer:
        """Run an action at a world time (at once when it is past)."""
        timer = Timer(due_s, action)
        heapq.heappush(self._due, (due_s, next(self._order), timer))
        if len(self._due) > self._tidy_at:  # what was cancelled would wait for its time
            self._due = [entry for entry in self._due if entry[2].action is not None]
            heapq.heapify(self._due)
            self._tidy_at = _TIDY + 2 * len(self._due)
        self.wake()
        return timer

    def call_later(self, delay_s: float, action: Callable[[], None]) -> Timer:
        """Run an action after a delay of world time."""
        return self.call_at(self.now_s() + delay_s, action)

    def after(self, delay_s: float, action: Callable[[], None]) -> Timer:
        """Run the late end of a command: stepped time moves there at once."""
        timer = self.call_later(delay_s, action)
        if self.stepped:
            self.advance_to(timer.due_s)
        elif delay_s <= 0:
            self.advance_to(self.now_s())
        return timer

    def refresh(self) -> None:
        """Bring a live world up to the wall before it is looked at, unless it is late already."""
        if not self.behind:
            self.catch_up()

    def catch_up(self) -> float | None:
        """Move a live world towards the wall, for one slice, and run what is due.

        Returns the wall seconds until the next thing is due: 0 while the world is behind, None for nothing.
        """
        if not self.stepped and not self._moving:
            self._follow()
        if self.behind:
            return 0.0
        if self.stepped or not self._due:
            return None
        return max(0.0, (self._due[0][0] - self.now_s()) / self.speed)

    def advance_to(self, t_s: float) -> None:
        """Bring the world to a time, running what is due on the way, in order."""
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

    def _follow(self) -> None:
        """Move towards the wall in pieces until a slice of wall time is used up."""
        goal_s, begun_s = self._wall_s(), time.monotonic()
        if self.world is None:  # before anything is due there is nothing to be late with
            self.advance_to(max(self._now_s, min([goal_s, *(due_s for due_s, _, _ in self._due[:1])])))
        excess_s = (goal_s - self._now_s) / self.speed - _CHASE_S
        if excess_s > 0:
            self._origin_s += excess_s
            self._given_up_s += excess_s * self.speed
            goal_s -= excess_s * self.speed
        done_s = begun_s
        while True:
            self.advance_to(max(self._now_s, min(goal_s, self._now_s + self._piece_s)))
            before_s, done_s = done_s, time.monotonic()
            self._fit_piece(done_s - before_s)
            self.behind = self._now_s < goal_s
            if not self.behind or done_s - begun_s >= SLICE_S:
                break
        self.lag_s = self._given_up_s + max(0.0, goal_s - self._now_s)

    def _fit_piece(self, took_s: float) -> None:
        """Make pieces so short that a slice is hardly overrun, and no shorter."""
        factor = 0.5 if took_s > SLICE_S / 2 else 2.0 if took_s < SLICE_S / 8 else 1.0
        shortest_s, longest_s = _PIECES_S
        self._piece_s = min(max(self._piece_s * factor, shortest_s), longest_s)

    def _wall_s(self) -> float:
        return (time.monotonic() - self._origin_s) * self.speed

    def _move(self, t_s: float) -> None:
        self._now_s = max(self._now_s, t_s)
        if self.world is not None:
            self.world.advance_to(self._now_s)
