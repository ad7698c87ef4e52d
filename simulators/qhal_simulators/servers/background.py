"""A simulation in a thread of this process, for tests and notebooks: real ptys and sockets."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from qhal_simulators.instrument import Instrument
from qhal_simulators.instrument_registry import load
from qhal_simulators.nodefile import node_file_text
from qhal_simulators.physics.ports import Part
from qhal_simulators.servers.control_server import ControlServer
from qhal_simulators.servers.simulation import Simulation, Unit
from qhal_simulators.simulated_time import SimulationClock

if TYPE_CHECKING:
    from qhal_simulators.physics.scenario_tables import Scenario

Result = TypeVar("Result")


class Background:
    """Runs a simulation while the ``with`` block lasts."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.control: ControlServer | None = None
        self._tables: dict[str, Any] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="qhal-simulation", daemon=True)

    @classmethod
    def of(
        cls,
        *models: str,
        part: Part | None = None,
        stepped: bool = False,
        speed: float = 1.0,
        **options: object,
    ) -> Self:
        """Return a simulation of single instruments, each named by its model; options go to all of them."""
        clock = SimulationClock(stepped=stepped, speed=speed)
        units = []
        for model in models:
            kind = load(model)
            instrument: Instrument = kind(clock, part, kind.options_model(**options))
            units.append(Unit(model, model, instrument))
        return cls(Simulation(units, clock))

    @classmethod
    def of_scenario(
        cls,
        scenario: "Scenario",
        seed: int | None = None,
        options: dict[str, dict[str, Any]] | None = None,
        *,
        stepped: bool = True,
    ) -> Self:
        """Return a simulation of a scenario with its control connection; ``options`` are further ones by instrument."""
        from qhal_simulators.scenario_units import build

        clock = SimulationClock(stepped=stepped)
        units, handlers, tables = build(scenario, options or {}, clock, seed)
        background = cls(Simulation(units, clock))
        background.control = ControlServer(background.simulation, handlers)
        background._tables = tables
        return background

    def node_file(self) -> str:
        """Return the node file of a scenario that runs."""
        assert self.control is not None
        return node_file_text("simulation", self.simulation, self.control.address, self._tables)

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            if self.control is not None:
                self.run(self.control.start)
            self.run(self.simulation.start)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.control is not None:
            self.do(self.control.stop)
        self.run(self.simulation.stop)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, action: Callable[[], Awaitable[Result]]) -> Result:
        """Run a coroutine function on the simulation's loop and return its result."""

        async def carry_out() -> Result:
            return await action()

        return asyncio.run_coroutine_threadsafe(carry_out(), self._loop).result(timeout=60)

    def do(self, action: Callable[[], Result]) -> Result:
        """Run a plain function on the simulation's loop, where instruments may be touched."""

        async def carry_out() -> Result:
            return action()

        return self.run(carry_out)

    def unit(self, name: str) -> Unit:
        """Return a unit."""
        return self.simulation.units[name]

    def address(self, name: str, connection: str = "main") -> str:
        """Return the address of a unit's connection."""
        description = self.unit(name).description()
        connections = description["connections"]
        assert isinstance(connections, dict)
        return str(description["address"] if connection == "main" else connections[connection])

    def connections(self, name: str) -> dict[str, str]:
        """Return the addresses of a unit's further connections."""
        connections = self.unit(name).description()["connections"]
        assert isinstance(connections, dict)
        return dict(connections)
