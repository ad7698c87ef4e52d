"""A tag stream for several processes: one publishes, any number subscribe, over ZeroMQ.

A slow or absent reader delays neither the publisher nor another reader; tags that it loses become a gap with their
exact count (:mod:`qhal.tags.sequence`).

The relay is not authenticated: every process that reaches a publisher's address reads its tags, and a subscriber
accepts any publisher at its address. Bind to the loopback interface, or to a network of the readers only.
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
"""Messages that wait for a slow reader before it loses some."""
_LARGEST_PART = 1 << 30
"""Bytes of a part of a message; libzmq disconnects a sender of more."""


class TagPublisher(Closing):
    """Publishes batches to any number of processes; a context manager.

    Parameters
    ----------
    address
        ``tcp://127.0.0.1:5600`` or ``ipc:///run/qhal/tags``; TCP port ``*``: any free one.

    Attributes
    ----------
    address
        Address for subscribers, with the TCP port.

    Raises
    ------
    Disconnected
        If the address cannot be bound.

    Examples
    --------
    >>> import numpy as np
    >>> from qhal.tags import TagBatch
    >>> batch = TagBatch(np.array([10, 20]), np.array([1, 2], np.uint8), 0, 1000)
    >>> with TagPublisher("tcp://127.0.0.1:*") as publisher, TagSubscriber(publisher.address) as tags:
    ...     while not tags.connected(0.01):
    ...         publisher.send(batch)
    ...     len(next(tags))
    2
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
        """Publish the next batch; returns at once."""
        self._socket.send_multipart(to_message(self._numberer.number(batch)), copy=False)

    def close(self) -> None:
        """Close, after at most a second for queued messages."""
        self._socket.close()


class TagSubscriber(Closing):
    """An endless iterator of the batches of a :class:`TagPublisher`, and a context manager.

    It begins with the first message that arrives.

    Parameters
    ----------
    address
        Address of the publisher.
    timeout_s
        Time without a message after which ReplyTimeout is raised.
    patience
        Messages to wait for one that is missing before its tags count as lost.

    Attributes
    ----------
    delivered, missed
        Tags since the first message.

    Raises
    ------
    ConfigurationError
        For an address of another form.
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

    def connected(self, timeout_s: float) -> bool:
        """Return whether a message has arrived, waiting for one for this long."""
        return bool(self._ready) or bool(self._socket.poll(int(timeout_s * 1000)))

    def __next__(self) -> TagBatch:
        """Return the next batch, waiting for it. Raises ReplyTimeout without messages, ProtocolError for other ones."""
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
