"""Operations on streams: add delays, apply dead times, merge several streams into one."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from qhal.errors import DataError, OutOfRange
from qhal.tags.analysis import correlation_kernels
from qhal.tags.batch import Gap, TagBatch

_LONG_AGO = -(1 << 62)


def with_delays(batches: Iterable[TagBatch], delays_ps: Mapping[int, int]) -> Iterator[TagBatch]:
    """Yield a stream with a delay added to the times of each channel, in ascending order.

    Tags that a later batch may still precede wait for it. A gap of all channels grows by the spread of the delays.

    Parameters
    ----------
    batches
        The stream.
    delays_ps
        Delay by channel, positive or negative; 0 for a channel that is not named.

    Raises
    ------
    OutOfRange
        For a channel outside 0..255.

    Examples
    --------
    >>> import numpy as np
    >>> from qhal.tags import TagBatch
    >>> batch = TagBatch(np.array([0, 10, 500]), np.array([1, 2, 1], np.uint8), 0, 1000)
    >>> shifted = TagBatch.concatenate(with_delays([batch], {2: 100}))
    >>> shifted.times_ps.tolist(), shifted.channels.tolist()
    ([0, 110, 500], [1, 2, 1])
    """
    table = np.zeros(256, np.int64)
    for channel, delay in delays_ps.items():
        if not 0 <= channel <= 255:
            raise OutOfRange(f"channel {channel}: there are 0..255")
        table[channel] = delay
    earliest, latest = min(0, int(table.min())), max(0, int(table.max()))
    waiting: TagBatch | None = None
    for batch in batches:
        if waiting is not None and waiting.epoch != batch.epoch:
            yield waiting
            waiting = None
        times = batch.times_ps + table[batch.channels]
        order = np.argsort(times, kind="stable")
        shifted = replace(
            batch,
            times_ps=times[order],
            channels=batch.channels[order],
            start_ps=batch.start_ps + earliest,
            stop_ps=batch.stop_ps + latest,
            gaps=tuple(_shifted(gap, table, earliest, latest) for gap in batch.gaps),
        )
        ready, waiting = _joined(waiting, shifted).split(batch.stop_ps + earliest)
        yield ready
    if waiting is not None:
        yield waiting


def _shifted(gap: Gap, table: NDArray[np.int64], earliest: int, latest: int) -> Gap:
    delays = table[list(gap.channels)] if gap.channels else np.array([earliest, latest])
    return replace(gap, start_ps=gap.start_ps + int(delays.min()), stop_ps=gap.stop_ps + int(delays.max()))


def _joined(waiting: TagBatch | None, batch: TagBatch) -> TagBatch:
    """Join the tags that waited with the batch that follows; they overlap by the spread of the delays."""
    if waiting is None:
        return batch
    times = np.concatenate((waiting.times_ps, batch.times_ps))
    order = np.argsort(times, kind="stable")
    return replace(
        batch,
        times_ps=times[order],
        channels=np.concatenate((waiting.channels, batch.channels))[order],
        start_ps=waiting.start_ps,
        gaps=waiting.gaps + batch.gaps,
    )


class DeadTime:
    """Drop tags within a dead time after a tag of the same channel, as a slower detector would.

    Parameters
    ----------
    dead_time_ps
        Dead time of all channels, or by channel (0 for a channel that is not named).
    extending
        Whether a dropped tag extends the dead time (paralysable).

    Raises
    ------
    OutOfRange
        For a negative dead time.

    Examples
    --------
    >>> import numpy as np
    >>> from qhal.tags import TagBatch
    >>> batch = TagBatch(np.array([0, 60, 120]), np.array([1, 1, 1], np.uint8), 0, 1000)
    >>> DeadTime(100).apply(batch).times_ps.tolist()
    [0, 120]
    >>> DeadTime(100, extending=True).apply(batch).times_ps.tolist()
    [0]
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
        """Return the next batch of the stream without the tags within a dead time."""
        if batch.epoch != self._epoch:
            self._last[:], self._epoch = _LONG_AGO, batch.epoch
        times, channels = np.empty_like(batch.times_ps), np.empty_like(batch.channels)
        filled = correlation_kernels.apply_dead_time(
            batch.times_ps, batch.channels, self._dead, self._last, self._extending, times, channels
        )
        return replace(batch, times_ps=times[:filled], channels=channels[:filled])


def merged(*streams: Iterable[TagBatch]) -> Iterator[TagBatch]:
    """Yield several streams of one clock as one; a batch ends where the slowest stream ends.

    Parameters
    ----------
    streams
        Streams of one epoch each. A gap keeps its channels.

    Raises
    ------
    DataError
        For streams of different epochs.

    Examples
    --------
    >>> import numpy as np
    >>> from qhal.tags import TagBatch
    >>> one = TagBatch(np.array([5, 30]), np.array([1, 1], np.uint8), 0, 100)
    >>> two = TagBatch(np.array([20]), np.array([2], np.uint8), 0, 100)
    >>> [batch.channels.tolist() for batch in merged([one], [two])]
    [[1, 2, 1]]
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
