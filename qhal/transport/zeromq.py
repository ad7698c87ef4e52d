"""ZeroMQ: ``zmq+tcp://host:port``.

libzmq connects to a dead host without an error, so opening probes the TCP port first. It is set not to
reconnect behind our back, and a monitor watches the connection: once that ended, the transport is lost, and
the device is identified again before anything else is said.

Each request carries a number in its envelope, which a REP socket returns with the reply; a reply with another
number is refused. For a unit that loses it, ``?correlate=false`` takes a new connection for each request
instead: a reply cannot come over a connection that is closed.
"""

import contextlib
import os
import select
from time import monotonic

import zmq
import zmq.backend
from zmq.utils.monitor import recv_monitor_message

from qhal.errors import ConnectTimeout, Disconnected, ProtocolError, ReplyTimeout
from qhal.transport.address import Address
from qhal.transport.base import Transport, left_s, lost
from qhal.transport.forking import forget_in_forked
from qhal.transport.settings import ZmqSettings
from qhal.transport.tcp import connect

_send = zmq.backend.Socket.send
"""Without the options of pyzmq's own, which take as long as the sending."""
_NOWAIT = int(zmq.DONTWAIT)
_MORE = int(zmq.SNDMORE) | _NOWAIT
_ALIVE_S = 5e-4
"""For how long after a message the connection counts as standing; asking its monitor takes a twentieth of a query."""
_ID_BYTES = 8
_FRAMES = 3
"""The number of the request, an empty frame, the reply."""
_SPARE_DESCRIPTORS = 16
"""More than libzmq takes for its context, a socket, its monitor and its connection."""


