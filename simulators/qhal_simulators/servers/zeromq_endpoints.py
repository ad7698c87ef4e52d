"""ZeroMQ endpoints on the one event loop: REP for commands, PAIR for streams."""

import asyncio
import contextlib
import socket
import time

import zmq

from qhal_simulators.instrument import Connection, Instrument
from qhal_simulators.servers.endpoint import Endpoint
from qhal_simulators.simulated_time import SimulationClock

PAIR_QUEUE_MESSAGES = 1000
"""A stream's messages that wait for a slow client before further ones are dropped."""
LONGEST_MESSAGE = 1 << 20
"""A client that sends more bytes than this at once is disconnected."""
_BIND_PATIENCE_S = 1.0


class RepEndpoint(Endpoint):
    """A REP socket: one request, one reply, whoever asks.

    It is a ROUTER that does what a REP does, so that it can also lose the envelope of a request: with
    ``returns_envelope`` False a reply comes behind the empty frame alone, which a REQ socket still takes.
    """

    def __init__(
        self, name: str, connection: str, instrument: Instrument, clock: SimulationClock, tcp_port: int = 0
    ) -> None:
        super().__init__(name, connection, instrument, clock)
        self._tcp_port = tcp_port
        self._socket: zmq.Socket[bytes] | None = None
        self._connection: Connection | None = None
        self._envelope: list[bytes] | None = None
        self.returns_envelope = True

    @property
    def address(self) -> str:
        """The address of the bound socket."""
        return f"zmq+tcp://127.0.0.1:{self._tcp_port}"

    async def start(self) -> None:
        """Bind."""
        opened: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.ROUTER)
        opened.maxmsgsize = LONGEST_MESSAGE
        self._socket = opened
        self._socket.linger = 0
        if self._tcp_port:
            _bind(self._socket, self._tcp_port)
        else:
            self._tcp_port = self._socket.bind_to_random_port("tcp://127.0.0.1")
        self._envelope = None
        self._connection = self.attach(self._reply)
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._serve)

    def stop(self, *, reset: bool = False) -> None:
        """Unbind and drop all peers."""
        del reset
        if self._socket is None:
            return
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close(linger=0)
        self._socket = None
        if self._connection is not None:
            self._connection.closed()

    def _serve(self) -> None:
        # The descriptor is edge-triggered: everything that is there must be taken now.
        while (
            self._socket is not None
            and self._envelope is None
            and int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN
        ):
            frames = self._socket.recv_multipart(zmq.NOBLOCK)
            if b"" not in frames[1:-1]:
                continue  # no request: nothing says where its envelope ends
            self._envelope = frames[: frames.index(b"", 1) + 1]
            if self._connection is not None:
                try:
                    self.deliver(self._connection, frames[-1])
                except BaseException:
                    self._envelope = None
                    raise

    def _reply(self, data: bytes) -> None:
        if self._socket is None or self._envelope is None:
            return
        envelope, self._envelope = self._envelope, None
        if not self.returns_envelope:
            envelope = [envelope[0], b""]
        with contextlib.suppress(zmq.ZMQError):  # the client is gone
            self._socket.send_multipart([*envelope, data], zmq.NOBLOCK)
        asyncio.get_running_loop().call_soon(self._serve)

    def heal(self) -> None:
        """Take back silence and delay; a question asked in the silence stays without an answer."""
        silent = self.silent
        super().heal()
        if silent and self._envelope is not None:
            self._envelope = None
            self._serve()


class PairSocket:
    """A bound PAIR socket that never blocks: what does not fit into its queue is dropped and counted.

    Raises OSError when the port is taken.
    """

    def __init__(self, tcp_port: int) -> None:
        opened: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PAIR)
        opened.linger = 0
        opened.sndhwm = PAIR_QUEUE_MESSAGES
        try:
            _bind(opened, tcp_port)
        except zmq.ZMQError as error:
            opened.close()
            raise OSError(error.errno, f"port {tcp_port}: {error.strerror}") from error
        self._socket = opened
        self.dropped = 0
        self.silent = False

    def send(self, data: bytes) -> bool:
        """Push one message; False when it had to be dropped."""
        try:
            if not (self.silent or self._socket.closed):
                self._socket.send(data, zmq.NOBLOCK)
                return True
        except zmq.Again:
            pass
        self.dropped += 1
        return False

    def close(self) -> None:
        """Unbind; what is queued is still given a moment to leave."""
        self._socket.close(linger=500)


class ReservedPort:
    """A loopback port (0: a free one) that no other socket is given, while ZeroMQ may bind to it again and again."""

    def __init__(self, tcp_port: int = 0) -> None:
        self._holder = socket.socket()
        if tcp_port:  # connections of an earlier run that ended a moment ago do not count
            self._holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._holder.bind(("127.0.0.1", tcp_port))
        # Set after binding: only sockets that ask for reuse themselves, as those of ZeroMQ do, may join now.
        self._holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.number = int(self._holder.getsockname()[1])

    def close(self) -> None:
        """Give the port back."""
        self._holder.close()


def _bind(opened: "zmq.Socket[bytes]", tcp_port: int) -> None:
    """Bind to a port that ZeroMQ's thread may hold for another moment for a closed socket of ours."""
    deadline = time.monotonic() + _BIND_PATIENCE_S
    while True:
        try:
            opened.bind(f"tcp://127.0.0.1:{tcp_port}")
            return
        except zmq.ZMQError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.001)
