"""Replies delayed at random around the time-out: no question gets the answer to another one.

``make stress`` asks 10,000 questions on each transport; CI asks 300.
"""

import threading
from collections import Counter

from qhal.errors import QhalError

TIMEOUT_S = 0.02
LATE_S = 0.03
WIRE_S = 0.02
"""What the wire and a busy machine may add to a reply's own delay."""


def test_delayed_replies(echo, request):
    queries = request.config.getoption("--queries")
    device, background = echo()
    device.port.line_delay_s = LATE_S + WIRE_S - TIMEOUT_S
    endpoint = background.unit("echo1").endpoints["main"]
    background.do(lambda: endpoint.delay_randomly(LATE_S, seed=7))
    outcome: Counter[str] = Counter()
    mismatched = []

    def ask(start):
        for n in range(start, start + queries // 2):
            try:
                answer = device.ask(n, timeout_s=TIMEOUT_S)
            except QhalError as error:
                outcome[type(error).__name__] += 1
                continue
            outcome["answered"] += 1
            if answer != n:
                mismatched.append((n, answer))

    threads = [threading.Thread(target=ask, args=(start,)) for start in (1_000_000, 2_000_000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert mismatched == []
    assert outcome["answered"] > 0.2 * queries, outcome
    assert outcome["ReplyTimeout"] > 0.05 * queries
    assert set(outcome) <= {"answered", "ReplyTimeout"}
