"""The port: one lock, deadlines, taint and counters above any link.

A query is a request and the reply to it, or an error; never the reply to another request. The lock is
held across both. After a time-out, a protocol error or an interrupt nobody knows what is still under
way, so the port is *tainted*: before the next exchange the device's ``recover`` makes it clean again
(waits out a late reply or reopens) and lets it prove itself. A port whose link ended is *lost*; recovery
opens the device again.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import NoReturn, TypeVar, overload

from qhal.errors import DeviceError, Disconnected, ProtocolError, QhalError, ReplyTimeout
from qhal.transport.frames import Frame
from qhal.transport.link import Link

Parsed = TypeVar("Parsed")

MAX_UNSOLICITED = 10_000
"""So many frames that answer nothing may come within one exchange before it is given up."""


_BAD_INPUT = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What code that reads bytes raises when they are not as it thought."""


class PortState(Enum):
    """What is known about the wire."""

    CLOSED = "closed"
    PROVING = "proving"
    READY = "ready"
    TAINTED = "tainted"
    LOST = "lost"


@dataclass(slots=True)
class PortCounters:
    """What happened on a port since it was made."""

    exchanges: int = 0
    timeouts: int = 0
    protocol_errors: int = 0
    losses: int = 0
    unsolicited: int = 0


class Port:
    """A locked, self-suspicious end of one link.

    ``late_s`` is the longest time after a request in which its reply may still come. ``on_unsolicited``
    takes frames that answer nothing (status messages, broadcasts); without it they are errors, but for bytes of
    ``padding``: what may stand around the replies of a text protocol.
    ``recover`` is called with the lock held when the port is not ready.
    """

    def __init__(
        self,
        link: Link,
        name: str,
        *,
        timeout_s: float = 2.0,
        late_s: float = 2.0,
        lock: "threading.RLock | None" = None,
    ) -> None:
        self.link = link
        self.name = name
        self.timeout_s = timeout_s
        self.late_s = late_s
        self.lock = lock or threading.RLock()
        self.state = PortState.CLOSED
        self.counters = PortCounters()
        self.padding = b""
        self.on_unsolicited: Callable[[bytes], None] | None = None
        self.recover: Callable[[], None] = self._cannot_recover
        self._late_until = 0.0

    @overload
    def exchange(
        self,
        request: bytes,
        frame: Frame,
        *,
        timeout_s: float | None = None,
        accept: Callable[[bytes], bool] | None = None,
    ) -> bytes: ...

    @overload
    def exchange(
        self,
        request: bytes,
        frame: Frame,
        *,
        timeout_s: float | None = None,
        accept: Callable[[bytes], bool] | None = None,
        parse: Callable[[bytes], Parsed],
    ) -> Parsed: ...

    def exchange(
        self,
        request: bytes,
        frame: Frame,
        *,
        timeout_s: float | None = None,
        accept: Callable[[bytes], bool] | None = None,
        parse: Callable[[bytes], Parsed] | None = None,
    ) -> bytes | Parsed:
        """Send a request and return its reply, parsed if ``parse`` is given.

        ``frame`` reads one frame from the link; ``accept`` tells whether it answers this request. Whatever these
        and ``parse`` raise taints the port, but for a DeviceError of ``parse``: that is an answer.
        Raises ReplyTimeout, Disconnected, ProtocolError (also in the place of an error of another library, which
        is its cause), and what recovery and ``parse`` raise.
        """
        with self.lock:
            if self.state is not PortState.READY and self.state is not PortState.PROVING:
                self.recover()
            link = self.link
            limit_s = timeout_s or self.timeout_s
            started = time.monotonic()
            self.counters.exchanges += 1
            try:
                if link.pending():
                    self._clear_the_line(frame, limit_s)
                    started = time.monotonic()
                deadline = started + limit_s
                link.write(request, deadline)
                reply = frame(link, deadline)
                if accept is not None:
                    for _ in range(MAX_UNSOLICITED):
                        if accept(reply):
                            break
                        self._unsolicited(reply)
                        reply = frame(link, deadline)
                    else:
                        raise ProtocolError(f"{MAX_UNSOLICITED} frames and none of them the reply")
                if parse is None:
                    return reply
                try:
                    return parse(reply)
                except DeviceError as error:
                    answer = error
            except BaseException as error:  # noqa: BLE001  # an interrupt taints the port as well
                self._fail(error, request, started)
            raise self._in_context(answer, request, started)

    def send(self, request: bytes, *, frame: Frame | None = None, timeout_s: float | None = None) -> None:
        """Send a request that has no reply; ``frame`` reads unsolicited frames that came before it."""
        with self.lock:
            if self.state is not PortState.READY and self.state is not PortState.PROVING:
                self.recover()
            limit_s = timeout_s or self.timeout_s
            started = time.monotonic()
            self.counters.exchanges += 1
            try:
                if self.link.pending():
                    self._clear_the_line(frame, limit_s)
                    started = time.monotonic()
                self.link.write(request, started + limit_s)
            except BaseException as error:  # noqa: BLE001  # an interrupt taints the port as well
                self._fail(error, request, started)

    @overload
    def receive(self, frame: Frame, *, timeout_s: float | None = None) -> bytes: ...

    @overload
    def receive(
        self, frame: Frame, *, timeout_s: float | None = None, parse: Callable[[bytes], Parsed]
    ) -> Parsed: ...

    def receive(
        self, frame: Frame, *, timeout_s: float | None = None, parse: Callable[[bytes], Parsed] | None = None
    ) -> bytes | Parsed:
        """Return the next frame of a stream that needs no request, parsed if ``parse`` is given.

        A frame that is late is no fault here: ReplyTimeout leaves the port ready.
        """
        with self.lock:
            if self.state is not PortState.READY and self.state is not PortState.PROVING:
                raise Disconnected(f"{self.name}: {self.link.address}: the stream is {self.state.value}")
            started = time.monotonic()
            try:
                found = frame(self.link, started + (timeout_s or self.timeout_s))
                return found if parse is None else parse(found)
            except ReplyTimeout:
                raise
            except BaseException as error:  # noqa: BLE001  # an interrupt taints the port as well
                self._fail(error, b"", started)

    def drain_unsolicited(self, frame: Frame) -> None:
        """Hand over all unsolicited frames that have arrived."""
        with self.lock:
            started = time.monotonic()
            try:
                if self.link.pending():
                    self._surplus(frame, started + self.timeout_s)
            except BaseException as error:  # noqa: BLE001  # an interrupt taints the port as well
                self._fail(error, b"", started)

    def taint(self) -> None:
        """Declare that a reply to an earlier request may still be under way."""
        self.state = PortState.TAINTED
        self._late_until = time.monotonic() + self.late_s

    def wait_out_late_reply(self) -> None:
        """Discard whatever arrives until no reply to an earlier request can be under way."""
        while True:
            self.link.discard()
            left = self._late_until - time.monotonic()
            if left <= 0:
                return
            try:
                self.link.read_message(self._late_until)
            except ReplyTimeout:
                continue

    def _clear_the_line(self, frame: Frame | None, limit_s: float) -> None:
        """Deal with what came since the last exchange: surplus bytes, or the end of the link."""
        try:
            self._surplus(frame, time.monotonic() + limit_s)
        except Disconnected:
            if self.state is PortState.PROVING:
                raise
            # Nothing was sent yet, so opening again is all that is needed.
            self.state = PortState.LOST
            self.counters.losses += 1
            self.recover()

    def _surplus(self, frame: Frame | None, deadline: float) -> None:
        if self.on_unsolicited is None or frame is None:
            surplus = self.link.discard()
            if surplus.strip(self.padding):
                raise ProtocolError(f"{surplus!r} came without a request")
            return
        while self.link.pending():
            self._unsolicited(frame(self.link, deadline))

    def _unsolicited(self, frame: bytes) -> None:
        self.counters.unsolicited += 1
        if self.on_unsolicited is None:
            raise ProtocolError(f"{frame!r} does not answer the request")
        self.on_unsolicited(frame)

    def _fail(self, error: BaseException, request: bytes, started: float) -> NoReturn:
        """Note what the failure means for the port and raise the error with its context."""
        self._late_until = started + self.late_s
        if isinstance(error, _BAD_INPUT) and not isinstance(error, QhalError):
            cause, error = error, ProtocolError(f"{type(error).__name__}: {str(error)[:200]}")
            error.__cause__ = cause
        if isinstance(error, Disconnected):
            self.state = PortState.LOST
            self.counters.losses += 1
        else:
            if self.state is not PortState.LOST:
                self.state = PortState.TAINTED
            self.counters.timeouts += isinstance(error, ReplyTimeout)
            self.counters.protocol_errors += isinstance(error, ProtocolError)
        if isinstance(error, QhalError):
            error = self._in_context(error, request, started)
        raise error from error.__cause__

    def _in_context(self, error: QhalError, request: bytes, started: float) -> QhalError:
        """Return the error, with what was asked of whom and how long that took in its message."""
        asked = f" to {request[:60]!r}" if request else ""
        where = "" if self.link.address in str(error) else f" ({self.link.address})"
        waited = f" after {time.monotonic() - started:.3g} s" if isinstance(error, ReplyTimeout) else ""
        error.args = (f"{self.name}{where}{asked}: {error}{waited}",)
        return error

    def _cannot_recover(self) -> None:
        raise Disconnected(f"{self.name}: {self.link.address} is not open ({self.state.value})")
