"""The DataLinkTargetService (DLT) of ID Quantique: the program that receives an instrument's timestamps.

Requests are shell-like texts over ZeroMQ REQ at TCP 6060, replies JSON texts; each acquisition is pushed on a
PAIR socket of its own (Time Controller manual, section 10). One service may serve several instruments.
"""

import json
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qhal.errors import DeviceError, ProtocolError, ReplyTimeout
from qhal.transport.frames import message
from qhal.transport.port import Port

_LATE_MESSAGE_S = 0.5
"""A message that the service counts as sent is lost when it is not here after this (wall time)."""


class DataLink:
    """Requests to the service."""

    def __init__(self, port: Port) -> None:
        self._port = port

    def acquisitions(self) -> list[str]:
        """Return the ids of all acquisitions that are open, whoever opened them."""
        reply = self._ask("list")
        if not isinstance(reply, list):
            raise ProtocolError(f"{self._port.name}: list answers {reply!r}")
        return [str(each) for each in reply]

    def start_stream(self, address: str, channel: int, tcp_port: int) -> str:
        """Let the service push a channel's timestamps at a port; return the acquisition's id."""
        request = f"start-stream --address {address} --channel {channel} --stream-port {tcp_port}"
        return str(self._field(self._ask(request), "id"))

    def stop(self, acquisition: str) -> None:
        """End an acquisition."""
        self._ask(f"stop --id {acquisition}")

    def counts(self, acquisition: str) -> tuple[int, int]:
        """Return how many messages and timestamps the service has pushed. Raises DeviceError for its errors."""
        status = self._ask(f"status --id {acquisition}")
        if errors := self._field(status, "errors"):
            texts = "; ".join(str(error.get("description", error)) for error in errors)
            raise DeviceError(f"{self._port.name}: acquisition {acquisition}: {texts}")
        return int(self._field(status, "acquisitions_count")), int(self._field(status, "timestamps_count"))

    def _ask(self, request: str) -> Any:
        reply = self._port.exchange(request.encode(), message).decode("utf-8", "replace")
        try:
            content = json.loads(reply) if reply.strip() else {}
        except ValueError as error:
            raise ProtocolError(f"{self._port.name}: {reply[:80]!r} is not JSON") from error
        if isinstance(content, dict) and "error" in content:
            raise DeviceError(f"{self._port.name}: {request}: {content['error'].get('description', reply)}")
        return content

    def _field(self, content: Any, name: str) -> Any:
        if not isinstance(content, dict) or name not in content:
            raise ProtocolError(f"{self._port.name}: no {name!r} in {content!r}")
        return content[name]


@dataclass(slots=True)
class Channel:
    """The messages of one channel: message number n is sub-record n, as long as none was lost.

    A lost message would shift all that follows, with no error anywhere. So messages count as known only when
    the service's own count agrees with the number that came.
    """

    number: int
    acquisition: str
    port: Port
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
        pushed, pushed_tags = service.counts(self.acquisition)
        while self.received < pushed:
            try:
                self._receive(_LATE_MESSAGE_S)
            except ReplyTimeout:
                self._lose(pushed, pushed_tags)
        if self.received > pushed:
            raise DeviceError(f"{self.port.name}: the stream ended after {pushed} sub-records")
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
        frame = self.port.receive(message, timeout_s=timeout_s)
        if len(frame) % 8:
            raise ProtocolError(f"{self.port.name}: {len(frame)} bytes are no whole number of timestamps")
        self.waiting[self.received] = np.frombuffer(frame, "<u8")
        self.received += 1
        self.received_tags += len(frame) // 8

    def _lose(self, pushed: int, pushed_tags: int) -> None:
        """Give up the messages since the last agreement: nobody knows which of them is missing."""
        unsure = [self.waiting.pop(n) for n in range(self.known, self.received)]
        missing = pushed_tags - self.received_tags
        self.lost_tags += missing + sum(map(len, unsure))
        self.received, self.received_tags = pushed, pushed_tags
