"""Two ends of a wire in memory: chunks each way, ends, threads."""

import threading
import time

import pytest

from qhal.errors import Disconnected, ReplyTimeout
from qhal.transport.memory import pair
from qhal.transport.reader import Reader


def test_chunks_each_way_and_no_reply_in_time():
    near, far = pair()
    near.open(0.0)
    near.write(b"ask", 0.0)
    assert far.readable()
    assert far.read_chunk(0.0, 1) == b"ask"
    far.write(b"re", 0.0)
    far.write(b"ply\n", 0.0)
    assert Reader(near).read_until(b"\n", 0.0) == b"reply"
    assert not near.readable()
    with pytest.raises(ReplyTimeout, match="no reply"):
        near.read_chunk(time.monotonic(), 1)


def test_an_end_that_closes_is_seen_at_the_other_and_drops_what_was_unread():
    near, far = pair()
    near.open(0.0)
    far.write(b"late", 0.0)
    near.close()
    for action in (lambda: far.read_chunk(0.0, 1), lambda: far.write(b"x", 0.0)):
        with pytest.raises(Disconnected, match="the peer closed the connection"):
            action()
    assert far.readable(), "the end can be read"
    with pytest.raises(Disconnected, match="not open"):
        near.write(b"x", 0.0)
    near.open(0.0)
    assert not near.readable()


def test_a_reader_waits_for_another_thread():
    near, far = pair()
    near.open(0.0)
    thread = threading.Thread(
        target=lambda: far.write(far.read_chunk(time.monotonic() + 30.0, 1) + b"!", 0.0)
    )
    thread.start()
    near.write(b"ask", 0.0)
    assert near.read_chunk(time.monotonic() + 30.0, 1) == b"ask!"
    thread.join()
