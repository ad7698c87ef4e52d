"""A pump and its readers, on a tagger and a clock of this file: batches of 0.1 s, ten tags each."""

import threading
from contextlib import suppress

import numpy as np
import pytest

from qhal.errors import DeviceError, Disconnected, ReplyTimeout
from qhal.tags.backlog import Backlog
from qhal.tags.batch import Gap, Loss, TagBatch
from qhal.tags.pump import TagPump
from qhal.tags.stream import TagStream

PERIOD_PS = 100_000_000_000
TAGS = 10


def batch(number, *, gaps=(), epoch=0):
    start = number * PERIOD_PS
    times = start + np.arange(TAGS, dtype=np.int64)
    return TagBatch(times, np.ones(TAGS, np.uint8), start, start + PERIOD_PS, epoch, gaps)


class SteppedTagger:
    """A tagger and its stepped clock; ``meet``: what the callers of ``tags_due_in_s`` wait for."""

    def __init__(self, meet=None):
        self.meet, self.time_s, self.recordings, self.silent = meet, 0.0, 0, False
        self.error = None
        self._number, self._start_s = 0, 0.0

    def now_s(self):
        return self.time_s

    def sleep_s(self, duration_s):
        self.time_s += max(duration_s, 0.0)

    advance_s = sleep_s

    def close(self):
        pass

    def start_tags(self):
        self.recordings += 1
        self._number, self._start_s = 0, self.time_s

    def stop_tags(self):
        self.recordings += 100

    def read_tags(self, deadline):
        error, self.error = self.error, None
        if error is not None:
            raise error
        if self.silent or self.tags_due_in_s(self._number * PERIOD_PS) > 1e-9:
            return None
        self._number += 1
        return batch(self._number - 1)

    def tags_due_in_s(self, position_ps):
        due_s = self._start_s + (position_ps + PERIOD_PS) * 1e-12 - self.time_s
        if self.meet is not None:
            with suppress(threading.BrokenBarrierError):
                self.meet.wait(0.1)
        return due_s


def pump_of(tagger):
    return TagPump("tagger", tagger, tagger)


def test_two_readers_advance_simulated_time_once():
    tagger = SteppedTagger(threading.Barrier(2))
    pump = pump_of(tagger)
    with TagStream(pump) as first, TagStream(pump) as second:
        readers = [threading.Thread(target=lambda s=s: [next(s) for _ in range(5)]) for s in (first, second)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        assert first.delivered == second.delivered == 5 * TAGS
    assert tagger.time_s == pytest.approx(0.5)


def test_simulated_time_stands_still_while_no_reader_waits():
    tagger = SteppedTagger()
    with TagStream(pump_of(tagger)) as tags:
        next(tags)
        tagger.sleep_s(0.3)  # others may advance it
        assert [next(tags).start_ps for _ in range(3)] == [PERIOD_PS * n for n in (1, 2, 3)]
        assert tagger.time_s == pytest.approx(0.4)


def test_a_span_ends_within_a_batch_and_the_next_begins_there():
    tagger = SteppedTagger()
    with TagStream(pump_of(tagger)) as tags:
        first = list(tags.for_seconds(0.25))
        (second,) = tags.for_seconds(0.05)
    assert first[-1].stop_ps == second.start_ps == 2.5 * PERIOD_PS
    assert second.stop_ps == 3 * PERIOD_PS
    assert tags.delivered == 3 * TAGS


def test_an_error_reaches_every_reader_and_the_next_call_restarts():
    tagger = SteppedTagger()
    pump = pump_of(tagger)
    with TagStream(pump) as first, TagStream(pump) as second:
        next(first)
        tagger.error = DeviceError("out of memory")
        for reader in (first, second):
            with pytest.raises(DeviceError, match="out of memory"):
                list(reader)
        tagger.sleep_s(2.0)
        gap, after = next(first), next(first)
        assert next(second).gaps == gap.gaps
    assert (gap.start_ps, gap.gaps[0].loss) == (PERIOD_PS, Loss.UNKNOWN)
    assert (gap.stop_ps - gap.start_ps) * 1e-12 == pytest.approx(tagger.time_s - 0.1 - 0.1)
    assert (after.epoch, after.start_ps) == (gap.epoch + 1, 0)
    assert tagger.recordings == 2 + 100


def test_silence_is_an_error(monkeypatch):
    monkeypatch.setattr("qhal.tags.pump._OVERDUE_S", 0.02)
    tagger = SteppedTagger()
    with TagStream(pump_of(tagger)) as tags:
        tagger.silent = True
        with pytest.raises(ReplyTimeout, match=r"no tags 0\.02 s after they were due"):
            next(tags)


def test_closing_wakes_a_reader():
    tagger = SteppedTagger()
    tagger.silent = True
    pump = pump_of(tagger)
    tags, raised = TagStream(pump), []

    def read():
        try:
            next(tags)
        except Disconnected as error:
            raised.append(str(error))

    reader = threading.Thread(target=read)
    reader.start()
    pump.close()
    reader.join(5.0)
    assert raised == ["tagger: the stream was closed"]
    assert not pump.running


def test_a_full_backlog_drops_batches_and_counts_them():
    backlog = Backlog(2 * TAGS)
    paused = Gap(5 * PERIOD_PS, 6 * PERIOD_PS, 3, Loss.UNKNOWN)
    for number in range(4):
        backlog.put(batch(number))
    backlog.put_error(DeviceError("lost"))
    backlog.put(batch(5, gaps=(paused,)))
    items = [backlog.pop() for _ in range(6)]
    assert [len(each) for each in items[:3]] == [TAGS, TAGS, 0]
    (gap,) = items[2].gaps
    assert (gap.start_ps, gap.stop_ps, gap.missed, gap.loss) == (
        2 * PERIOD_PS,
        4 * PERIOD_PS,
        2 * TAGS,
        Loss.EXACT,
    )
    assert str(items[3]) == "lost"
    (gap,) = items[4].gaps
    assert (gap.missed, gap.loss) == (TAGS + 3, Loss.AT_LEAST)
    assert items[5] is None
    assert not backlog.ready
    backlog.end()
    assert backlog.ready
