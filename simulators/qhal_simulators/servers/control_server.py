"""The control connection of a simulation: steps, faults and, with a world, its truth. JSON lines over TCP."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from qhal_simulators.servers.simulation import Simulation

Handler = Callable[[dict[str, Any]], dict[str, Any] | Awaitable[dict[str, Any]]]


class ControlServer:
    """Answers requests ``{"do": NAME, ...}``; ``more`` adds handlers to those for clock and faults."""

    def __init__(self, simulation: Simulation, more: Mapping[str, Handler] | None = None) -> None:
        self._simulation = simulation
        self._handlers: dict[str, Handler] = {
            "now": self._now,
            "step": self._step,
            "restart": self._restart,
            "unplug": self._unplug,
            "plug": self._plug,
            "fault": self._fault,
            "dropped": self._dropped,
            **(more or {}),
        }
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.StreamWriter] = set()

    @property
    def address(self) -> str:
        """The address of the control connection."""
        assert self._server is not None
        return f"tcp://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def start(self) -> None:
        """Listen on loopback. Raises ConfigurationError when the port is taken."""
        port = self._simulation.addresses.tcp_port("the control connection")
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, limit=1 << 24)

    def stop(self) -> None:
        """Stop listening and end all connections."""
        if self._server is not None:
            self._server.close()
        for client in self._clients:
            client.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        try:
            while text := await reader.readline():
                writer.write(json.dumps(await self._answer(text)).encode() + b"\n")
                await writer.drain()
        except ConnectionError:
            return
        finally:
            self._clients.discard(writer)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, text: bytes) -> dict[str, Any]:
        try:
            request = json.loads(text)
            handler = self._handlers[request["do"]]
            self._simulation.clock.refresh()
            answer = handler(request)
            return answer if isinstance(answer, dict) else await answer
        except (ValueError, KeyError, TypeError) as error:
            return {"error": f"{type(error).__name__}: {error}"}

    def _now(self, request: dict[str, Any]) -> dict[str, Any]:
        """``lag_s``: by how much a live world is behind the wall since the start, what it gave up included."""
        clock = self._simulation.clock
        return {"now_s": clock.now_s(), "lag_s": clock.lag_s}

    async def _step(self, request: dict[str, Any]) -> dict[str, Any]:
        if not self._simulation.clock.stepped:
            return {"error": "the clock of this simulation is not stepped"}
        await self._simulation.step(float(request["seconds"]))
        return self._now(request)

    async def _restart(self, request: dict[str, Any]) -> dict[str, Any]:
        await self._simulation.restart(request["unit"])
        return {}

    def _unplug(self, request: dict[str, Any]) -> dict[str, Any]:
        self._simulation.unplug(request["unit"], reset=bool(request.get("reset")))
        return {}

    async def _plug(self, request: dict[str, Any]) -> dict[str, Any]:
        await self._simulation.plug(request["unit"])
        return {}

    def _fault(self, request: dict[str, Any]) -> dict[str, Any]:
        """``silent``: swallow all replies; ``delay_s`` and ``seed``: delay them at random; neither: heal."""
        endpoint = self._simulation.units[request["unit"]].endpoints[request.get("connection", "main")]
        endpoint.heal()
        endpoint.silent = bool(request.get("silent"))
        if "delay_s" in request:
            endpoint.delay_randomly(float(request["delay_s"]), int(request.get("seed", 0)))
        return {}

    def _dropped(self, request: dict[str, Any]) -> dict[str, Any]:
        """Count what could not be delivered, by unit and connection."""
        return {
            unit.name: {connection: endpoint.dropped for connection, endpoint in unit.endpoints.items()}
            | {str(port): pair.dropped for port, pair in unit.pairs.items()}
            for unit in self._simulation.units.values()
        }
