"""Every driver, every way a connection can fail, idle or in a command: a typed error in time, and back by itself."""

import threading
import time

import pytest

from qhal.errors import Disconnected, ReplyTimeout
from qhal.node.driver_registry import drivers

TIMEOUT_S = 0.4
DEADLINE_S = 3.0


@pytest.mark.parametrize("moment", ["idle", "command"])
@pytest.mark.parametrize("fault", ["closed", "reset", "silent"])
@pytest.mark.parametrize("driver", sorted(drivers()))
def test_fails_in_time_and_comes_back(bench, driver, fault, moment):
    device, background = bench(driver)
    for name in device.declaration.connections:
        connection = device.session.connection(name)
        connection.timeout_s, connection.line_delay_s = TIMEOUT_S, 0.1
    before = device.status()
    endpoints = background.unit(driver).endpoints.values()

    def silence():
        for endpoint in endpoints:
            endpoint.silent = True

    def strike():
        if fault != "silent":
            background.simulation.unplug(driver, reset=fault == "reset")

    background.do(silence if moment == "command" or fault == "silent" else strike)
    striking = threading.Timer(0.1, lambda: background.do(strike))
    if moment == "command":
        striking.start()
    started = time.monotonic()
    with pytest.raises((Disconnected, ReplyTimeout)) as caught:
        device.status()
    assert time.monotonic() - started < DEADLINE_S
    assert device.name in str(caught.value)
    if moment == "command":
        striking.join()

    def heal():
        for endpoint in endpoints:
            endpoint.heal()

    background.do(heal)
    if fault != "silent":
        background.run(lambda: background.simulation.plug(driver))
    after = device.status()
    assert after.model_dump(exclude={"time"}) == before.model_dump(exclude={"time"})
    assert device.health.settings_changed == {}
    if fault != "silent":
        assert device.health.reconnects >= 1
