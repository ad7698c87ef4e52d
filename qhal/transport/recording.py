r"""Record an exchange to a text file, and replay it without the device.

A trace is one line an event: ``<seconds> > <bytes>`` written, ``<seconds> < <bytes>`` read, ``<seconds> << <bytes>`` a
whole message read, the bytes as a Python literal, so that traces can be read and compared. A replayed transport answers
only what was recorded: a write that differs from the trace raises and names both.

The trace must be writable at opening. When it is not any more, as on a full disk, a warning is logged, the recording
ends there and the device works on: a record of a device is worth less than the device.
"""

import ast
import logging
import os
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from qhal.errors import ConfigurationError, Disconnected, ProtocolError, ReplyTimeout
from qhal.transport.address import Address
from qhal.transport.base import Transport
from qhal.transport.schemes import SCHEMES
from qhal.transport.tapped import TappedTransport

log = logging.getLogger("qhal")

_MOST_BYTES = 64 << 20
"""The largest trace that is replayed."""


class RecordedTransport(TappedTransport):
    """A transport above another one; everything that crosses it is written to a trace file.

    A relative path is one of the working directory.
    """

    def __init__(self, inner: Transport, trace: str | Path) -> None:
        super().__init__(inner)
        self._read_mark = "<<" if inner.keeps_messages else "<"
        self._path = Path(trace)
        self._file: TextIO | None = None
        self._started = time.monotonic()

    def open(self, deadline: float) -> None:
        """Open the inner transport and the trace file, which is appended to."""
        super().open(deadline)
        if self._file is None:
            try:
                # Without O_NONBLOCK a pipe without a reader would be waited for.
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK
                self._file = os.fdopen(os.open(self._path, flags, 0o666), "a", encoding="ascii")
            except OSError as error:
                super().close()
                raise ConfigurationError(f"trace file {self._path}: {error.strerror}") from error

    def close(self) -> None:
        """Close both."""
        super().close()
        self._end()

    def _note(self, direction: str, data: bytes) -> None:
        if self._file is not None:
            mark = self._read_mark if direction == "<" else direction
            try:
                self._file.write(f"{time.monotonic() - self._started:.6f} {mark} {data!r}\n")
                self._file.flush()
            except OSError as error:
                log.warning("%s: the recording to %s ends: %s", self.address, self._path, error.strerror)
                self._end()

    def _end(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):  # what could not be written
                file.close()


class ReplayedTransport(Transport):
    """A recorded exchange in place of the device.

    Raises ConfigurationError when the file is absent or not a trace.
    """

    stands_in_for = tuple(SCHEMES)

    def __init__(self, address: Address, settings: object = None) -> None:
        super().__init__(str(address))
        address.refuse_other_options()
        self._path = Path(address.path)
        self._recorded = self._read()
        self.keeps_messages = any(mark == "<<" for mark, _ in self._recorded)
        self._events: list[tuple[str, bytes]] = []
        self._next = 0

    def open(self, deadline: float) -> None:
        """Start at the first event of the trace."""
        del deadline
        if not self._events:
            self._events, self._next = list(self._recorded), 0

    def close(self) -> None:
        """Drop the position; opening again starts the trace from its beginning."""
        self._events = []

    def write(self, data: bytes, deadline: float) -> None:
        """Check the bytes against the trace. Raises ProtocolError when they were not recorded here."""
        del deadline
        while data:
            direction, expected = self._event()
            if direction != ">" or not (data.startswith(expected) or expected.startswith(data)):
                raise ProtocolError(
                    f"{self._path}: event {self._next + 1} is {direction} {expected!r}, not > {data!r}"
                )
            if len(data) < len(expected):
                self._events[self._next] = (">", expected[len(data) :])
                return
            data = data[len(expected) :]
            self._next += 1

    def read_chunk(self, deadline: float, until: bytes | int) -> bytes:
        """Return the next chunk that was read. Raises ReplyTimeout when a request was written next."""
        direction, data = self._event()
        if direction == ">":
            raise ReplyTimeout(f"{self._path}: the recording has no reply here")
        self._next += 1
        return data

    def readable(self) -> bool:
        """Return False: a recorded chunk arrives when it is read."""
        return False

    def _event(self) -> tuple[str, bytes]:
        if not self._events:
            raise Disconnected(f"{self.address}: not open")
        if self._next >= len(self._events):
            raise ProtocolError(f"{self._path}: the recording ends after {len(self._events)} events")
        return self._events[self._next]

    def _read(self) -> list[tuple[str, bytes]]:
        try:
            lines = _content(self._path).decode("ascii").splitlines()
        except OSError as error:
            raise ConfigurationError(f"trace file {self._path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ConfigurationError(f"trace file {self._path}: {error}") from error
        events = [self._parsed(number, text) for number, text in enumerate(lines, 1)]
        if not events:
            raise ConfigurationError(f"trace file {self._path}: it is empty")
        return events

    def _parsed(self, number: int, text: str) -> tuple[str, bytes]:
        try:
            _, direction, literal = text.split(" ", 2)
            data = ast.literal_eval(literal)
        except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
            raise ConfigurationError(f"trace file {self._path}, line {number}: {str(error)[:200]}") from error
        if direction not in ("<", "<<", ">") or not isinstance(data, bytes):
            raise ConfigurationError(f"trace file {self._path}, line {number}: not '<seconds> > b...'")
        return direction, data


def _content(path: Path) -> bytes:
    """Return what is in a file. Raises ConfigurationError for anything but a file of moderate size."""
    # Without O_NONBLOCK a pipe without a writer would be waited for.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ConfigurationError(f"trace file {path}: not a regular file")
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise ConfigurationError(f"trace file {path}: larger than {_MOST_BYTES >> 20} MiB")
    return content
