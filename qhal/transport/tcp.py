"""Raw TCP sockets: ``tcp://host:port``.

Time limits are the kernel's (``SO_RCVTIMEO``), set only when they change: a query costs one ``poll``,
one ``send`` and one ``recv``. A deadline may therefore be overrun by a tenth of its length.

``?bridge=1`` says that a serial line lies behind the socket (a serial-to-TCP server): then closing it
does not call back a late reply, and the connection waits for it as on a serial line.
"""

import contextlib
import select
import socket
import struct
import time

from qhal.errors import Disconnected, ReplyTimeout
from qhal.transport.address import Address
from qhal.transport.base import ByteTransport, left_s, lost
from qhal.transport.forking import forget_in_forked

_CHUNK_BYTES = 1 << 16


class TcpTransport(ByteTransport):
    """A TCP connection to an instrument."""

    def __init__(self, address: Address) -> None:
        super().__init__(str(address))
        self.reopen_discards = not address.take_flag("bridge")
        self._host, self._port = address.host, address.port
        address.refuse_other_options()
        self._socket: socket.socket | None = None
        self._poll = select.poll()
        self._receive_limit_s = self._send_limit_s = 0.0

    def open(self, deadline: float) -> None:
        """Connect. Raises Disconnected, ReplyTimeout."""
        if self._socket is not None:
            return
        try:
            connection = socket.create_connection((self._host, self._port), timeout=left_s(deadline))
        except TimeoutError as error:
            raise ReplyTimeout(f"{self.address}: no connection in time") from error
        except OSError as error:
            raise Disconnected(f"{self.address}: {error.strerror or error}") from error
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setblocking(True)
        self._socket, self._buffer = connection, b""
        self._receive_limit_s = self._send_limit_s = 0.0
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN | select.POLLRDHUP)
        forget_in_forked(self)

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()
        self._socket, self._buffer = None, b""
        self._poll = select.poll()  # the number of the descriptor may soon be another file's

    forget = close
    """Closing sends nothing while another process has the connection."""

    def write(self, data: bytes, deadline: float) -> None:
        """Send all bytes."""
        connection = self._connection()
        left: bytes | memoryview = data
        while True:
            limit_s = deadline - time.monotonic()
            if not 0.9 * self._send_limit_s <= limit_s <= self._send_limit_s:
                self._send_limit_s = self._limit(connection, socket.SO_SNDTIMEO, limit_s)
            try:
                sent = connection.send(left)
            except BlockingIOError as error:
                raise ReplyTimeout(f"the peer takes no bytes ({len(left)} left)") from error
            except OSError as error:
                raise lost(self.address, error.strerror or str(error)) from error
            if sent == len(left):
                return
            # The kernel's time limit is that of one call, and a slow peer needs many.
            left = memoryview(left)[sent:]

    def _receive(self, deadline: float) -> bytes:
        connection = self._connection()
        limit_s = deadline - time.monotonic()
        if not 0.9 * self._receive_limit_s <= limit_s <= self._receive_limit_s:
            self._receive_limit_s = self._limit(connection, socket.SO_RCVTIMEO, limit_s)
        try:
            data = connection.recv(_CHUNK_BYTES)
        except BlockingIOError as error:
            raise ReplyTimeout("no reply") from error
        except OSError as error:
            raise lost(self.address, error.strerror or str(error)) from error
        if not data:
            raise lost(self.address, "the peer closed the connection")
        return data

    def _readable(self) -> bool:
        return bool(self._poll.poll(0))

    def _connection(self) -> socket.socket:
        if self._socket is None:
            raise lost(self.address, "not open")
        return self._socket

    @staticmethod
    def _limit(connection: socket.socket, option: int, limit_s: float) -> float:
        if limit_s <= 0:
            raise ReplyTimeout("deadline passed")
        seconds, fraction = divmod(limit_s, 1.0)
        connection.setsockopt(
            socket.SOL_SOCKET, option, struct.pack("ll", int(seconds), max(1, int(fraction * 1e6)))
        )
        return limit_s
