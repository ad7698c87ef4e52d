"""Raw TCP sockets: ``tcp://host:port``.

A query costs one ``poll``, one ``send`` and one ``recv``. The time limit of reading is the kernel's
(``SO_RCVTIMEO``), set only when it changes, so a deadline may be overrun by a tenth of its length.

``?bridge=1``: a serial line lies behind the socket (a serial-to-TCP server). Closing it does not discard a late reply,
and the connection waits for it as on a serial line.
"""

import contextlib
import select
import socket
import struct
from time import monotonic

from qhal.errors import ConnectTimeout, Disconnected, ReplyTimeout
from qhal.transport.address import Address
from qhal.transport.base import Transport, left_s, lost
from qhal.transport.forking import forget_in_forked

_DONTWAIT = int(socket.MSG_DONTWAIT)
_SHORT_BYTES = 1 << 12
_LONG_BYTES = 1 << 16
"""A chunk after a full one. Short ones come first, because each receive allocates all that it may return."""


class TcpTransport(Transport):
    """A TCP connection to an instrument."""

    def __init__(self, address: Address, settings: None = None) -> None:
        super().__init__(str(address))
        self.reopen_discards = not address.take_flag("bridge")
        self._endpoint = address.endpoint()
        address.refuse_other_options()
        self._socket: socket.socket | None = None
        self._poll = select.poll()
        self._limit_s = self._least_s = 0.0
        self._chunk_bytes = _SHORT_BYTES

    def open(self, deadline: float) -> None:
        """Connect. Raises Disconnected, ConnectTimeout."""
        if self._socket is not None:
            return
        connection = connect(self.address, self._endpoint, deadline)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setblocking(True)
        self._socket, self._limit_s, self._least_s = connection, 0.0, 0.0
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN | select.POLLRDHUP)
        forget_in_forked(self)

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()
        self._socket = None
        self._poll = select.poll()  # the number of the descriptor may soon be another file's

    forget = close
    """Closing sends nothing while another process has the connection."""

    def write(self, data: bytes, deadline: float) -> None:
        """Send all bytes."""
        connection = self._socket
        if connection is None:
            raise lost(self.address, "not open")
        rest: bytes | memoryview = data
        while True:
            try:
                sent = connection.send(rest, _DONTWAIT)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                raise lost(self.address, error.strerror or str(error)) from error
            if sent == len(rest):
                return
            rest = memoryview(rest)[sent:]
            wait_s = deadline - monotonic()
            writable = select.poll()
            writable.register(connection, select.POLLOUT)
            if wait_s <= 0 or not writable.poll(wait_s * 1e3):
                raise ReplyTimeout(f"the peer takes no bytes ({len(rest)} left)")

    def read_chunk(self, deadline: float, until: bytes | int) -> bytes:
        """Receive what has arrived, or wait for it."""
        connection = self._socket
        if connection is None:
            raise lost(self.address, "not open")
        limit_s = deadline - monotonic()
        if not self._least_s <= limit_s <= self._limit_s:
            self._set_limit(connection, limit_s)
        limit_bytes = self._chunk_bytes
        try:
            data = connection.recv(limit_bytes)
        except BlockingIOError as error:
            raise ReplyTimeout("no reply") from error
        except OSError as error:
            raise lost(self.address, error.strerror or str(error)) from error
        if not data:
            raise lost(self.address, "the peer closed the connection")
        if len(data) == limit_bytes:
            self._chunk_bytes = _LONG_BYTES
        elif limit_bytes != _SHORT_BYTES:
            self._chunk_bytes = _SHORT_BYTES
        return data

    def readable(self) -> bool:
        """Return whether bytes, or the end of the connection, have arrived."""
        return bool(self._poll.poll(0))

    def _set_limit(self, connection: socket.socket, limit_s: float) -> None:
        if limit_s <= 0:
            raise ReplyTimeout("deadline passed")
        seconds, fraction = divmod(limit_s, 1.0)
        timeval = struct.pack("ll", int(seconds), max(1, int(fraction * 1e6)))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
        self._limit_s, self._least_s = limit_s, 0.9 * limit_s


def connect(address: str, endpoint: tuple[str, int], deadline: float) -> socket.socket:
    """Return a connected socket. Raises ConnectTimeout, Disconnected."""
    try:
        return socket.create_connection(endpoint, timeout=left_s(deadline))
    except TimeoutError as error:
        raise ConnectTimeout(f"{address}: no connection in time") from error
    except OSError as error:
        raise Disconnected(f"{address}: {error.strerror or error}") from error
