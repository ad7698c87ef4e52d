"""Fixtures of the attacks."""

import signal
from collections.abc import Callable, Iterator

import pytest

CPU_LIMIT_S = 5.0
"""Processor time of one call or one batch of requests, which takes some milliseconds."""


@pytest.fixture
def no_hang() -> Iterator[Callable[[], None]]:
    """Give a call that starts a watch over processor time, whatever else the machine does."""

    def ring(number, stack):
        raise TimeoutError(f"more than {CPU_LIMIT_S} s of processor time for one thing")

    before = signal.signal(signal.SIGVTALRM, ring)
    yield lambda: signal.setitimer(signal.ITIMER_VIRTUAL, CPU_LIMIT_S)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    signal.signal(signal.SIGVTALRM, before)
