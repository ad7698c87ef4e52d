"""The pump of a time tagger: the one thread that reads it, for any number of readers."""

import threading
import time
from dataclasses import replace
from typing import Protocol

from qhal.clock import Clock
from qhal.errors import QhalError
from qhal.tags.batch import TagBatch
from qhal.tags.stream import TagStream

_POLL_S = 0.05


class TagSource(Protocol):
    """What a time tagger does for its pump."""

    def start_tags(self) -> None:
        """Begin a recording; its times count from here."""
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
    """Reads a source while anybody listens.

    A recording that fails gives its error to every reader and ends; the first reader that asks for more starts
    the next one.
    """

    def __init__(self, name: str, source: TagSource, clock: Clock) -> None:
        self.name = name
        self.clock = clock
        self._source = source
        self._streams: list[TagStream] = []
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._epoch = 0
        self._position_ps = 0
        self._failed_s: float | None = None

    @property
    def running(self) -> bool:
        """Whether tags are being recorded now."""
        return self._thread is not None and self._failed_s is None

    def attach(self, waiting_tags: int) -> TagStream:
        """Return a new reader; the first one starts the recording."""
        stream = TagStream(self, waiting_tags)
        with self._lock:
            if not self._streams:
                self._start()
            self._streams.append(stream)
            stream.join(self._epoch, self._position_ps)
        return stream

    def detach(self, stream: TagStream) -> None:
        """Let a reader go; the last one ends the recording. Raises what ``stop_tags`` raises."""
        with self._lock:
            if stream not in self._streams:
                return
            self._streams.remove(stream)
            last = not self._streams
        if last:
            self._stop()

    def close(self) -> None:
        """End the recording and let all readers go."""
        with self._lock:
            for stream in self._streams:
                stream.end()
            self._streams.clear()
        self._stop()

    def resume(self) -> None:
        """Start a recording again after it failed; readers are told for how long there was none."""
        if self._failed_s is None:
            return
        if (thread := self._thread) is not None:
            thread.join()  # it ends by itself; the lock it may need is not held here
        with self._lock:
            failed_s = self._failed_s
            if failed_s is None:
                return  # another reader was faster
            self._start()
            paused_ps = max(1, round((self.clock.now_s() - failed_s) * 1e12))
            for stream in self._streams:
                stream.tell_pause(paused_ps)

    def due_in_s(self, position_ps: int) -> float:
        """Return the device time until the batch that begins at a position should be here."""
        return self._source.tags_due_in_s(position_ps)

    def fail(self, error: QhalError) -> None:
        """End the recording because of an error, which every reader gets after what came before it."""
        now_s = self.clock.now_s()
        with self._lock:
            if self._failed_s is not None or self._stopping.is_set():
                return
            self._failed_s = now_s
            for stream in self._streams:
                stream.put(error)

    def _start(self) -> None:
        self._source.start_tags()
        self._epoch += 1
        self._position_ps = 0
        self._failed_s = None
        self._stopping = threading.Event()
        arguments = (self._epoch, self._stopping)
        self._thread = threading.Thread(
            target=self._run, args=arguments, name=f"{self.name}-tags", daemon=True
        )
        self._thread.start()

    def _stop(self) -> None:
        thread, self._thread = self._thread, None
        failed, self._failed_s = self._failed_s is not None, None
        self._stopping.set()
        if thread is not None:
            thread.join()
            if not failed:
                self._source.stop_tags()

    def _run(self, epoch: int, stopping: threading.Event) -> None:
        while not stopping.is_set() and self._failed_s is None:
            try:
                batch = self._source.read_tags(time.monotonic() + _POLL_S)
            except QhalError as error:
                if not stopping.is_set():
                    self.fail(error)
                return
            if batch is not None and not stopping.is_set():
                self._distribute(replace(batch, epoch=epoch))

    def _distribute(self, batch: TagBatch) -> None:
        with self._lock:
            self._position_ps = batch.stop_ps
            for stream in self._streams:
                stream.put(batch)
