"""A thousand faults in one stream: delivered and reported missing together are what was made, exactly.

``make faults`` sends 1e9 tags; CI two million with as many faults.
"""

import json
import time

import numpy as np
import pytest

from qhal.errors import ConfigurationError, Disconnected, ProtocolError, ReplyTimeout
from qhal.tags.batch import Gap, Loss, TagBatch
from qhal.tags.relay import TagPublisher, TagSubscriber
from qhal.tags.sequence import Numbered, Numberer, Resequencer, from_message, to_message

FAULTS = ("overflow", "gap", "reconnect", "duplicated", "lost", "reordered", "empty")
STEP_PS = 1000
PER_FAULT = 5
"""Messages for each fault: most are sound."""


def stream(tags, faults, seed):
    """Yield (fault, batch): tag number n is at ``n * STEP_PS`` on input ``n % 4 + 1``."""
    rng = np.random.default_rng(seed)
    kinds = np.full(faults * PER_FAULT, "none", dtype="<U10")
    kinds[rng.choice(len(kinds) - 20, faults, replace=False) + 10] = rng.choice(FAULTS, faults)
    size = tags // len(kinds)
    pattern = np.arange(size, dtype=np.int64) * STEP_PS
    inputs = (np.arange(size + 4) % 4 + 1).astype(np.uint8)
    number = 0
    for kind in kinds:
        start, count = number * STEP_PS, size
        number += size
        times, channels = pattern + start, inputs[: len(pattern)]
        stop, gaps = number * STEP_PS, ()
        if kind == "overflow":  # the tagger lost some in the middle and says how many
            first, last = sorted(rng.integers(0, size, 2).tolist())
            times = np.concatenate((times[:first], times[last:]))
            channels = np.concatenate((channels[:first], channels[last:]))
            gaps = (Gap(start + first * STEP_PS, start + last * STEP_PS, last - first, Loss.EXACT),)
        elif kind == "gap":  # nothing was recorded for a while
            stop += 10_000_000
            gaps = (Gap(number * STEP_PS, stop, 0, Loss.PAUSED),)
            number += 10_000_000 // STEP_PS
        elif kind == "empty":
            times, channels, count = times[:0], channels[:0], 0
            number -= size
            stop = start
        yield str(kind), TagBatch(times, channels, start, stop, gaps=gaps), count


