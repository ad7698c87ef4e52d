"""The clock by which everybody waits for a device; never the one of transport deadlines.

A settling time, a homing move or an integration time is device time: on the bench it is wall time,
beside a simulator it may run faster or be stepped. Deadlines of reads and writes are always wall time.
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

    def close(self) -> None:
        """Let go of what the clock needs."""
        ...


class WallClock:
    """Device time that follows the wall, ``speed`` times faster beside a simulator that does so too."""

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

    def close(self) -> None:
        """Do nothing: the wall needs no link."""
