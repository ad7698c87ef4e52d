"""The DataLinkTargetService (DLT) of ID Quantique: the program that receives an instrument's timestamps.

Requests are shell-like texts over ZeroMQ REQ at TCP 6060, replies JSON texts; each acquisition is pushed on a
PAIR socket of its own (Time Controller manual, section 10). One service may serve several instruments.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from qhal.errors import DeviceError, ProtocolError, ReplyTimeout
from qhal.transport import replies
from qhal.transport.connection import Connection
from qhal.transport.frames import message

Parsed = TypeVar("Parsed")

_LATE_MESSAGE_S = 0.5
"""A message that the service counts as sent is lost when it is not here after this (wall time)."""
_COUNTS_THAT_DIFFER = 2
"""How often the service is asked before its count of timestamps is believed rather than what came."""


class DataLink:
    """Requests to the service."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def acquisitions(self) -> list[str]:
        """Return the ids of all acquisitions that are open, whoever opened them."""
        return self._ask(
            "list", lambda reply: [replies.as_text(each, "an id") for each in replies.as_list(reply, "list")]
        )

    def start_stream(self, address: str, channel: int, tcp_port: int) -> str:
        """Let the service push a channel's timestamps at a port; return the acquisition's id."""
        request = f"start-stream --address {address} --channel {channel} --stream-port {tcp_port}"
        return self._ask(request, lambda reply: replies.as_text(replies.member(reply, "id"), "id"))

    def stop(self, acquisition: str) -> None:
        """End an acquisition."""
        self._ask(f"stop --id {acquisition}", lambda reply: reply)

    def counts(self, acquisition: str) -> tuple[int, int]:
        """Return how many messages and timestamps the service has pushed. Raises DeviceError for its errors."""
        return self._ask(f"status --id {acquisition}", _counts)

    def _ask(self, request: str, parse: Callable[[Any], Parsed]) -> Parsed:
        def parsed(reply: bytes) -> Parsed:
            content = replies.json_value(reply) if reply.strip() else {}
            if isinstance(content, dict) and "error" in content:
                raise DeviceError(_description(content["error"]))
            return parse(content)

        return self._connection.exchange(request.encode(), message, parse=parsed)


def _counts(status: Any) -> tuple[int, int]:
    """Return the numbers of messages and timestamps out of an acquisition's status."""
    if errors := replies.as_list(replies.member(status, "errors"), "errors"):
        raise DeviceError("; ".join(map(_description, errors[:10])))
    messages, timestamps = (
        replies.as_whole_number(replies.member(status, name), name, low=0, high=2**63 - 1)
        for name in ("acquisitions_count", "timestamps_count")
    )
    return messages, timestamps


def _description(error: Any) -> str:
    """Return the description of an error, given as text or in an object."""
    return str(error.get("description", error) if isinstance(error, dict) else error)[:200]


@dataclass(slots=True)
class Channel:
    """The messages of one channel: message number n is sub-record n, as long as none was lost.

    A lost message would shift all that follows, with no error anywhere, and a shortened one would only look darker.
    So messages count as known only when the service's own counts, of messages and of timestamps, agree with what came.
    """

    number: int
    acquisition: str
    connection: Connection
    received: int = 0
    known: int = 0
    received_tags: int = 0
    lost_tags: int = 0
    waiting: dict[int, NDArray[np.uint64]] = field(default_factory=dict)

    def bring(self, index: int, service: DataLink, deadline: float, now: float) -> bool:
        """Try to have sub-record ``index``, or to know that it is lost. Raises DeviceError at a stream's end."""
        if self.known > index:
            return True
        if self.received <= index:
            with suppress(ReplyTimeout):  # late, or lost: the service knows
                self._receive(max(deadline - now, 1e-3))
        for _ in range(_COUNTS_THAT_DIFFER):
            pushed, pushed_tags = service.counts(self.acquisition)
            while self.received < pushed:
                try:
                    self._receive(_LATE_MESSAGE_S)
                except ReplyTimeout:
                    self._lose(pushed, pushed_tags)
            if self.received > pushed:
                raise DeviceError(f"{self.connection.name}: the stream ended after {pushed} sub-records")
            if self.received_tags == pushed_tags:
                break
        else:  # the messages are all here, but not all that was in them
            self._lose(pushed, pushed_tags)
        self.known = self.received
        return self.known > index

    def take(self, index: int) -> NDArray[np.uint64] | None:
        """Return the times of a known sub-record, None when they are lost."""
        return self.waiting.pop(index, None)

    def take_lost_tags(self) -> int:
        """Return the number of tags lost since the last call."""
        lost, self.lost_tags = self.lost_tags, 0
        return lost

    def _receive(self, timeout_s: float) -> None:
        times = self.connection.receive(message, timeout_s=timeout_s, parse=_times)
        self.waiting[self.received] = times
        self.received += 1
        self.received_tags += len(times)

    def _lose(self, pushed: int, pushed_tags: int) -> None:
        """Give up the messages since the last agreement: which of them is missing is unknown."""
        unsure = [self.waiting.pop(n) for n in range(self.known, self.received)]
        missing = pushed_tags - self.received_tags
        if missing < 0:
            raise DeviceError(
                f"{self.connection.name}: {self.received_tags} timestamps came, the service pushed {pushed_tags}"
            )
        self.lost_tags += missing + sum(map(len, unsure))
        self.received, self.received_tags = pushed, pushed_tags


def _times(frame: bytes) -> NDArray[np.uint64]:
    if len(frame) % 8:
        raise ProtocolError(f"{len(frame)} bytes are no whole number of timestamps")
    return np.frombuffer(frame, np.dtype("<u8"))
