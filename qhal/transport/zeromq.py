"""ZeroMQ: ``zmq+tcp://host:port``.

libzmq connects to a dead host without a word, so opening probes the TCP port first. It is told not to
reconnect behind our back, and a monitor watches the connection: once that was lost the link is lost, and
the device is identified again before anything else is said.
"""

import contextlib
import select
import socket
import time

import zmq
from zmq.utils.monitor import recv_monitor_message

from qhal.errors import ConfigurationError, Disconnected, ReplyTimeout
from qhal.transport.address import Address
from qhal.transport.link import MessageLink, left_s, lost

_PATTERNS = ("req", "pair")


class ZmqLink(MessageLink):
    """A ZeroMQ socket connected to an instrument: REQ for commands, PAIR for a stream."""

    def __init__(self, address: Address, pattern: str = "req") -> None:
        super().__init__(str(address))
        if not address.host or address.port is None:
            raise ConfigurationError(f"{address}: a ZeroMQ address is zmq+tcp://host:port")
        if pattern not in _PATTERNS:
            raise ConfigurationError(f"{address}: pattern {pattern!r}, allowed are {', '.join(_PATTERNS)}")
        address.refuse_other_options()
        self._pattern = pattern
        self._endpoint = (address.host, address.port)
        self._socket: zmq.Socket[bytes] | None = None
        self._monitor: zmq.Socket[bytes] | None = None
        self._poll = select.poll()
        self._ended = False
        self._send_limit_ms = self._receive_limit_ms = -1

    def open(self, deadline: float) -> None:
        """Connect and wait for the ZeroMQ handshake. Raises Disconnected, ReplyTimeout."""
        if self._socket is not None:
            return
        host, port = self._endpoint
        try:
            socket.create_connection((host, port), timeout=left_s(deadline)).close()
        except TimeoutError as error:
            raise ReplyTimeout(f"{self.address}: no connection in time") from error
        except OSError as error:
            raise Disconnected(f"{self.address}: {error.strerror or error}") from error
        link: zmq.Socket[bytes] = zmq.Context.instance().socket(
            zmq.REQ if self._pattern == "req" else zmq.PAIR
        )
        link.linger = 0
        link.rcvhwm = 0
        link.tcp_keepalive = 1
        link.reconnect_ivl = -1
        events = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED
        self._socket, self._rest = link, b""
        self._monitor = link.get_monitor_socket(events)
        try:
            link.connect(f"tcp://{host}:{port}")
            while self._next_event(deadline) != zmq.EVENT_HANDSHAKE_SUCCEEDED:
                pass
        except BaseException:
            self.close()
            raise
        self._poll = select.poll()
        self._ended = False
        self._poll.register(self._monitor.fileno(), select.POLLIN)
        self._send_limit_ms = self._receive_limit_ms = -1
        # The descriptor signals the next event only once the monitor was found empty.
        while self._monitor.poll(0):
            self._ended |= self._next_event(deadline) == zmq.EVENT_DISCONNECTED

    def close(self) -> None:
        """Close the socket at once, dropping what was not sent."""
        if self._socket is not None:
            with contextlib.suppress(Exception):
                self._socket.disable_monitor()
            if self._monitor is not None:
                self._monitor.close(linger=0)
            self._socket.close(linger=0)
        self._socket, self._monitor, self._rest = None, None, b""

    def write(self, data: bytes, deadline: float) -> None:
        """Send one message of one frame."""
        link = self._socket
        if link is None:
            raise lost(self.address, "not open")
        left_ms = (deadline - time.monotonic()) * 1e3
        if not 0.9 * self._send_limit_ms <= left_ms <= self._send_limit_ms:
            link.sndtimeo = self._send_limit_ms = _whole(left_ms)
        try:
            link.send(data)
        except zmq.Again as error:
            raise self._silent("the peer takes no message") from error
        except zmq.ZMQError as error:
            raise lost(self.address, str(error)) from error

    def _receive(self, deadline: float) -> bytes:
        link = self._socket
        if link is None:
            raise lost(self.address, "not open")
        left_ms = (deadline - time.monotonic()) * 1e3
        if not 0.9 * self._receive_limit_ms <= left_ms <= self._receive_limit_ms:
            link.rcvtimeo = self._receive_limit_ms = _whole(left_ms)
        try:
            return link.recv(zmq.NOBLOCK if self._ended else 0)
        except zmq.Again as error:
            raise self._silent("no reply") from error
        except zmq.ZMQError as error:
            raise lost(self.address, str(error)) from error

    def _readable(self) -> bool:
        if self._hung_up():
            return True
        return self._pattern != "req" and self._socket is not None and bool(self._socket.poll(0, zmq.POLLIN))

    def _silent(self, what: str) -> Exception:
        return lost(self.address, "the peer closed the connection") if self._hung_up() else ReplyTimeout(what)

    def _hung_up(self) -> bool:
        """Tell whether the monitor saw the connection end; everything it has to say is read."""
        if self._monitor is not None and self._poll.poll(0):
            while self._monitor.poll(0):
                self._ended |= self._next_event(time.monotonic() + 1.0) == zmq.EVENT_DISCONNECTED
        return self._ended

    def _next_event(self, deadline: float) -> int:
        if self._monitor is None or not self._monitor.poll(int(left_s(deadline) * 1e3) + 1):
            raise ReplyTimeout(f"{self.address}: no ZeroMQ handshake in time")
        return int(recv_monitor_message(self._monitor)["event"])


def _whole(left_ms: float) -> int:
    if left_ms <= 0:
        raise ReplyTimeout("deadline passed")
    return int(left_ms + 0.999)
