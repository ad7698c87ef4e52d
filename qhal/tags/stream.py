"""Reading a time tagger: an endless iterator of batches, for any number of readers at once."""

from collections.abc import Iterator

from qhal.tags.batch import TagBatch
from qhal.tags.closing import Closing
from qhal.tags.pump import TagPump

DEFAULT_WAITING_TAGS = 20_000_000
"""Tags that wait for a reader (9 bytes each) before further batches are dropped for it."""


class TagStream(Closing):
    """An endless iterator of batches, each beginning where the last one ended, and a context manager.

    A slow reader drops batches; each drop becomes a gap with its exact count. When the tagger fails, its error is
    raised after all that came before; the next call starts the tagger again, and the first batch is then a gap for
    the time without a recording. ``delivered`` and ``missed`` count tags since the stream was opened: together they
    are all tags of the tagger, except for gaps of unknown size.

    Parameters
    ----------
    pump
        The pump of the tagger; :meth:`qhal.devices.TimeTagger.stream` passes its own.
    waiting_tags
        Tags that may wait for this reader before batches are dropped for it.
    """

    def __init__(self, pump: TagPump, waiting_tags: int = DEFAULT_WAITING_TAGS) -> None:
        self._pump = pump
        self._backlog = pump.attach(waiting_tags)
        self._rest: TagBatch | None = None
        self.delivered = 0
        self.missed = 0

    def __iter__(self) -> Iterator[TagBatch]:
        return self

    def __next__(self) -> TagBatch:
        """Return the next batch, waiting for it. Raises what the tagger raises; the next call restarts it."""
        return self._counted(self._take())

    def for_seconds(self, duration_s: float) -> Iterator[TagBatch]:
        """Yield batches that cover the next ``duration_s`` of the tagger's time; the last one is cut there."""
        left_ps = round(duration_s * 1e12)
        while left_ps > 0:
            batch = self._take()
            if batch.stop_ps - batch.start_ps > left_ps:
                batch, self._rest = batch.split(batch.start_ps + left_ps)
            left_ps -= batch.stop_ps - batch.start_ps
            yield self._counted(batch)

    def close(self) -> None:
        """Stop reading. Raises DeviceError when the tagger reports that it lost tags."""
        self._pump.detach(self._backlog)

    def _take(self) -> TagBatch:
        rest, self._rest = self._rest, None
        return self._pump.take(self._backlog) if rest is None else rest

    def _counted(self, batch: TagBatch) -> TagBatch:
        self.delivered += len(batch)
        self.missed += batch.missed
        return batch