def test_delivered_and_missing_are_what_was_made(request):
    tags = request.config.getoption("--tags")
    rng = np.random.default_rng(1)
    numberer, reader = Numberer(77), Resequencer()
    made = delivered = missed = last_stop = 0
    last_time = -1
    lost = expected_duplicates = dropping = faults = 0
    late = []

    def receive(message):
        nonlocal delivered, missed, last_stop, last_time
        for batch in reader.push(from_message(message)):
            assert batch.start_ps == last_stop
            last_stop = batch.stop_ps
            delivered += len(batch)
            missed += batch.missed
            if len(batch):
                assert batch.times_ps[0] > last_time
                assert (batch.channels[:4] == batch.times_ps[:4] // STEP_PS % 4 + 1).all() or batch.gaps
                last_time = int(batch.times_ps[-1])

    for kind, batch, count in stream(tags, 1000, 2):
        made += count
        faults += kind != "none"
        message = [bytes(part) for part in to_message(numberer.number(batch))]
        if kind == "reconnect":
            dropping = int(rng.integers(1, 12))
        if dropping or kind == "lost":
            dropping -= dropping > 0
            lost += count
            continue
        if kind == "reordered":
            late.append((int(rng.integers(1, 9)), message))
            continue
        receive(message)
        if kind == "duplicated":
            expected_duplicates += 1
            receive(message)
        late = [(left - 1, each) for left, each in late]
        for _, each in [pair for pair in late if pair[0] <= 0]:
            receive(each)
        late = [pair for pair in late if pair[0] > 0]
    for _, each in late:
        receive(each)
    receive(
        to_message(
            numberer.number(
                TagBatch(np.empty(0, np.int64), np.empty(0, np.uint8), batch.stop_ps, batch.stop_ps)
            )
        )
    )
    for batch in reader.flush():
        delivered, missed = delivered + len(batch), missed + batch.missed
    assert faults == 1000
    assert lost > 0
    assert delivered + missed == made
    assert reader.duplicates == expected_duplicates


def batch(start, count, **more):
    times = (start + np.arange(count)) * STEP_PS
    return TagBatch(times, np.ones(count, np.uint8), start * STEP_PS, (start + count) * STEP_PS, **more)


def test_a_gap_of_unknown_size_among_the_lost_makes_the_count_a_lower_bound():
    numberer, reader = Numberer(1), Resequencer(patience=0)
    messages = [numberer.number(batch(n * 10, 10, gaps=(Gap(0, 1),) if n == 1 else ())) for n in range(4)]
    found = [b for n in (0, 2, 3) for b in reader.push(messages[n])]
    assert [(gap.missed, gap.loss) for b in found for gap in b.gaps] == [(10, Loss.AT_LEAST)]


def test_a_publisher_that_begins_anew_begins_a_new_epoch():
    reader = Resequencer()
    found = [b for stream in (1, 2) for b in reader.push(Numberer(stream).number(batch(0, 5)))]
    assert [(b.epoch, len(b), [g.loss for g in b.gaps]) for b in found] == [
        (0, 5, []),
        (0, 0, [Loss.UNKNOWN]),
        (1, 5, []),
    ]


def test_messages_of_another_kind():
    good = [bytes(part) for part in to_message(Numberer(1).number(batch(0, 5)))]
    for wrong, message in (
        (good[:3], r"parts of \[38, 56, 40\] bytes"),
        ([b"QTAX" + good[0][4:], *good[1:]], r"b'QTAX' version 1: this qhal reads b'QTAG' version 1"),
        ([*good[:2], good[2][:-8], good[3]], "message 0: 32 bytes of times, 5 channels"),
        ([good[0], b"{}", *good[2:]], "message 0: b'{}' describes no batch"),
    ):
        with pytest.raises(ProtocolError, match=message):
            from_message(wrong)


def described(**changes):
    return batch(0, 5, gaps=(Gap(1, 2, 3, Loss.EXACT, (1,)),)).description() | changes


@pytest.mark.parametrize(
    "description",
    [
        b"[" * 100_000,
        b"[]",
        b"9" * 10_000,
        b"\xff",
        described(start_ps="x"),
        described(start_ps=None),
        described(start_ps=True),
        described(start_ps=0.0),
        described(start_ps=5001),
        described(stop_ps=4000),  # a tag is there
        described(stop_ps=2**64),
        described(epoch={}),
        described(epoch=-1),
        described(more=1),
        described(gaps={}),
        described(gaps=[5]),
        described(gaps=[{"start_ps": "a", "stop_ps": 1, "missed": 0, "loss": "exact", "channels": []}]),
        described(gaps=[{"start_ps": 0, "stop_ps": 1, "missed": -5, "loss": "exact", "channels": []}]),
        described(gaps=[{"start_ps": 2, "stop_ps": 1, "missed": 5, "loss": "exact", "channels": []}]),
        described(gaps=[{"start_ps": 0, "stop_ps": 1, "missed": 0, "loss": "no", "channels": []}]),
        described(gaps=[{"start_ps": 0, "stop_ps": 1, "missed": 0, "loss": [], "channels": []}]),
        described(gaps=[{"start_ps": 0, "stop_ps": 1, "missed": 0, "loss": "exact", "channels": "ab"}]),
        described(gaps=[{"start_ps": 0, "stop_ps": 1, "missed": 0, "loss": "exact", "channels": [256]}]),
        described(gaps=[{"start_ps": 0, "stop_ps": 1}]),
    ],
    ids=lambda content: str(content)[:60],
)
def test_descriptions_of_other_types_or_numbers(description):
    content = description if isinstance(description, bytes) else json.dumps(description).encode()
    parts = [bytes(part) for part in to_message(Numberer(1).number(batch(0, 5)))]
    with pytest.raises(ProtocolError, match="describes no batch"):
        from_message([parts[0], content, *parts[2:]])


def test_times_that_do_not_ascend_or_leave_their_span():
    for times in ([5, 4], [-1, 5], [5, 5000]):
        wrong = TagBatch(np.array(times), np.ones(2, np.uint8), 0, 5000)
        with pytest.raises(ProtocolError, match="describes no batch"):
            from_message([bytes(part) for part in to_message(Numberer(1).number(wrong))])


def test_messages_that_count_fewer_tags_than_came():
    for number in (1, 2):  # in its turn, and after one that is missing
        numberer, reader = Numberer(1), Resequencer(patience=0)
        list(reader.push(numberer.number(batch(0, 10))))
        wrong = Numbered(1, number, 9, 0, batch(10, 10))
        with pytest.raises(ProtocolError, match="9 tags before it"):
            list(reader.push(wrong))
    reader = Resequencer(patience=0)
    list(reader.push(Numberer(1).number(batch(0, 10))))
    early = Numbered(1, 2, 10, 0, batch(5, 10))
    with pytest.raises(ProtocolError, match="from 5000 ps on"):
        list(reader.push(early))


def test_readers_over_a_real_socket():
    with (
        TagPublisher("tcp://127.0.0.1:*") as publisher,
        TagSubscriber(publisher.address) as one,
        TagSubscriber(publisher.address) as two,
    ):
        deadline = time.monotonic() + 10
        sent = 0
        while not (one._socket.poll(1) and two._socket.poll(1)):  # a subscription takes its time to arrive
            publisher.send(batch(sent * 100, 100))
            sent += 1
            assert time.monotonic() < deadline
        first = [next(one), next(two)]
        for _ in range(50):
            publisher.send(batch(sent * 100, 100))
            sent += 1
        for reader, begin in zip((one, two), first, strict=True):
            batches = [begin]
            while batches[-1].stop_ps < sent * 100 * STEP_PS:
                batches.append(next(reader))
            whole = TagBatch.concatenate(batches)
            np.testing.assert_array_equal(
                whole.times_ps, np.arange(begin.start_ps // STEP_PS, sent * 100) * STEP_PS
            )
            assert (reader.delivered, reader.missed) == (len(whole), 0)


def test_a_reader_too_slow_for_its_queue_is_told_what_it_lost():
    with TagPublisher("tcp://127.0.0.1:*") as publisher, TagSubscriber(publisher.address) as reader:
        deadline = time.monotonic() + 10
        sent = 0
        while not reader._socket.poll(1):
            publisher.send(batch(sent * 10, 10))
            sent += 1
            assert time.monotonic() < deadline
        batches = [next(reader)]
        big = np.zeros(50_000, np.int64)
        for _ in range(2500):  # more than both queues and the sockets' buffers hold
            publisher.send(
                TagBatch(big + sent * 10_000, np.ones(len(big), np.uint8), sent * 10_000, (sent + 1) * 10_000)
            )
            sent += 1
        while True:
            publisher.send(batch(sent * 10, 0))
            sent += 1
            batches.append(next(reader))
            if reader.missed:
                break
        assert reader.missed % 50_000 == 0
        assert all(gap.loss is Loss.EXACT for b in batches for gap in b.gaps)


def test_wrong_addresses_and_silence():
    with TagPublisher("tcp://127.0.0.1:*") as publisher:
        with pytest.raises(Disconnected, match="Address already in use"):
            TagPublisher(publisher.address)
        with (
            TagSubscriber(publisher.address, timeout_s=0.01) as reader,
            pytest.raises(ReplyTimeout, match=r"no tags for 0\.01 s"),
        ):
            next(reader)
    with pytest.raises(ConfigurationError, match="nonsense://here"):
        TagSubscriber("nonsense://here")
