"""The device clock, for settling and integration times; deadlines of reads and writes use wall time.

A settling time, a homing move or an integration time is device time: on the bench it is wall time,
beside a simulator it may run faster or be stepped.
"""

import time
from typing import Protocol


class Clock(Protocol):
    """Device time in seconds since an arbitrary origin."""

    def now_s(self) -> float:
        """Return the device time."""
        ...

    def sleep_s(self, duration_s: float) -> None:
        """Return when this much device time has passed."""
        ...

    def advance_s(self, duration_s: float) -> None:
        """Advance simulated time; return at once where time advances without it."""
        ...

    def close(self) -> None:
        """Release what the clock uses."""
        ...


class WallClock:
    """Device time from the wall clock, ``speed`` times faster beside a simulator of the same speed."""

    def __init__(self, speed: float = 1.0) -> None:
        if speed <= 0:
            raise ValueError(f"clock speed {speed} must be above 0")
        self.speed = speed

    def now_s(self) -> float:
        """Return monotonic wall time times speed."""
        return time.monotonic() * self.speed

    def sleep_s(self, duration_s: float) -> None:
        """Sleep ``duration_s / speed`` of wall time."""
        if duration_s > 0:
            time.sleep(duration_s / self.speed)

    def advance_s(self, duration_s: float) -> None:
        """Do nothing: wall time advances without it."""

    def close(self) -> None:
        """Do nothing: wall time needs no connection."""
