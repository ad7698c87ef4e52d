"""All instruments of a simulation on one event loop."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import zmq

from qhal.errors import ConfigurationError
from qhal_simulators.instrument import Instrument, PairEndpoint, Wire
from qhal_simulators.servers.addresses import Addresses, NewAddresses
from qhal_simulators.servers.endpoint import Endpoint
from qhal_simulators.servers.pty_endpoint import PtyEndpoint
from qhal_simulators.servers.tcp_endpoint import TcpEndpoint
from qhal_simulators.servers.zeromq_endpoints import PairSocket, RepEndpoint, ReservedPort
from qhal_simulators.simulated_time import SimulationClock

_STEP_S = 0.02
"""Stepped time moves in pieces of this length, so that bytes are answered in between."""
_ACCEPT_TURNS = 3
"""Turns of the event loop in which a connection that waits is accepted and has its instrument."""


@dataclass(slots=True)
class Unit:
    """One instrument with its endpoints; ``model`` is its registry name, ``driver`` the driver's."""

    name: str
    model: str
    instrument: Instrument
    driver: str = ""
    options: dict[str, object] = field(default_factory=dict)
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    pair_ports: dict[str, ReservedPort] = field(default_factory=dict)
    pairs: dict[int, PairSocket] = field(default_factory=dict)

    def description(self) -> dict[str, object]:
        """Return name, driver, main address and further connections by name."""
        addresses = {connection: endpoint.address for connection, endpoint in self.endpoints.items()}
        addresses |= {
            connection: f"zmq+tcp://127.0.0.1:{port.number}" for connection, port in self.pair_ports.items()
        }
        main = addresses.pop("main")
        return {
            "name": self.name,
            "driver": self.driver or self.model,
            "address": main,
            "connections": addresses,
        }


class Simulation:
    """A set of units on one clock, at ``addresses`` (None: new ones). ``watch_lag`` is called with the clock's lag."""

    def __init__(
        self, units: Iterable[Unit], clock: SimulationClock, addresses: Addresses | None = None
    ) -> None:
        self.units = {unit.name: unit for unit in units}
        self.clock = clock
        self.addresses = addresses or NewAddresses()
        self.watch_lag: Callable[[float], None] = lambda lag_s: None
        self._wake = asyncio.Event()
        self._pace: asyncio.Task[None] | None = None

    async def run_until(self, stop: asyncio.Event) -> None:
        """Return when ``stop`` is set. Raises what the world or an instrument raised when its time came."""
        assert self._pace is not None
        waiting = asyncio.create_task(stop.wait())
        await asyncio.wait({waiting, self._pace}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self._pace.done():
            self._pace.result()

    async def start(self) -> None:
        """Open all endpoints and let time run. Raises ConfigurationError when an address is taken."""
        self.addresses.open()
        for unit in self.units.values():
            try:
                await self._start_unit(unit)
            except (OSError, zmq.ZMQError) as error:
                raise ConfigurationError(f"{unit.name}: cannot be reached: {error}") from error
        self.clock.start()
        self.clock.wake = self._wake.set
        self._pace = asyncio.create_task(self._keep_pace())

    async def stop(self) -> None:
        """Close everything."""
        if self._pace is not None:
            self._pace.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._pace
        for unit in self.units.values():
            for endpoint in unit.endpoints.values():
                endpoint.stop()
            for pair in unit.pairs.values():
                pair.close()
            for port in unit.pair_ports.values():
                port.close()
        self.addresses.close()

    async def restart(self, name: str) -> None:
        """Switch a unit off and on again: connections end, settings are those after power-up."""
        unit = self.units[name]
        self.unplug(name)
        unit.instrument.power_on()
        await self.plug(name)

    def unplug(self, name: str, *, reset: bool = False) -> None:
        """End all connections of a unit and refuse new ones."""
        unit = self.units[name]
        for endpoint in unit.endpoints.values():
            endpoint.stop(reset=reset)
        for pair in unit.pairs.values():
            pair.close()
        unit.pairs.clear()

    async def plug(self, name: str) -> None:
        """Let a unit be reached again, at the same addresses."""
        for endpoint in self.units[name].endpoints.values():
            await endpoint.start()

    async def step(self, duration_s: float) -> None:
        """Move stepped time, in pieces, and come back when the output is written."""
        for _ in range(_ACCEPT_TURNS):  # what was connected or said before this request comes first
            await asyncio.sleep(0)
        end_s = self.clock.now_s() + duration_s
        while self.clock.now_s() < end_s:
            self.clock.advance_to(min(end_s, self.clock.now_s() + _STEP_S))
            await asyncio.sleep(0)

    async def _start_unit(self, unit: Unit) -> None:
        instrument = unit.instrument
        instrument.bind_pair = lambda port: self._bind_pair(unit, port)
        for connection, wire in instrument.wires.items():
            name = unit.name if connection == "main" else f"{unit.name}.{connection}"
            if wire is Wire.ZMQ_PAIR:
                unit.pair_ports[connection] = ReservedPort(self.addresses.tcp_port(name))
                continue
            if wire is Wire.PTY:
                path = self.addresses.line(name)
                unit.endpoints[connection] = PtyEndpoint(unit.name, connection, instrument, self.clock, path)
            else:
                kind = TcpEndpoint if wire is Wire.TCP else RepEndpoint
                port = self.addresses.tcp_port(name)
                unit.endpoints[connection] = kind(unit.name, connection, instrument, self.clock, port)
            await unit.endpoints[connection].start()

    def _bind_pair(self, unit: Unit, tcp_port: int) -> PairEndpoint:
        unit.pairs = {port: pair for port, pair in unit.pairs.items() if port != tcp_port}
        unit.pairs[tcp_port] = PairSocket(tcp_port)
        return unit.pairs[tcp_port]

    async def _keep_pace(self) -> None:
        world = None if self.clock.stepped else self.clock.world
        while True:
            self._wake.clear()
            wait_s = self.clock.catch_up()
            self.watch_lag(self.clock.lag_s)
            if self.clock.behind:
                await asyncio.sleep(0)  # clients are served before the next slice
                continue
            if world is not None:
                wait_s = world.pace_s if wait_s is None else min(wait_s, world.pace_s)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()
