"""One simulator process: 1,000 instruments polled ten times a second; eleven trunk stations that rest.

Goal of the stations: at most 0.2 s of processor time per second and 400 MB, all of them together.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.runner import Outcome, server
from qhal_simulators.instrument import Wire
from qhal_simulators.physics.scenario_tables import load_scenario
from qhal_simulators.scenario_units import build
from qhal_simulators.servers.simulation import Simulation
from qhal_simulators.simulated_time import SimulationClock
from tests.echo import echo_simulation

UNITS = 1000
POLLS_PER_S = 10.0
SECONDS = 5.0
STATIONS = 11
STATION = "wuhan-hefei-span"
STATIONS_CPU, STATIONS_MB = 0.2, 400.0


def outcomes() -> Iterator[Outcome]:
    for wire in (Wire.TCP, Wire.PTY):
        with server("benchmarks.scale", wire) as addresses:
            rate, slowest_s = asyncio.run(poll(addresses))
        achieved = rate / (UNITS * POLLS_PER_S)
        yield Outcome(
            f"{UNITS} {wire} instruments polled at {POLLS_PER_S:g} Hz",
            "at least",
            0.95,
            {"achieved rate": achieved},
            f"{rate:.0f} answers/s, 99th percentile {slowest_s * 1e3:.1f} ms",
        )
    with server("benchmarks.scale", "stations") as found:
        cpu, memory_mb = rest(found["process"])
    yield Outcome(
        f"{STATIONS} idle stations {STATION} ({found['instruments']} instruments): processors",
        "at most",
        STATIONS_CPU,
        {"process time / wall": cpu},
        f"{cpu:.3f} s per second",
    )
    yield Outcome(
        f"{STATIONS} idle stations {STATION}: memory", "at most", STATIONS_MB, {"MB": memory_mb}, "resident"
    )


def rest(process: int) -> tuple[float, float]:
    """Let a process rest; return its processor time per second, and its memory in MB."""
    begun, begun_s = _used_s(process), time.perf_counter()
    time.sleep(2 * SECONDS)
    cpu = (_used_s(process) - begun) / (time.perf_counter() - begun_s)
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    (resident,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")]
    return cpu, int(resident) / 1e3


def _used_s(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def stations() -> None:
    """Serve the stations on real ptys and sockets until the input ends."""
    simulations = []
    for seed in range(STATIONS):
        clock = SimulationClock()
        units, _, _ = build(load_scenario(STATION), {}, clock, seed)
        simulations.append(Simulation(units, clock))
        await simulations[-1].start()
    await asyncio.sleep(1.0)  # until all have come to rest
    instruments = sum(len(simulation.units) for simulation in simulations)
    print(json.dumps({"process": os.getpid(), "instruments": instruments}), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for simulation in simulations:
        await simulation.stop()


async def poll(addresses: list[str]) -> tuple[float, float]:
    """Poll all for a while; return answers per second and the 99th percentile of the latency."""
    latencies: list[float] = []
    loop = asyncio.get_running_loop()
    start = loop.time() + 1.0
    clients = [
        Client(address, start + n / UNITS / POLLS_PER_S, latencies) for n, address in enumerate(addresses)
    ]
    for client in clients:
        await client.connect()
    start_late = max(0.0, loop.time() - start)
    await asyncio.sleep(1.0 + SECONDS + start_late)
    latencies.clear()
    begin = time.perf_counter()
    await asyncio.sleep(SECONDS)
    rate = len(latencies) / (time.perf_counter() - begin)
    return rate, sorted(latencies)[int(len(latencies) * 0.99)]


class Client:
    """Asks at fixed times; a question whose turn comes while the last one waits is skipped."""

    def __init__(self, address: str, first: float, latencies: list[float]) -> None:
        self._address, self._due, self._latencies = address, first, latencies
        self._sent = 0.0
        self._loop = asyncio.get_running_loop()

    async def connect(self) -> None:
        scheme, _, rest = self._address.partition("://")
        if scheme == "serial":
            descriptor = os.open(rest, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            self._write = lambda data: os.write(descriptor, data)
            self._loop.add_reader(descriptor, lambda: self._answered(os.read(descriptor, 4096)))
        else:
            host, port = rest.split(":")
            transport, _ = await self._loop.create_connection(
                lambda: _Reader(self._answered), host, int(port)
            )
            self._write = transport.write
        self._loop.call_at(self._due, self._ask)

    def _ask(self) -> None:
        if not self._sent:
            self._sent = time.perf_counter()
            self._write(b"MEAS?\n")
        self._due += 1.0 / POLLS_PER_S
        self._loop.call_at(self._due, self._ask)

    def _answered(self, data: bytes) -> None:
        if data.endswith(b"\n"):
            self._latencies.append(time.perf_counter() - self._sent)
            self._sent = 0.0


class _Reader(asyncio.Protocol):
    def __init__(self, answered) -> None:
        self.data_received = answered


if __name__ == "__main__":
    import resource

    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    if sys.argv[1] == "stations":
        asyncio.run(stations())
    else:
        with echo_simulation(Wire(sys.argv[1]), UNITS) as background:
            print(json.dumps([background.address(f"echo{n}") for n in range(1, UNITS + 1)]), flush=True)
            sys.stdin.read()
