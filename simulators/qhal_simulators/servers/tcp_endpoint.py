"""A TCP server for one connection of an instrument; any number of clients."""

import asyncio
import socket
import struct

from qhal_simulators.instrument import Connection, Instrument
from qhal_simulators.servers.endpoint import OUTPUT_LIMIT_BYTES, Endpoint
from qhal_simulators.simulated_time import SimulationClock


class TcpEndpoint(Endpoint):
    """A listening socket on loopback; stopping and starting keeps the port."""

    def __init__(
        self, name: str, connection: str, instrument: Instrument, clock: SimulationClock, tcp_port: int = 0
    ) -> None:
        super().__init__(name, connection, instrument, clock)
        self._tcp_port = tcp_port
        self._server: asyncio.Server | None = None
        self.clients: set[_Client] = set()

    @property
    def address(self) -> str:
        """The address of the listening socket."""
        return f"tcp://127.0.0.1:{self._tcp_port}"

    async def start(self) -> None:
        """Listen."""
        listener = socket.create_server(("127.0.0.1", self._tcp_port), backlog=1024, reuse_port=False)
        self._tcp_port = listener.getsockname()[1]
        self._server = await asyncio.get_running_loop().create_server(lambda: _Client(self), sock=listener)

    def stop(self, *, reset: bool = False) -> None:
        """Stop listening and end every connection."""
        if self._server is not None:
            self._server.close()
        self._server = None
        for client in tuple(self.clients):
            client.end(reset=reset)


class _Client(asyncio.Protocol):
    def __init__(self, endpoint: TcpEndpoint) -> None:
        self._endpoint = endpoint
        self._transport: asyncio.Transport | None = None
        self._connection: Connection | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        # asyncio does so only for sockets that it made; replies in several parts would wait 40 ms for acknowledgements.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._transport = transport
        self._connection = self._endpoint.attach(self._write)
        self._endpoint.clients.add(self)

    def data_received(self, data: bytes) -> None:
        if self._connection is not None:
            self._endpoint.deliver(self._connection, data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._endpoint.clients.discard(self)
        if self._connection is not None:
            self._connection.closed()
        self._transport = None

    def end(self, *, reset: bool) -> None:
        if self._transport is None:
            return
        if reset:
            linger = struct.pack("ii", 1, 0)  # closing now sends RST
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self._transport.abort()
        else:
            self._transport.close()

    def _write(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size() + len(data) > OUTPUT_LIMIT_BYTES:
            self._endpoint.dropped += 1
            return
        self._transport.write(data)
