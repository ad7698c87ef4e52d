"""What every server endpoint shares: faults on demand, order of delayed bytes, counted drops."""

import asyncio
import logging
import random
from abc import ABC, abstractmethod
from collections.abc import Callable

from qhal_simulators.instrument import Connection, Instrument, Send
from qhal_simulators.simulated_time import SimulationClock

_log = logging.getLogger(__name__)
OUTPUT_LIMIT_BYTES = 4 << 20
"""What a client may leave unread before further output is dropped and counted."""


class Delivery:
    """The way of bytes from an instrument to one client, with the faults that an endpoint has now.

    Delayed bytes keep their order, as on any wire.
    """

    def __init__(self, endpoint: "Endpoint", write: Send) -> None:
        self._endpoint = endpoint
        self._write = write
        self._free_s = 0.0

    def __call__(self, data: bytes) -> None:
        """Send, delay or swallow."""
        endpoint = self._endpoint
        if endpoint.silent:
            endpoint.dropped += 1
            return
        loop = asyncio.get_running_loop()
        if endpoint.delay_s is None and loop.time() >= self._free_s:
            self._write(data)
            return
        delay_s = endpoint.delay_s() if endpoint.delay_s else 0.0
        # Two calls at one time could come in any order, so each has a time of its own.
        self._free_s = max(self._free_s + 1e-6, loop.time() + delay_s)
        loop.call_at(self._free_s, self._write, data)


class Endpoint(ABC):
    """One address at which clients reach one connection of one instrument."""

    def __init__(self, name: str, connection: str, instrument: Instrument, clock: SimulationClock) -> None:
        self.name = name
        self.connection = connection
        self.instrument = instrument
        self.clock = clock
        self.silent = False
        self.delay_s: Callable[[], float] | None = None
        self.dropped = 0

    @property
    @abstractmethod
    def address(self) -> str:
        """What a driver's node file needs."""

    @abstractmethod
    async def start(self) -> None:
        """Open; may be called again after ``stop`` and then gives the same address."""

    @abstractmethod
    def stop(self, *, reset: bool = False) -> None:
        """Close the listening side and every connection (TCP: with a reset instead of an end)."""

    def delay_randomly(self, longest_s: float, seed: int) -> None:
        """Delay each reply by up to ``longest_s`` of wall time, drawn from a seeded generator."""
        draw = random.Random(seed)
        self.delay_s = lambda: draw.uniform(0.0, longest_s)

    def heal(self) -> None:
        """Take back silence and delay."""
        self.silent, self.delay_s = False, None

    def attach(self, write: Send) -> Connection:
        """Return the instrument's end of a new connection whose output goes through the faults."""
        self.clock.refresh()
        return self.instrument.connect(self.connection, Delivery(self, write))

    def deliver(self, connection: Connection, data: bytes) -> None:
        """Hand a client's bytes to the instrument, with the world brought up to date first if it can follow."""
        self.clock.refresh()
        try:
            connection.receive(data)
        except Exception:  # noqa: BLE001 - a fault of the simulator must not silence it for other clients
            _log.exception(
                "%s: %s: a request broke the simulator: %r", self.name, self.connection, data[:200]
            )
            connection.failed()
