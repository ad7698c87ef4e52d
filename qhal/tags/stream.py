"""One reader's view of a stream of tags: batches in order, a bounded queue, losses with their count."""

import threading
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from qhal.errors import Disconnected, QhalError, ReplyTimeout
from qhal.tags.batch import Gap, Loss, TagBatch
from qhal.tags.closing import Closing

if TYPE_CHECKING:
    from qhal.tags.pump import TagPump

DEFAULT_WAITING_TAGS = 20_000_000
"""Tags that wait for a reader (9 bytes each) before further batches are dropped for it."""
_OVERDUE_S = 5.0


class TagStream(Closing):
    """An endless iterator of batches, each beginning where the last one ended, and a context manager.

    A reader that is too slow loses batches of its own, told as gaps with their exact count. When the tagger
    fails, its error is raised after all that came before; the next call starts the tagger again, and the first
    batch then tells the time without a recording. ``delivered`` and ``missed`` count tags since the stream was
    opened: together they are what the tagger made, but for gaps of unknown size.
    """

    def __init__(self, pump: "TagPump", waiting_tags: int) -> None:
        self._pump = pump
        self._waiting_tags = waiting_tags
        self._queue: deque[TagBatch | QhalError] = deque()
        self._arrived = threading.Condition()
        self._waiting = 0
        self._dropped: TagBatch | None = None
        self._epoch = 0
        self._end_ps = 0
        self._closed = False
        self.delivered = 0
        self.missed = 0

    def __iter__(self) -> Iterator[TagBatch]:
        return self

    def __next__(self) -> TagBatch:
        """Return the next batch, waiting for it. Raises what the tagger raises; the next call starts again."""
        return self._hand_out(self._take())

    def for_seconds(self, duration_s: float) -> Iterator[TagBatch]:
        """Yield batches that cover the next ``duration_s`` of the tagger's time; the last one is cut there."""
        left_ps = round(duration_s * 1e12)
        while left_ps > 0:
            batch = self._take()
            if batch.stop_ps - batch.start_ps > left_ps:
                batch, rest = batch.split(batch.start_ps + left_ps)
                with self._arrived:
                    self._queue.appendleft(rest)
                    self._waiting += len(rest)
            left_ps -= batch.stop_ps - batch.start_ps
            yield self._hand_out(batch)

    def close(self) -> None:
        """Stop reading. Raises DeviceError when the tagger says that it lost tags."""
        self.end()
        self._pump.detach(self)

    # -- for the pump

    def join(self, epoch: int, position_ps: int) -> None:
        """Begin in the middle of a recording."""
        self._epoch, self._end_ps = epoch, position_ps

    def end(self) -> None:
        """Let what waits be read, and nothing after it."""
        with self._arrived:
            self._closed = True
            self._arrived.notify_all()

    def put(self, item: TagBatch | QhalError) -> None:
        """Queue a batch or an error; a batch that does not fit is dropped and told as a gap."""
        with self._arrived:
            if isinstance(item, TagBatch):
                self._epoch, self._end_ps = item.epoch, item.stop_ps
                if self._queue and self._waiting + len(item) > self._waiting_tags:
                    self._drop(item)
                    return
                self._waiting += len(item)
            self._tell_dropped()
            self._queue.append(item)
            self._arrived.notify_all()

    def tell_pause(self, paused_ps: int) -> None:
        """Queue the time without a recording, on the clock of the recording that failed."""
        self.put(_nothing(self._epoch, self._end_ps, self._end_ps + paused_ps, 0, Loss.UNKNOWN))
        self._end_ps = 0

    # -- inside

    def _take(self) -> TagBatch:
        if not self._queue and not self._closed:
            self._pump.resume()
            self._pump.clock.sleep_s(self._pump.due_in_s(self._end_ps))
            with self._arrived:
                here = self._arrived.wait_for(lambda: self._closed or bool(self._queue), _OVERDUE_S)
            if not here:
                self._pump.fail(
                    ReplyTimeout(f"{self._pump.name}: no tags {_OVERDUE_S:g} s after they were due")
                )
        with self._arrived:
            self._tell_dropped()
            if not self._queue:
                raise Disconnected(f"{self._pump.name}: the stream was closed")
            item = self._queue.popleft()
            if isinstance(item, QhalError):
                raise item
            self._waiting -= len(item)
            return item

    def _hand_out(self, batch: TagBatch) -> TagBatch:
        self.delivered += len(batch)
        self.missed += batch.missed
        return batch

    def _drop(self, batch: TagBatch) -> None:
        known = all(gap.loss is not Loss.UNKNOWN for gap in batch.gaps)
        lost = _nothing(
            batch.epoch,
            batch.start_ps,
            batch.stop_ps,
            len(batch) + batch.missed,
            Loss.EXACT if known else Loss.AT_LEAST,
        )
        if self._dropped is not None and self._dropped.epoch != batch.epoch:
            self._tell_dropped()
        before, self._dropped = self._dropped, lost
        if before is not None:
            both = (*before.gaps, *lost.gaps)
            loss = Loss.AT_LEAST if any(gap.loss is Loss.AT_LEAST for gap in both) else Loss.EXACT
            missed = sum(gap.missed for gap in both)
            self._dropped = _nothing(batch.epoch, before.start_ps, batch.stop_ps, missed, loss)

    def _tell_dropped(self) -> None:
        if self._dropped is not None:
            self._queue.append(self._dropped)
            self._dropped = None


def _nothing(epoch: int, start_ps: int, stop_ps: int, missed: int, loss: Loss) -> TagBatch:
    """Return a batch that is one gap."""
    gap = Gap(start_ps, stop_ps, missed, loss)
    return TagBatch(np.empty(0, np.int64), np.empty(0, np.uint8), start_ps, stop_ps, epoch, (gap,))