class ZmqTransport(Transport):
    """A ZeroMQ socket connected to an instrument: DEALER towards its REP for commands, PAIR for a stream."""

    keeps_messages = True
    reopen_discards = True

    def __init__(self, address: Address, settings: ZmqSettings | None = None) -> None:
        super().__init__(str(address))
        self._correlates = address.take_flag("correlate", default=True)
        address.refuse_other_options()
        self._streams = (settings or ZmqSettings()).streams
        self._fresh = not (self._streams or self._correlates)
        self._correlates &= not self._streams
        self._request = 0
        self._number = b""
        self._endpoint = address.endpoint()
        self._socket: zmq.Socket[bytes] | None = None
        self._monitor: zmq.Socket[bytes] | None = None
        self._poll = select.poll()
        self._ended = False
        self._connection: tuple[int, int] | None = None
        self._receive_limit_ms, self._alive_until = -1, 0.0

    def open(self, deadline: float) -> None:
        """Connect and wait for the ZeroMQ handshake. Raises Disconnected, ConnectTimeout."""
        if self._socket is not None:
            return
        host, port = self._endpoint
        refuse_without_descriptors(self.address)
        connect(self.address, self._endpoint, deadline).close()
        events = zmq.EVENT_CONNECTED | zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED
        try:
            kind = zmq.PAIR if self._streams else zmq.DEALER
            opened: zmq.Socket[bytes] = zmq.Context.instance().socket(kind)
            self._socket = opened
            opened.linger = 0
            opened.rcvhwm = 0
            opened.tcp_keepalive = 1
            opened.reconnect_ivl = -1
            opened.maxmsgsize = self.max_frame_bytes
            self._monitor = opened.get_monitor_socket(events)
            opened.ipv6 = ":" in host
            opened.connect(f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}")
            while self._next_event(deadline) != zmq.EVENT_HANDSHAKE_SUCCEEDED:
                pass
        except zmq.ZMQError as error:
            self.close()
            raise lost(self.address, str(error)) from error
        except BaseException:
            self.close()
            raise
        self._poll = select.poll()
        self._ended = False
        self._poll.register(self._monitor.fileno(), select.POLLIN)
        self._receive_limit_ms, self._alive_until = -1, 0.0
        # The descriptor signals the next event only once the monitor was found empty.
        while self._monitor.poll(0):
            self._ended |= self._next_event(deadline) == zmq.EVENT_DISCONNECTED
        forget_in_forked(self)

    def close(self) -> None:
        """Close the socket at once, dropping what was not sent."""
        if self._socket is not None:
            with contextlib.suppress(Exception):
                self._socket.disable_monitor()
            if self._monitor is not None:
                self._monitor.close(linger=0)
            self._socket.close(linger=0)
        self._socket, self._monitor, self._connection = None, None, None

    def forget(self) -> None:
        """Close this process's descriptor of the connection, without libzmq: it may not be used in a forked process."""
        for each in (self._socket, self._monitor):
            if each is not None:
                each._shadow = True  # to pyzmq: another owns it, so it is not closed when it is collected
        if self._connection is not None:
            descriptor, inode = self._connection
            with contextlib.suppress(OSError):
                if os.fstat(descriptor).st_ino == inode:
                    os.close(descriptor)
        self._socket, self._monitor, self._connection = None, None, None

    def write(self, data: bytes, deadline: float) -> None:
        """Send one message of one frame, in its envelope."""
        if self._fresh:
            self.close()
            self.open(deadline)
        opened = self._socket
        if opened is None:
            raise lost(self.address, "not open")
        while True:
            try:
                # Only the first frame of a message is ever refused.
                if self._correlates:
                    self._request += 1
                    self._number = number = self._request.to_bytes(_ID_BYTES, "big")
                    _send(opened, number, _MORE)
                    _send(opened, b"", _MORE)
                elif not self._streams:
                    _send(opened, b"", _MORE)
                _send(opened, data, _NOWAIT)
                return
            except zmq.Again as error:
                if not opened.poll(_whole(deadline - monotonic()), zmq.POLLOUT):
                    raise self._silent("the peer takes no message") from error
            except zmq.ZMQError as error:
                raise lost(self.address, str(error)) from error

    def read_chunk(self, deadline: float, until: bytes | int) -> bytes:
        """Receive one message."""
        opened = self._socket
        if opened is None:
            raise lost(self.address, "not open")
        now = monotonic()
        left_ms = (deadline - now) * 1e3
        if not 0.9 * self._receive_limit_ms <= left_ms <= self._receive_limit_ms:
            opened.rcvtimeo = self._receive_limit_ms = _whole(deadline - now)
        try:
            frame = opened.recv(_NOWAIT if self._ended else 0)
            # A message comes whole, so its other frames are here; asking for each whether it is costs more than it.
            if self._correlates and frame == self._number and not opened.recv():
                self._alive_until = now + _ALIVE_S
                return opened.recv()
            return self._other(frame, opened)
        except zmq.Again as error:
            raise self._silent("no reply") from error
        except zmq.ZMQError as error:
            raise lost(self.address, str(error)) from error

    def _other(self, first: bytes, opened: "zmq.Socket[bytes]") -> bytes:
        """Return what a message without a number holds. Raises ProtocolError when it should have one."""
        frames = [first]
        while opened.getsockopt(zmq.RCVMORE):
            frames.append(opened.recv())
        *envelope, content = frames
        if self._correlates and len(frames) < _FRAMES:
            raise ProtocolError(
                f"{content[:60]!r} came without the number of its request; for a unit that loses it, "
                "add correlate=false to the address"
            )
        if self._correlates:
            raise ProtocolError(f"{content[:60]!r} does not answer this request but another one")
        if envelope and (self._streams or envelope != [b""]):
            raise ProtocolError(f"{content[:60]!r} came in a message of {len(frames)} frames")
        return content

    def readable(self) -> bool:
        """Return whether a message, or the end of the connection, has arrived."""
        # A surplus reply is recognised by its number when it is received; looking for it here would cost as much.
        if self._correlates and monotonic() < self._alive_until:
            return False
        if self._hung_up() or self._correlates:
            return self._ended
        return self._socket is not None and bool(int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN)

    def _silent(self, what: str) -> Exception:
        return lost(self.address, "the peer closed the connection") if self._hung_up() else ReplyTimeout(what)

    def _hung_up(self) -> bool:
        """Return whether the monitor saw the connection end; all its events are read."""
        if self._monitor is not None and self._poll.poll(0):
            while self._monitor.poll(0):
                self._ended |= self._next_event(monotonic() + 1.0) == zmq.EVENT_DISCONNECTED
        return self._ended

    def _next_event(self, deadline: float) -> int:
        if self._monitor is None or not self._monitor.poll(int(left_s(deadline) * 1e3) + 1):
            raise ConnectTimeout(f"{self.address}: no ZeroMQ handshake in time")
        event = recv_monitor_message(self._monitor)
        if event["event"] == zmq.EVENT_CONNECTED:
            with contextlib.suppress(OSError):  # it may have ended already
                self._connection = event["value"], os.fstat(event["value"]).st_ino
        return int(event["event"])


def refuse_without_descriptors(address: str) -> None:
    """Raise Disconnected when this process cannot open a few more files: libzmq would abort it."""
    taken: list[int] = []
    try:
        for _ in range(_SPARE_DESCRIPTORS):
            taken.append(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        raise Disconnected(f"{address}: {error.strerror}") from error
    finally:
        for descriptor in taken:
            os.close(descriptor)


def _whole(left_s: float) -> int:
    """Return a time limit in whole milliseconds."""
    if left_s <= 0:
        raise ReplyTimeout("deadline passed")
    return int(left_s * 1e3 + 0.999)
