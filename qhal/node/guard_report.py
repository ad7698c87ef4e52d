"""How a guard reports: on the error stream of its owner and in the system's log, and never in its own way.

A pipe that is full, a terminal that is stopped, or a logging service that hangs blocks the thread that writes there,
and nothing else.
"""

import contextlib
import os
import syslog
import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue

Sink = Callable[[str], object]


def to_error_stream(line: str) -> None:
    """Write a line to the stream that the owner had, if it is still there."""
    data = line.encode("utf-8", "replace") + b"\n"
    while data:
        data = data[os.write(2, data) :]


def to_system_log(line: str) -> None:
    """Write a line to the system's log."""
    syslog.syslog(syslog.LOG_WARNING, line)


class Reports:
    """Lines that are written by a thread for each sink, in order."""

    def __init__(self, prefix: str, sinks: Sequence[Sink] = (to_error_stream, to_system_log)) -> None:
        self._prefix = prefix
        self._queues: list[SimpleQueue[str | None]] = []
        self._threads = []
        for sink in sinks:
            queue: SimpleQueue[str | None] = SimpleQueue()
            thread = threading.Thread(target=_write_all, args=(queue, sink), daemon=True)
            thread.start()
            self._queues.append(queue)
            self._threads.append(thread)

    def say(self, text: str) -> None:
        """Report a line, later if need be; returns at once."""
        for queue in self._queues:
            queue.put(f"{self._prefix}{text}")

    def end(self, limit_s: float) -> None:
        """Wait until all is written, but no longer than this."""
        deadline = time.monotonic() + limit_s
        for queue in self._queues:
            queue.put(None)
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))


def _write_all(queue: "SimpleQueue[str | None]", sink: Sink) -> None:
    while (line := queue.get()) is not None:
        with contextlib.suppress(OSError):  # the terminal or the reader is gone; the other sink has the line
            sink(line)
