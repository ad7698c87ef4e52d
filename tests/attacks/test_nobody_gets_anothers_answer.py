"""No question gets the answer to another one, whatever delay each reply has, those to proofs included.

Time-outs are scaled to 20 ms, or longer where the machine is so busy that answers usually take longer, the line's delay
in proportion; replies are up to three time-outs late. Under ``make attacks`` 100,000 questions on each wire, one in ten
of them late.
"""

import logging
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import pytest

from qhal.devices.device import Device
from qhal.errors import QhalError
from qhal.node.device_factory import make_device
from tests.attacks import dialects
from tests.attacks.middle import Faults, Middle, SerialMiddle, TcpMiddle, ZmqMiddle

TIMEOUT_S = 0.02
LATEST, USUAL, LONGER_THAN_USUAL = 3, 10, 2
OPENED_WITHIN_S = 10.0
BRIDGE = partial(TcpMiddle, bridge=True)
WIRES: dict[str, list[tuple[Callable[..., Middle], type[dialects.Dialect]]]] = {
    "serial": [
        (SerialMiddle, dialects.Dd100),
        (SerialMiddle, dialects.Ppcl550),
        (SerialMiddle, dialects.Mpc320),
        (SerialMiddle, dialects.VisaPolatis),
        (BRIDGE, dialects.Dd100),
        (BRIDGE, dialects.Awg5014),
    ],
    "tcp": [(TcpMiddle, kind) for kind in (dialects.Polatis, dialects.Awg5014, dialects.WebSq)] * 2,
    "visa": [(TcpMiddle, kind) for kind in (dialects.VisaPolatis, dialects.VisaAwg5014)] * 3,
    "zmq": [(ZmqMiddle, dialects.Id900)] * 5 + [(partial(ZmqMiddle, returns_envelope=False), dialects.Id900)],
}


@pytest.mark.parametrize("wire", WIRES)
def test_every_answer_belongs_to_its_question(wire, attacks, caplog):
    caplog.set_level(logging.CRITICAL)  # thousands of losses are no news here
    pairs = WIRES[wire]
    queries = -(-attacks(100_000) // len(pairs))
    results = [Attack(make(kind(), seed), queries) for seed, (make, kind) in enumerate(pairs)]
    threads = [threading.Thread(target=each.run) for each in results]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for each in results:
        print(each)  # noqa: T201  # shown with -s, or when it fails
        assert each.wrong == []
        assert each.untyped == []
        assert each.outcome["good"] > 0.05 * queries
    assert sum(each.middle.done["late"] for each in results) > 0.1 * queries * len(pairs)


class Attack:
    """Asks one driver one numbered question after the other, through a faulty wire."""

    def __init__(self, middle: Middle, queries: int) -> None:
        self.middle = middle
        self.queries = queries
        self.outcome: Counter[str] = Counter()
        self.wrong: list[tuple[int, float, float]] = []
        self.untyped: list[BaseException] = []
        self.longest_s = self.took_s = 0.0

    def __str__(self) -> str:
        return (
            f"{type(self.middle).__name__} {self.middle.dialect.model}: {dict(self.outcome)}, middle "
            f"{dict(self.middle.done)}, longest call {self.longest_s:.2f} s, {self.took_s:.0f} s"
        )

    def run(self) -> None:
        """Ask everything; what goes wrong is kept for the test's thread."""
        try:
            with ExitStack() as stack:
                self._ask_all(stack)
        except BaseException as error:  # noqa: BLE001  # asserted by the test
            self.untyped.append(error)

    def _ask_all(self, stack: ExitStack) -> None:
        middle = stack.enter_context(self.middle)
        connections = {}
        if isinstance(middle.dialect, dialects.WebSq):
            counts = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=4096))
            connections = {"counts": f"tcp://127.0.0.1:{counts.getsockname()[1]}"}
        device = make_device(middle.dialect.model, middle.address, connections=connections)
        device.connection.timeout_s = OPENED_WITHIN_S
        stack.enter_context(device)
        spec = device.declaration.connections["main"]
        timeout_s = max(TIMEOUT_S, LONGER_THAN_USUAL * max(self._asked_s(device) for _ in range(USUAL)))
        device.connection.line_delay_s = timeout_s * spec.line_delay_s / spec.timeout_s
        device.connection.timeout_s = timeout_s
        # Where a connection is opened again, that asks dozens of questions, and few openings would ever end.
        others = 0.02 if device.connection.transport.reopen_discards else 0.1
        # A message of ZeroMQ comes whole or not at all.
        cut = 0.0 if isinstance(middle, ZmqMiddle) else 0.005
        middle.faults = Faults(0.12, others, LATEST * timeout_s, doubled=0.005, stray=0.005, cut=cut)
        started = time.monotonic()
        for _ in range(self.queries):
            asked = time.monotonic()
            try:
                value = middle.dialect.ask(device)
            except QhalError as error:
                self.outcome[type(error).__name__] += 1
            else:
                self.outcome["good"] += 1
                expected = middle.dialect.encoded(middle.number)
                if value != pytest.approx(expected, abs=1e-9):
                    self.wrong.append((middle.number, value, expected))
            self.longest_s = max(self.longest_s, time.monotonic() - asked)
        self.took_s = time.monotonic() - started
        middle.faults = Faults()
        device.connection.timeout_s = OPENED_WITHIN_S

    def _asked_s(self, device: Device) -> float:
        """Return how long a question takes on the faultless wire."""
        asked = time.monotonic()
        self.middle.dialect.ask(device)
        return time.monotonic() - asked
