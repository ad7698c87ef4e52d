"""The pump of a time tagger: the one thread that reads it and hands its batches to every reader."""

import threading
import time
from dataclasses import replace
from typing import Protocol

from qhal.clock import Clock
from qhal.errors import Disconnected, QhalError, ReplyTimeout
from qhal.tags.backlog import Backlog
from qhal.tags.batch import TagBatch

_POLL_S = 0.05
_OVERDUE_S = 5.0
_CHECK_S = 0.2
"""Interval at which a waiting reader checks that the thread of the pump runs and that its batch is not overdue."""


class TagSource(Protocol):
    """The operations of a time tagger that its pump needs."""

    def start_tags(self) -> None:
        """Start a recording; its times count from here."""
        ...

    def read_tags(self, deadline: float) -> TagBatch | None:
        """Return the next batch, None when there is none before the (wall time) deadline."""
        ...

    def stop_tags(self) -> None:
        """End the recording. Raises DeviceError when the tagger lost tags on its way."""
        ...

    def tags_due_in_s(self, position_ps: int) -> float:
        """Return the device time until the batch that begins at a position should be here."""
        ...


class TagPump:
    """Reads a tagger while it has readers; simulated time advances here, and only while a reader waits.

    A recording that fails passes its error to every reader and ends; the first reader that asks for more starts the
    next one.
    """

    def __init__(self, name: str, source: TagSource, clock: Clock) -> None:
        self.name = name
        self._clock = clock
        self._source = source
        self._backlogs: list[Backlog] = []
        self._waiting: set[Backlog] = set()
        self._changed = threading.Condition()  # guards all below, and the backlogs
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._epoch = 0
        self._started_s = 0.0
        self._position_ps = 0
        self._overdue_s: float | None = (
            None  # wall time from which the batch that a reader waits for is overdue
        )
        self._failed = False

    @property
    def running(self) -> bool:
        """Whether tags are being recorded now."""
        return self._thread is not None and not self._failed

    def attach(self, max_tags: int) -> Backlog:
        """Return the backlog of a new reader; the first one starts the recording."""
        backlog = Backlog(max_tags)
        with self._changed:
            if not self._backlogs:
                self._start()
            self._backlogs.append(backlog)
            backlog.join(self._epoch, self._position_ps)
        return backlog

    def take(self, backlog: Backlog) -> TagBatch:
        """Return the next batch of a reader, waiting for it.

        Raises what the tagger raised; the next call then restarts the recording. Raises Disconnected when the reader
        was detached, and in a forked process, where the thread of the pump does not run.
        """
        if not backlog.ready:
            self._restart_if_failed()
        with self._changed:
            self._waiting.add(backlog)
            try:
                self._wait_until_ready(backlog)
            finally:
                self._waiting.discard(backlog)
            item = backlog.pop()
        if item is None:
            raise Disconnected(f"{self.name}: the stream was closed")
        if isinstance(item, Exception):
            raise item
        return item

    def detach(self, backlog: Backlog) -> None:
        """Remove a reader; the last one ends the recording. Raises what ``stop_tags`` raises."""
        with self._changed:
            if backlog not in self._backlogs:
                return
            self._end(backlog)
            last = not self._backlogs
        if last:
            self._stop()

    def close(self) -> None:
        """Remove all readers and end the recording."""
        with self._changed:
            for backlog in tuple(self._backlogs):
                self._end(backlog)
        self._stop()

    def _wait_until_ready(self, backlog: Backlog) -> None:
        while not backlog.ready:
            self._changed.notify_all()  # the thread of the pump, that this reader waits
            if self._changed.wait(_CHECK_S):
                continue
            if self._thread is None or not self._thread.is_alive():
                raise Disconnected(f"{self.name}: no thread of this process reads the tagger")
            if self._overdue_s is not None and time.monotonic() > self._overdue_s:
                self._fail(ReplyTimeout(f"{self.name}: no tags {_OVERDUE_S:g} s after they were due"))

    def _end(self, backlog: Backlog) -> None:
        self._backlogs.remove(backlog)
        backlog.end()
        self._changed.notify_all()

    def _restart_if_failed(self) -> None:
        """Start a recording after a failure; each reader gets a gap for the time without one."""
        if not self._failed:
            return
        if (thread := self._thread) is not None:
            thread.join()  # ends after a failure; it may need the lock, which is not held here
        with self._changed:
            if not self._failed:
                return  # another reader was faster
            last_tags_s = self._started_s + self._position_ps * 1e-12
            self._start()
            paused_ps = max(1, round((self._started_s - last_tags_s) * 1e12))
            for backlog in self._backlogs:
                backlog.put_pause(paused_ps)

    def _start(self) -> None:
        started_s = self._clock.now_s()
        self._source.start_tags()
        self._epoch += 1
        self._started_s, self._position_ps, self._overdue_s = started_s, 0, None
        self._failed = False
        self._stopping = threading.Event()
        arguments = (self._epoch, self._stopping)
        self._thread = threading.Thread(
            target=self._run, args=arguments, name=f"{self.name}-tags", daemon=True
        )
        self._thread.start()

    def _stop(self) -> None:
        thread, self._thread = self._thread, None
        failed, self._failed = self._failed, False
        self._stopping.set()
        if thread is not None:
            thread.join()
            if not failed:
                self._source.stop_tags()

    # -- in the thread of the pump

    def _run(self, epoch: int, stopping: threading.Event) -> None:
        batch: TagBatch | None = None
        try:
            while not stopping.is_set() and not self._failed:
                awaited = self._is_awaited(0.0 if batch is not None else _POLL_S)
                if awaited:
                    self._clock.advance_s(self._due_in_s())
                self._note_due(awaited)
                batch = self._source.read_tags(time.monotonic() + (_POLL_S if awaited else 0.0))
                if batch is not None and not stopping.is_set():
                    self._distribute(replace(batch, epoch=epoch))
        except QhalError as error:
            if not stopping.is_set():
                self._fail(error)
        except Exception as error:
            self._fail(error)
            raise

    def _is_awaited(self, patience_s: float) -> bool:
        """Return whether a reader waits for the next batch, waiting ``patience_s`` for one that does."""
        with self._changed:
            return self._changed.wait_for(
                lambda: any(not backlog.ready for backlog in self._waiting), patience_s
            )

    def _due_in_s(self) -> float:
        return self._source.tags_due_in_s(self._position_ps)

    def _note_due(self, awaited: bool) -> None:
        """Keep the wall time from which the next batch is overdue: from when it is due and a reader waits for it."""
        if not awaited:
            self._overdue_s = None
        elif self._overdue_s is None and self._due_in_s() <= 0:
            self._overdue_s = time.monotonic() + _OVERDUE_S

    def _distribute(self, batch: TagBatch) -> None:
        with self._changed:
            if self._failed:
                return
            self._position_ps, self._overdue_s = batch.stop_ps, None
            for backlog in self._backlogs:
                backlog.put(batch)
            self._changed.notify_all()

    def _fail(self, error: Exception) -> None:
        """End the recording; every reader gets the error after what came before it."""
        with self._changed:
            if self._failed:
                return
            self._failed = True
            for backlog in self._backlogs:
                backlog.put_error(error)
            self._changed.notify_all()
