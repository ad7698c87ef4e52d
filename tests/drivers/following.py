"""A driver at one end of a wire in memory, at the other an instrument that follows a script byte for byte."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from qhal.node.driver_registry import load_driver
from qhal.testing.script import Script

Exchange = tuple[bytes, ...]


class Clock:
    """Device time that advances only in ``sleep_s``."""

    def __init__(self) -> None:
        self._now_s = 0.0

    def now_s(self) -> float:
        return self._now_s

    def sleep_s(self, duration_s: float) -> None:
        self._now_s += max(0.0, duration_s)

    advance_s = sleep_s

    def close(self) -> None: ...


def follow(
    driver: str,
    opening: Iterable[Exchange],
    verb: Callable[[Any], object],
    exchanges: Iterable[Exchange],
    *,
    others: tuple[str, ...] = (),
    **transport: bool,
) -> None:
    """Open a device and call a verb. Raises AssertionError unless exactly this was sent, before it and by it.

    ``others`` are further connections, on which nothing may be sent.
    """
    script = Script(opening, **transport)
    further = {name: Script() for name in others}
    transports = {"main": script.transport, **{name: each.transport for name, each in further.items()}}
    with load_driver(driver)(transports, clock=Clock()) as device:
        script.finish()
        script.expect(*exchanges)
        verb(device)
        script.finish()
    for each in (script, *further.values()):
        each.finish()


def refuses(error: type[Exception], verb: Callable[[Any], object]) -> Callable[[Any], None]:
    """Return a verb that expects an error of another one."""

    def refused(device: Any) -> None:
        with pytest.raises(error):
            verb(device)

    return refused
