"""The connection: one lock, deadlines, taint and counters above any transport.

A query is a request and the reply to it, or an error; never the reply to another request. The lock is
held across both. After a time-out, a protocol error or an interrupt a reply may still be under
way, so the connection is *tainted*: before the next exchange the device's ``recover`` makes it clean again
(waits out a late reply or reopens) and lets it prove itself. A connection whose transport ended is *lost*; recovery
opens the device again. A process that is forked off finds the connections *inherited*, and they refuse.
"""

import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, NoReturn, TypeVar

from qhal.errors import DeviceError, Disconnected, ProtocolError, QhalError, ReplyTimeout
from qhal.transport.base import Transport
from qhal.transport.frames import Frame
from qhal.transport.reader import Reader

if TYPE_CHECKING:  # Python itself knows the default from 3.13
    from typing_extensions import TypeVar as TypeVarWithDefault

    Parsed = TypeVarWithDefault("Parsed", default=bytes)
else:
    Parsed = TypeVar("Parsed")

MAX_UNSOLICITED = 10_000
"""Frames that answer nothing within one exchange before it is given up."""


_BAD_INPUT = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What code that reads bytes raises when they are not as it thought."""


class ConnectionState(Enum):
    """What is known about the wire."""

    CLOSED = "closed"
    VERIFYING = "verifying"
    READY = "ready"
    TAINTED = "tainted"
    LOST = "lost"
    INHERITED = "inherited"
    """Opened by the process that this one was forked from; not to be touched here."""


_READY, _VERIFYING = (
    ConnectionState.READY,
    ConnectionState.VERIFYING,
)  # each access to a member of an Enum is a call


@dataclass(slots=True)
class ConnectionCounters:
    """What happened on a connection since it was made."""

    exchanges: int = 0
    timeouts: int = 0
    protocol_errors: int = 0
    losses: int = 0
    unsolicited: int = 0


class Connection:
    """A locked, self-suspicious end of one transport.

    ``line_delay_s`` is what the line may add to the unit's own time: after a time-out the reply is waited for that
    much longer. ``on_unsolicited`` takes frames that answer nothing (status messages, broadcasts); without it they
    are errors, but for bytes of ``padding``: what may stand around the replies of a text protocol.
    ``recover`` is called when the connection is not ready, with the time-out of the call that needs it and
    without this connection's lock, so that it may take the locks of a device in their order.
    ``unanswered`` are the requests whose reply may still come, oldest first; ``budget_until`` is when the opening
    or recovery that is going on must be over.
    """

    def __init__(
        self,
        transport: Transport,
        name: str,
        *,
        timeout_s: float = 2.0,
        line_delay_s: float = 0.3,
        lock: "threading.RLock | None" = None,
    ) -> None:
        self.transport = transport
        self.reader = Reader(transport)
        self.name = name
        self.timeout_s = timeout_s
        self.line_delay_s = line_delay_s
        self.lock = lock or threading.RLock()
        self.state = ConnectionState.CLOSED
        self.counters = ConnectionCounters()
        self.padding = b""
        self.on_unsolicited: Callable[[bytes], None] | None = None
        self.recover: Callable[[float], None] = self._cannot_recover
        self.unanswered: list[bytes] = []
        self.late_until = 0.0
        self.budget_until = inf
        _connections.add(self)

    @property
    def address(self) -> str:
        """The address of the transport."""
        return self.transport.address

    @property
    def stale_reply_s(self) -> float:
        """The longest time after an ordinary request in which its reply may still come."""
        return self.timeout_s + self.line_delay_s

    def __repr__(self) -> str:
        return f"<Connection {self.name!r} at {self.address}, {self.state.value}>"

    def exchange(
        self,
        request: bytes,
        frame: Frame,
        *,
        timeout_s: float | None = None,
        accept: Callable[[bytes], bool] | None = None,
        parse: Callable[[bytes], Parsed] = bytes,  # type: ignore[assignment]  # the default of Parsed
    ) -> Parsed:
        """Send a request and return what ``parse`` makes of its reply: the bytes by default.

        ``frame`` reads one frame from the transport; ``accept`` returns whether it answers this request. Whatever these
        and ``parse`` raise taints the connection, but for a DeviceError of ``parse``: that is an answer.
        Raises ReplyTimeout, Disconnected, ProtocolError (also in the place of an error of another library, which
        is its cause), and what recovery and ``parse`` raise.
        """
        limit_s = timeout_s or self.timeout_s
        while True:
            if self.state is not _READY and self.state is not _VERIFYING:
                self.recover(limit_s)
            with self.lock:
                if self.state is not _READY:
                    if self.state is not _VERIFYING:
                        continue  # another thread closed or tainted it meanwhile
                    limit_s = self._within_budget(limit_s)
                reader, transport = self.reader, self.transport
                started = monotonic()
                self.counters.exchanges += 1
                try:
                    if reader.unread or transport.readable():
                        if self._ended_before(frame, limit_s):
                            continue
                        started = monotonic()
                    deadline = started + limit_s
                    transport.write(request, deadline)
                    reply = frame(reader, deadline)
                    if accept is not None:
                        for _ in range(MAX_UNSOLICITED):
                            if accept(reply):
                                break
                            self.unsolicited(reply)
                            reply = frame(reader, deadline)
                        else:
                            raise ProtocolError(f"{MAX_UNSOLICITED} frames and none of them the reply")
                    if parse is bytes:
                        return reply  # type: ignore[return-value]
                    try:
                        return parse(reply)
                    except DeviceError as error:
                        answer = error
                except BaseException as error:  # noqa: BLE001  # an interrupt taints the connection as well
                    self.fail(error, request, started, limit_s)
                raise self._in_context(answer, request, started)

    def send(self, request: bytes, *, frame: Frame | None = None, timeout_s: float | None = None) -> None:
        """Send a request that has no reply; ``frame`` reads unsolicited frames that came before it."""
        limit_s = timeout_s or self.timeout_s
        while True:
            if self.state is not _READY and self.state is not _VERIFYING:
                self.recover(limit_s)
            with self.lock:
                if self.state is not _READY:
                    if self.state is not _VERIFYING:
                        continue
                    limit_s = self._within_budget(limit_s)
                started = monotonic()
                self.counters.exchanges += 1
                try:
                    if self.reader.pending():
                        if self._ended_before(frame, limit_s):
                            continue
                        started = monotonic()
                    self.transport.write(request, started + limit_s)
                    return
                except BaseException as error:  # noqa: BLE001  # an interrupt taints the connection as well
                    self.fail(error, b"", started, limit_s)

    def receive(
        self,
        frame: Frame,
        *,
        timeout_s: float | None = None,
        parse: Callable[[bytes], Parsed] = bytes,  # type: ignore[assignment]  # the default of Parsed
    ) -> Parsed:
        """Return what ``parse`` makes of the next frame of a stream that needs no request: the bytes by default.

        A frame that is late is not a fault here: ReplyTimeout leaves the connection ready.
        """
        limit_s = timeout_s or self.timeout_s
        with self.lock:
            if self.state is not _READY and self.state is not _VERIFYING:
                raise Disconnected(f"{self.name}: {self.address}: the stream is {self.state.value}")
            started = monotonic()
            try:
                return parse(frame(self.reader, started + limit_s))
            except ReplyTimeout:
                raise
            except BaseException as error:  # noqa: BLE001  # an interrupt taints the connection as well
                self.fail(error, b"", started, 0.0)

    def discard(self) -> None:
        """Forget what has arrived of a stream."""
        with self.lock:
            if self.state is _READY:
                started = monotonic()
                try:
                    self.reader.discard(started + self.timeout_s)
                except BaseException as error:  # noqa: BLE001  # an interrupt taints the connection as well
                    self.fail(error, b"", started, 0.0)

    def open(self, deadline: float) -> None:
        """Open the transport; the state stays as it is. Raises ConnectTimeout, Disconnected."""
        self.transport.open(deadline)

    def close(self) -> None:
        """Close the transport and drop what was not read; the state stays as it is."""
        self.reader.close()

    def taint(self) -> None:
        """Declare that a reply to an earlier request may still be under way."""
        self.state = ConnectionState.TAINTED
        self.late_until = max(self.late_until, monotonic() + self.stale_reply_s)

    def settle(self, state: ConnectionState) -> None:
        """Take a state in which no reply is under way: the connection is proven, or its transport is new or closed."""
        self.state = state
        self.unanswered.clear()
        self.late_until = 0.0

    @contextmanager
    def held(self, limit_s: float) -> Iterator[None]:
        """Hold the lock, so that no thread uses the transport. Raises ReplyTimeout when one does for longer."""
        if not self.lock.acquire(timeout=max(0.0, limit_s)):
            raise ReplyTimeout(f"{self.name}: another thread uses {self.address} for {limit_s:.3g} s")
        try:
            yield
        finally:
            self.lock.release()

    def unsolicited(self, frame: bytes) -> None:
        """Hand over a frame that does not answer what was asked. Raises ProtocolError when none may come."""
        self.counters.unsolicited += 1
        if self.on_unsolicited is None:
            raise ProtocolError(f"{frame[:200]!r} does not answer the request")
        self.on_unsolicited(frame)

    def fail(self, error: BaseException, request: bytes, started: float, limit_s: float) -> NoReturn:
        """Note what a failure means for the connection and raise the error with its context.

        ``request``: what was sent, if it has a reply; ``limit_s``: how long that may take, 0 when nothing was sent.
        """
        if limit_s:
            self.late_until = max(self.late_until, started + limit_s + self.line_delay_s)
        if request:
            self.unanswered.append(request)
        if isinstance(error, _BAD_INPUT) and not isinstance(error, QhalError):
            cause, error = error, ProtocolError(f"{type(error).__name__}: {str(error)[:200]}")
            error.__cause__ = cause
        if isinstance(error, Disconnected):
            self.state = ConnectionState.LOST
            self.counters.losses += 1
        else:
            if self.state is not ConnectionState.LOST:
                self.state = ConnectionState.TAINTED
            self.counters.timeouts += isinstance(error, ReplyTimeout)
            self.counters.protocol_errors += isinstance(error, ProtocolError)
        if isinstance(error, QhalError):
            error = self._in_context(error, request, started)
        raise error from error.__cause__

    def _within_budget(self, limit_s: float) -> float:
        """Return how long an exchange of an opening or recovery may take."""
        left_s = self.budget_until - monotonic()
        if left_s <= 0:
            raise ReplyTimeout(f"{self.name}: {self.address} is not ready in time")
        return min(limit_s, left_s)

    def _ended_before(self, frame: Frame | None, limit_s: float) -> bool:
        """Deal with what came since the last exchange; return whether it was the end of the transport."""
        try:
            self._surplus(frame, monotonic() + limit_s)
        except Disconnected:
            if self.state is _VERIFYING:
                raise
            # Nothing was sent yet, so opening again is all that is needed.
            self.state = ConnectionState.LOST
            self.counters.losses += 1
            return True
        return False

    def _surplus(self, frame: Frame | None, deadline: float) -> None:
        if self.on_unsolicited is None or frame is None:
            surplus = self.reader.discard(deadline)
            if surplus.strip(self.padding):
                raise ProtocolError(f"{surplus[:200]!r} came without a request")
            return
        while self.reader.pending():
            if monotonic() > deadline:
                raise ReplyTimeout("unsolicited messages come without a pause")
            self.unsolicited(frame(self.reader, deadline))

    def _in_context(self, error: QhalError, request: bytes, started: float) -> QhalError:
        """Return the error, with what was asked of whom and how long that took in its message."""
        asked = f" to {request[:60]!r}" if request else ""
        where = "" if self.address in str(error) else f" ({self.address})"
        waited = f" after {monotonic() - started:.3g} s" if isinstance(error, ReplyTimeout) else ""
        error.args = (f"{self.name}{where}{asked}: {error}{waited}",)
        return error

    def _cannot_recover(self, limit_s: float) -> None:
        del limit_s
        raise Disconnected(f"{self.name}: {self.address} is not open ({self.state.value})")


_connections: "weakref.WeakSet[Connection]" = weakref.WeakSet()


def _refuse_inherited() -> None:
    """Keep a forked process off the transports of its parent, whose locks some thread there may have held."""
    locks: dict[int, threading.RLock] = {}
    for connection in list(_connections):
        connection.lock = locks.setdefault(id(connection.lock), threading.RLock())
        if connection.state is not ConnectionState.CLOSED:
            connection.state = ConnectionState.INHERITED


os.register_at_fork(after_in_child=_refuse_inherited)
