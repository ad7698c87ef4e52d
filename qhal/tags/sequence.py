"""Batches as numbered messages, and batches from messages that may be lost, doubled or out of order.

One process owns a tagger, others read the same stream from it (:mod:`qhal.tags.relay`). Every message carries the
number of tags before it, so that a reader knows exactly how many it lost.
"""

import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from qhal.errors import ProtocolError
from qhal.tags.batch import Gap, Loss, TagBatch

_HEADER = struct.Struct("<4sHQQQQ")
_MAGIC, _VERSION = b"QTAG", 1
_PARTS = 4
DEFAULT_PATIENCE = 16
"""Messages that are waited for one that is missing before it is taken for lost."""


@dataclass(frozen=True, slots=True)
class Numbered:
    """A batch in a stream: its ``number``, and what the tagger made before it.

    ``stream``: of this run of the sender. ``made``: tags and tags known to be missing so far; ``vague``: gaps so far
    whose number of tags is not known exactly.
    """

    stream: int
    number: int
    made: int
    vague: int
    batch: TagBatch


class Numberer:
    """Numbers the batches of one stream. ``stream``: a number unique to this run, 64 bits."""

    def __init__(self, stream: int) -> None:
        self._stream = stream
        self._number = self._made = self._vague = 0

    def number(self, batch: TagBatch) -> Numbered:
        """Return the next batch with its number and the counts before it."""
        numbered = Numbered(
            stream=self._stream, number=self._number, made=self._made, vague=self._vague, batch=batch
        )
        self._number += 1
        self._made += len(batch) + batch.missed
        self._vague += _vague_gaps(batch)
        return numbered


def _vague_gaps(batch: TagBatch) -> int:
    return sum(gap.loss in (Loss.AT_LEAST, Loss.UNKNOWN) for gap in batch.gaps)


def to_message(numbered: Numbered) -> list[bytes | memoryview]:
    """Return the parts of a message: header, description as JSON, times (int64), channels (uint8)."""
    batch = numbered.batch
    header = _HEADER.pack(_MAGIC, _VERSION, numbered.stream, numbered.number, numbered.made, numbered.vague)
    description = json.dumps(batch.description()).encode()
    times, channels = np.ascontiguousarray(batch.times_ps, "<i8"), np.ascontiguousarray(batch.channels)
    return [header, description, times.data.cast("B"), channels.data.cast("B")]


def from_message(parts: Sequence[bytes | memoryview]) -> Numbered:
    """Return the numbered batch of a message. Raises ProtocolError for anything else."""
    if len(parts) != _PARTS or len(parts[0]) != _HEADER.size:
        sizes = [len(part) for part in parts]
        raise ProtocolError(f"not a message of a tag stream: parts of {sizes} bytes")
    magic, version, stream, number, made, vague = _HEADER.unpack(parts[0])
    if (magic, version) != (_MAGIC, _VERSION):
        raise ProtocolError(f"{magic!r} version {version}: this qhal reads {_MAGIC!r} version {_VERSION}")
    if len(parts[2]) != 8 * len(parts[3]):
        raise ProtocolError(f"message {number}: {len(parts[2])} bytes of times, {len(parts[3])} channels")
    times, channels = np.frombuffer(parts[2], "<i8"), np.frombuffer(parts[3], np.uint8)
    try:
        batch = TagBatch.described(times, channels, json.loads(bytes(parts[1])))
    except (ValueError, RecursionError) as error:
        raise ProtocolError(
            f"message {number}: {bytes(parts[1])[:80]!r} describes no batch: {error}"
        ) from error
    return Numbered(stream=stream, number=number, made=made, vague=vague, batch=batch)


class Resequencer:
    """Orders numbered batches; messages that do not arrive become gaps with their exact count.

    ``patience``: messages to wait for one that is missing. ``duplicates``: number of messages dropped because they had
    arrived before. The reader begins with the first message; another stream becomes a new epoch. Raises ProtocolError
    for a message that counts fewer tags before it than have arrived.
    """

    def __init__(self, patience: int = DEFAULT_PATIENCE) -> None:
        self._patience = patience
        self._waiting: dict[int, Numbered] = {}
        self._stream: int | None = None
        self._next = self._made = self._vague = 0
        self._last: TagBatch | None = None
        self._epochs = 0
        self.duplicates = 0

    def push(self, message: Numbered) -> Iterator[TagBatch]:
        """Yield the batches that this message completes."""
        if message.stream != self._stream:
            yield from self.flush()
            yield from self._change(message)
        if message.number < self._next or message.number in self._waiting:
            self.duplicates += 1
            return
        self._waiting[message.number] = message
        yield from self._ready()
        while len(self._waiting) > self._patience:
            yield from self._skip()
            yield from self._ready()

    def flush(self) -> Iterator[TagBatch]:
        """Yield all batches that wait, with gaps for those missing before them."""
        yield from self._ready()
        while self._waiting:
            yield from self._skip()
            yield from self._ready()

    def _change(self, message: Numbered) -> Iterator[TagBatch]:
        if self._last is not None:
            # The tags after the last message that arrived are unknown.
            stop = self._last.stop_ps
            yield TagBatch.of_gap(Gap(stop, stop, 0, Loss.UNKNOWN), self._last.epoch)
            self._epochs = self._last.epoch + 1
        self._stream, self._next = message.stream, message.number
        self._made, self._vague, self._last = message.made, message.vague, None

    def _ready(self) -> Iterator[TagBatch]:
        while (message := self._waiting.pop(self._next, None)) is not None:
            batch = _in_epoch(message.batch, self._epochs)
            if message.made != self._made:
                raise ProtocolError(
                    f"message {message.number}: {message.made} tags before it, {self._made} came"
                )
            self._next += 1
            self._made = message.made + len(batch) + batch.missed
            self._vague = message.vague + _vague_gaps(batch)
            self._last = batch
            yield batch

    def _skip(self) -> Iterator[TagBatch]:
        """Replace the messages missing before the first one that waits by a gap."""
        self._next = min(self._waiting)
        message = self._waiting[self._next]
        loss = Loss.EXACT if message.vague == self._vague else Loss.AT_LEAST
        missed, last = message.made - self._made, self._last
        following = _in_epoch(message.batch, self._epochs)
        start = following.start_ps if last is None or last.epoch != following.epoch else last.stop_ps
        if missed < 0 or following.start_ps < start:
            raise ProtocolError(
                f"message {message.number}: {message.made} tags before it, from {following.start_ps} ps on; "
                f"{self._made} up to {start} ps came"
            )
        self._made = message.made
        yield TagBatch.of_gap(Gap(start, following.start_ps, missed, loss), following.epoch)


def _in_epoch(batch: TagBatch, before: int) -> TagBatch:
    if not before:
        return batch
    return TagBatch(
        times_ps=batch.times_ps,
        channels=batch.channels,
        start_ps=batch.start_ps,
        stop_ps=batch.stop_ps,
        epoch=batch.epoch + before,
        gaps=batch.gaps,
    )
