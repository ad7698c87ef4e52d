"""Threads that close what others use, a stream beside a lost main connection, forks, no file descriptor left.

Each ends in typed errors: libzmq aborts the whole process when a socket is closed under a thread that uses it,
when it is used in a forked child, and when it gets no descriptor.
"""

import gc
import logging
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter

import pytest

from qhal.errors import Disconnected, QhalError
from qhal.node.driver_registry import drivers
from qhal_drivers.idquantique.datalink import DataLink

ID900 = "idquantique.id900"
HANGS_AFTER_S = 60


def gather(*actions, hangs_after_s=HANGS_AFTER_S):
    """Carry out actions in threads at once; return what they raised that is no QhalError."""
    untyped = []

    def carry_out(action):
        try:
            action()
        except QhalError:
            return
        except BaseException as error:  # noqa: BLE001  # asserted by the test
            untyped.append(error)

    threads = [threading.Thread(target=carry_out, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(hangs_after_s)
    assert not any(thread.is_alive() for thread in threads)
    return untyped


@pytest.mark.parametrize("driver", sorted(drivers()))
def test_closing_beside_use_gives_typed_errors(bench, driver, attacks, caplog):
    caplog.set_level(logging.CRITICAL)
    device, _ = bench(driver)
    before = device.status().model_dump(exclude={"time"})
    outcome = Counter()
    stop = threading.Event()

    def use():
        service = DataLink(device.session.connection("dlt")) if driver == ID900 else None
        while not stop.is_set():
            try:
                status = device.status() if service is None else service.acquisitions()
                outcome["good" if driver == ID900 or status else "empty"] += 1
            except QhalError as error:
                outcome[type(error).__name__] += 1

    def close_and_open():
        try:
            for _ in range(attacks(500)):
                device.close()
                device.open()
                device.status()
        finally:
            stop.set()

    assert gather(use, use, use, close_and_open, hangs_after_s=HANGS_AFTER_S + attacks(500)) == []
    assert outcome["good"] > 0
    assert set(outcome) <= {"good", "Disconnected"}
    assert device.status().model_dump(exclude={"time"}) == before


def test_a_stream_goes_on_while_the_main_connection_comes_back(bench, attacks, caplog):
    caplog.set_level(logging.CRITICAL)
    tagger, background = bench(ID900)
    tagger.set_enabled(1, True)
    draw = random.Random(5)
    endpoint = background.unit(ID900).endpoints["main"]
    outcome = Counter()
    stop = threading.Event()

    def read():
        while not stop.is_set():
            try:
                with tagger.stream() as tags:
                    for _ in tags:
                        outcome["batches"] += 1
                        if stop.is_set():
                            return
            except QhalError as error:
                outcome[type(error).__name__] += 1

    def ask():
        tagger.connection.timeout_s = 0.1
        try:
            while outcome["batches"] == 0:
                ask_once()
            background.do(lambda: setattr(endpoint, "delay_s", lambda: 0.2 if draw.random() < 0.02 else 0.0))
            for _ in range(attacks(2000)):
                ask_once()
        finally:
            stop.set()

    def ask_once():
        try:
            tagger.status()
            outcome["good"] += 1
        except QhalError as error:
            outcome[f"status {type(error).__name__}"] += 1

    untyped = gather(read, ask, hangs_after_s=HANGS_AFTER_S + attacks(2000))
    background.do(endpoint.heal)
    assert untyped == []
    assert tagger.health.reconnects > 0
    assert outcome["good"] > 0


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("driver", sorted(drivers()))
def test_a_forked_process_is_refused_and_its_parent_not_disturbed(bench, driver):
    device, _ = bench(driver)
    before = device.status().model_dump(exclude={"time"})
    held, forked = threading.Event(), threading.Event()

    def hold():
        with device.locked():
            held.set()
            forked.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(HANGS_AFTER_S)
        os.write(write_end, report(device).encode())
        os._exit(0)
    forked.set()
    holder.join()
    os.close(write_end)
    said = b""
    while piece := os.read(read_end, 4096):
        said += piece
        assert device.status().model_dump(exclude={"time"}) == before
    os.close(read_end)
    assert os.waitpid(child, 0)[1] == 0
    assert said.decode() == "Disconnected Disconnected closed Disconnected"
    assert device.status().model_dump(exclude={"time"}) == before
    assert device.health.timeouts == device.health.protocol_errors == device.health.losses == 0


def report(device):
    """Return what a forked process meets: using, opening, closing, using again; nothing else may happen there."""
    said = []
    for action in (device.status, device.open, device.close, device.status):
        try:
            action()
            said.append("closed" if action == device.close else "done")
        except Disconnected as error:
            said.append("Disconnected" if "forked" in str(error) else str(error))
        except BaseException as error:  # noqa: BLE001  # told to the parent
            said.append(repr(error))
    gc.collect()
    return " ".join(said)


OPEN_WITH_FEW_DESCRIPTORS = """
import json, os, resource, sys
from qhal import open_device
from qhal.errors import QhalError
driver, address, connections = json.loads(sys.argv[1])
spare = -1  # listing the descriptors takes one
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
while True:
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    here = max(int(name) for name in os.listdir("/proc/self/fd")) + 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (here + spare, most))
    try:
        with open_device(driver, address, connections=connections) as device:
            device.status()
        break
    except QhalError as error:
        print(type(error).__name__)
    spare += 1
    assert spare < 60, "it does not open at all"
print("opened", spare)
"""


@pytest.mark.parametrize("driver", sorted(drivers()))
def test_without_descriptors_there_are_typed_errors(simulate, driver):
    import json

    background = simulate(driver)
    connections = background.connections(driver)
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            OPEN_WITH_FEW_DESCRIPTORS,
            json.dumps([driver, background.address(driver), connections]),
        ],
        capture_output=True,
        text=True,
        timeout=HANGS_AFTER_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *errors, opened = done.stdout.split("\n")[:-1]
    assert opened.startswith("opened")
    # Python's own search for modules takes a folder that it cannot read for an empty one.
    assert errors
    assert set(errors) <= {"Disconnected", "ConfigurationError"}, done.stdout
