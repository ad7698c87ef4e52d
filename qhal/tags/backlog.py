"""The batches that wait for one reader of a time tagger: a bounded queue that counts what it drops."""

from collections import deque

from qhal.tags.batch import Gap, Loss, TagBatch


class Backlog:
    """A queue of batches and errors for one reader, limited by its number of tags.

    A batch that does not fit is dropped. Batches dropped in a row become one gap with their exact count, which takes
    their position in the queue. Not thread-safe: the pump locks it.

    Parameters
    ----------
    max_tags
        Tags in the queue (9 bytes each) from which on a batch is dropped. One batch always fits.
    """

    def __init__(self, max_tags: int) -> None:
        self._max_tags = max_tags
        self._items: deque[TagBatch | Exception] = deque()
        self._tags = 0
        self._dropped: TagBatch | None = None
        self._epoch = 0
        self._end_ps = 0
        self._ended = False

    @property
    def ready(self) -> bool:
        """Whether :meth:`pop` returns at once: with an item, or with None after the end."""
        return bool(self._items) or self._ended

    def join(self, epoch: int, position_ps: int) -> None:
        """Begin within a recording, at a position of it."""
        self._epoch, self._end_ps = epoch, position_ps

    def put(self, batch: TagBatch) -> None:
        """Queue a batch, or count it as dropped."""
        self._epoch, self._end_ps = batch.epoch, batch.stop_ps
        if self._items and self._tags + len(batch) > self._max_tags:
            self._drop(batch)
            return
        self._queue_dropped()
        self._tags += len(batch)
        self._items.append(batch)

    def put_error(self, error: Exception) -> None:
        """Queue an error of the tagger, behind what came before it."""
        self._queue_dropped()
        self._items.append(error)

    def put_pause(self, paused_ps: int) -> None:
        """Queue a gap for the time without a recording, on the time axis of the recording that failed."""
        pause = Gap(self._end_ps, self._end_ps + paused_ps, 0, Loss.UNKNOWN)
        self.put(TagBatch.of_gap(pause, self._epoch))
        self._end_ps = 0

    def end(self) -> None:
        """Mark the end: what is queued can still be read."""
        self._ended = True

    def pop(self) -> TagBatch | Exception | None:
        """Return the next item; None when nothing is queued."""
        self._queue_dropped()
        if not self._items:
            return None
        item = self._items.popleft()
        if isinstance(item, TagBatch):
            self._tags -= len(item)
        return item

    def _drop(self, batch: TagBatch) -> None:
        exact = all(gap.loss is not Loss.UNKNOWN for gap in batch.gaps)
        loss, missed, start_ps = (
            Loss.EXACT if exact else Loss.AT_LEAST,
            len(batch) + batch.missed,
            batch.start_ps,
        )
        if self._dropped is not None and self._dropped.epoch != batch.epoch:
            self._queue_dropped()
        if self._dropped is not None:
            (before,) = self._dropped.gaps
            loss = Loss.AT_LEAST if Loss.AT_LEAST in (before.loss, loss) else Loss.EXACT
            missed, start_ps = missed + before.missed, before.start_ps
        self._dropped = TagBatch.of_gap(Gap(start_ps, batch.stop_ps, missed, loss), batch.epoch)

    def _queue_dropped(self) -> None:
        if self._dropped is not None:
            self._items.append(self._dropped)
            self._dropped = None
