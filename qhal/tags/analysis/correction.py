"""Streams made from streams: delays and dead times corrected, several merged into one."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from qhal.errors import DataError, OutOfRange
from qhal.tags.analysis import correlation_kernels
from qhal.tags.batch import Gap, TagBatch

_LONG_AGO = -(1 << 62)


def with_delays(batches: Iterable[TagBatch], delays_ps: Mapping[int, int]) -> Iterator[TagBatch]:
    """Yield the stream with a delay added to the times of each channel (0 for channels not named), in order.

    What a later batch can still precede is held back; a gap of all channels covers every place it may be shifted to.
    """
    table = np.zeros(256, np.int64)
    for channel, delay in delays_ps.items():
        if not 0 <= channel <= 255:
            raise OutOfRange(f"channel {channel}: there are 0..255")
        table[channel] = delay
    least, most = min(0, int(table.min())), max(0, int(table.max()))
    held: TagBatch | None = None
    for batch in batches:
        if held is not None and held.epoch != batch.epoch:
            yield held
            held = None
        times = batch.times_ps + table[batch.channels]
        order = np.argsort(times, kind="stable")
        shifted = replace(
            batch,
            times_ps=times[order],
            channels=batch.channels[order],
            start_ps=batch.start_ps + least,
            stop_ps=batch.stop_ps + most,
            gaps=tuple(_shifted(gap, table, least, most) for gap in batch.gaps),
        )
        ready, held = _joined(held, shifted).split(batch.stop_ps + least)
        yield ready
    if held is not None:
        yield held


def _shifted(gap: Gap, table: NDArray[np.int64], least: int, most: int) -> Gap:
    delays = table[list(gap.channels)] if gap.channels else np.array([least, most])
    return replace(gap, start_ps=gap.start_ps + int(delays.min()), stop_ps=gap.stop_ps + int(delays.max()))


def _joined(held: TagBatch | None, batch: TagBatch) -> TagBatch:
    """Join what was held back with what follows; they overlap by the spread of the delays."""
    if held is None:
        return batch
    times = np.concatenate((held.times_ps, batch.times_ps))
    order = np.argsort(times, kind="stable")
    return replace(
        batch,
        times_ps=times[order],
        channels=np.concatenate((held.channels, batch.channels))[order],
        start_ps=held.start_ps,
        gaps=held.gaps + batch.gaps,
    )


class DeadTime:
    """Drop tags that come within a dead time after a tag of their channel, as a slower detector would have.

    ``extending``: whether a dropped tag begins the dead time anew (paralyzable). Raises OutOfRange.
    """

    def __init__(self, dead_time_ps: int | Mapping[int, int], *, extending: bool = False) -> None:
        self._dead = np.zeros(256, np.int64)
        if isinstance(dead_time_ps, int):
            self._dead[:] = dead_time_ps
        else:
            for channel, value in dead_time_ps.items():
                self._dead[channel] = value
        if (self._dead < 0).any():
            raise OutOfRange(f"dead times {dead_time_ps} ps must not be negative")
        self._extending = extending
        self._last = np.full(256, _LONG_AGO)
        self._epoch: int | None = None

    def apply(self, batch: TagBatch) -> TagBatch:
        """Return the next batch of the stream without the tags that a detector would have missed."""
        if batch.epoch != self._epoch:
            self._last[:], self._epoch = _LONG_AGO, batch.epoch
        times, channels = np.empty_like(batch.times_ps), np.empty_like(batch.channels)
        filled = correlation_kernels.apply_dead_time(
            batch.times_ps, batch.channels, self._dead, self._last, self._extending, times, channels
        )
        return replace(batch, times_ps=times[:filled], channels=channels[:filled])


def merged(*streams: Iterable[TagBatch]) -> Iterator[TagBatch]:
    """Yield several streams of one clock as one, each batch as far as all of them have come.

    Gaps keep the channels of their stream where they name them. Raises DataError for streams of different epochs.
    """
    iterators = [iter(stream) for stream in streams]
    heads: list[TagBatch] = []
    for iterator in iterators:
        first = next(iterator, None)
        if first is None:
            return
        heads.append(first)
    start = max(head.start_ps for head in heads)
    heads = [head.split(start)[1] if head.start_ps < start <= head.stop_ps else head for head in heads]
    while True:
        if len({head.epoch for head in heads}) > 1:
            raise DataError(f"streams of different epochs: {[head.epoch for head in heads]}")
        stop = min(head.stop_ps for head in heads)
        parts = []
        for number, head in enumerate(heads):
            ready, heads[number] = head.split(stop)
            parts.append(ready)
        yield _merged_parts(parts)
        for number, iterator in enumerate(iterators):
            while heads[number].stop_ps <= stop:
                following = next(iterator, None)
                if following is None:
                    return
                heads[number] = following


def _merged_parts(parts: list[TagBatch]) -> TagBatch:
    result = parts[0]
    for part in parts[1:]:
        times = np.empty(len(result) + len(part), np.int64)
        channels = np.empty(len(times), np.uint8)
        correlation_kernels.merge(
            result.times_ps, result.channels, part.times_ps, part.channels, times, channels
        )
        gaps = result.gaps + part.gaps
        result = replace(result, times_ps=times, channels=channels, gaps=gaps)
    return result
