"""A tag stream for several processes: one publishes, any number subscribe, over ZeroMQ.

A slow or absent reader never holds up the publisher or another reader; what it loses, it is told with its exact
count (:mod:`qhal.tags.sequence`).

There is no authentication: every process that reaches the port of a publisher reads its tags, and a subscriber believes
every process that answers at the address. Bind to the loopback interface, or to a network that only the readers are on.
"""

import secrets
import time
from collections import deque
from collections.abc import Iterator

import zmq

from qhal.errors import ConfigurationError, Disconnected, ReplyTimeout
from qhal.tags.batch import TagBatch
from qhal.tags.closing import Closing
from qhal.tags.sequence import DEFAULT_PATIENCE, Numberer, Resequencer, from_message, to_message
from qhal.transport.zeromq import refuse_without_descriptors

_WAITING_MESSAGES = 1000
"""Messages kept for a slow reader before it loses some."""
_LARGEST_PART = 1 << 30
"""Bytes of a part of a message; libzmq drops the connection to who sends more."""


class TagPublisher(Closing):
    """Publish batches at an address such as ``tcp://127.0.0.1:5600`` or ``ipc:///run/qhal/tags``; port ``*``: any free.

    Raises Disconnected when the address cannot be bound.
    """

    def __init__(self, address: str) -> None:
        refuse_without_descriptors(address)
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PUB)
        self._socket.setsockopt(zmq.SNDHWM, _WAITING_MESSAGES)
        self._socket.setsockopt(zmq.LINGER, 1000)
        try:
            self._socket.bind(address)
        except zmq.ZMQError as error:
            self._socket.close(0)
            raise Disconnected(f"{address}: {error.strerror}") from error
        endpoint: bytes = self._socket.getsockopt(zmq.LAST_ENDPOINT)
        self.address = endpoint.rstrip(b"\0").decode()
        self._numberer = Numberer(secrets.randbits(64))

    def send(self, batch: TagBatch) -> None:
        """Publish the next batch; returns at once, whoever reads."""
        self._socket.send_multipart(to_message(self._numberer.number(batch)), copy=False)

    def close(self) -> None:
        """Close; what is queued is still given a second to leave."""
        self._socket.close()


class TagSubscriber(Closing):
    """Read what a :class:`TagPublisher` sends: an endless iterator of batches, and a context manager.

    ``timeout_s``: how long silence is borne. Raises ConfigurationError for an address of another form. A reader
    begins with the first message that comes; ``delivered`` and ``missed`` count tags from there on.
    """

    def __init__(self, address: str, timeout_s: float = 10.0, patience: int = DEFAULT_PATIENCE) -> None:
        self._address, self._timeout_s = address, timeout_s
        refuse_without_descriptors(address)
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
        self._socket.setsockopt(zmq.RCVHWM, _WAITING_MESSAGES)
        self._socket.setsockopt(zmq.MAXMSGSIZE, _LARGEST_PART)
        self._socket.subscribe(b"")
        self._sequence = Resequencer(patience)
        self._ready: deque[TagBatch] = deque()
        self.delivered = 0
        self.missed = 0
        try:
            self._socket.connect(address)
        except zmq.ZMQError as error:
            self._socket.close(0)
            raise ConfigurationError(f"{address}: {error.strerror}") from error

    def __iter__(self) -> Iterator[TagBatch]:
        return self

    def __next__(self) -> TagBatch:
        """Return the next batch, waiting for it. Raises ReplyTimeout in silence, ProtocolError for other messages."""
        deadline = time.monotonic() + self._timeout_s
        while not self._ready:
            left_s = max(deadline - time.monotonic(), 0.0)
            if not self._socket.poll(int(left_s * 1000)):
                self._ready.extend(self._sequence.flush())
                if self._ready:
                    break
                raise ReplyTimeout(f"{self._address}: no tags for {self._timeout_s:g} s")
            frames = self._socket.recv_multipart(copy=False)
            message = from_message([frame.buffer for frame in frames])
            self._ready.extend(self._sequence.push(message))
        batch = self._ready.popleft()
        self.delivered += len(batch)
        self.missed += batch.missed
        return batch

    def close(self) -> None:
        """Stop reading."""
        self._socket.close(0)
