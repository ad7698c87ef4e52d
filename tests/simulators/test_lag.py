"""A live world too slow for the machine: clients are answered meanwhile, and its lag is told."""

import json
import socket
import time

import pytest

from qhal.transport.control import SimulatorControl
from qhal_simulators.instrument_registry import make_unit
from qhal_simulators.run import LagReport
from qhal_simulators.servers.background import Background
from qhal_simulators.servers.control_server import ControlServer
from qhal_simulators.servers.simulation import Simulation
from qhal_simulators.simulated_time import SimulationClock


class HeavyWorld:
    """Needs twice the time that it simulates, whatever the machine."""

    pace_s = 0.02
    now_s = 0.0

    def advance_to(self, t_s):
        end = time.perf_counter() + 2 * (t_s - self.now_s)
        while time.perf_counter() < end:
            pass
        self.now_s = t_s


@pytest.fixture
def heavy():
    clock = SimulationClock(world=HeavyWorld(), speed=3.0)
    units = [make_unit("switch", "hubersuhner.polatis", {}, clock)]
    background = Background(Simulation(units, clock))
    background.control = ControlServer(background.simulation)
    with background:
        yield background


def test_clients_are_answered_while_the_world_lags(heavy):
    control = SimulatorControl(heavy.control.address)
    told = []
    heavy.simulation.watch_lag = told.append
    host, port = heavy.address("switch").removeprefix("tcp://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as client:
        while control.request("now")["lag_s"] < 0.5:
            client.sendall(b"*IDN?\n")
            assert b"Polatis" in client.recv(1000)
        first = control.request("now")
        # A switching time of 25 ms is 25 ms of the world's time; the operation ends though the world lags.
        client.sendall(b":oxc:swit:conn:only (@1),(@17);*OPC?\n")
        client.recv(1000)
        later = control.request("now")
    control.close()
    assert later["lag_s"] > first["lag_s"] > 0.5
    assert later["now_s"] > first["now_s"]
    assert max(told) >= first["lag_s"]


def test_clients_of_a_lone_instrument_are_answered_while_it_lags():
    clock = SimulationClock()
    unit = make_unit("switch", "hubersuhner.polatis", {}, clock)

    def work():
        """Take twice the time to the next call, for ever."""
        end = time.perf_counter() + 0.02
        while time.perf_counter() < end:
            pass
        clock.call_later(0.01, work)

    with Background(Simulation([unit], clock)) as background:
        background.do(work)
        host, port = background.address("switch").removeprefix("tcp://").split(":")
        with socket.create_connection((host, int(port)), timeout=60) as client:
            while clock.lag_s < 0.5:
                client.sendall(b"*IDN?\n")
                assert b"Polatis" in client.recv(1000)


def test_the_lag_is_a_line_of_json_now_and_then(mocker):
    wall, lines = mocker.patch("qhal_simulators.run.time.monotonic", return_value=100.0), []
    report = LagReport(lambda content: lines.append(json.dumps(content)))
    for n in range(1, 301):  # for 30 s it loses half of its time
        wall.return_value += 0.1
        report(n * 0.05)
    assert lines[0] == '{"lag_s": 0.5}'
    assert len(lines) == 3
    report(json.loads(lines[-1])["lag_s"] + 0.1)
    assert len(lines) == 3, "nothing new"
