"""Frames over a transport that hands out bytes in arbitrary pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qhal.errors import ProtocolError, ReplyTimeout
from qhal.transport.base import MAX_FRAME_BYTES, ByteTransport, MessageTransport
from qhal.transport.frames import block, exactly, line


class Pieces(ByteTransport):
    def __init__(self, pieces):
        super().__init__("pieces:")
        self._pieces = [piece for piece in pieces if piece]

    def open(self, deadline): ...

    def close(self): ...

    def write(self, data, deadline): ...

    def _receive(self, deadline):
        if not self._pieces:
            raise ReplyTimeout("no reply")
        return self._pieces.pop(0)

    def _readable(self):
        return bool(self._pieces)


class Messages(Pieces, MessageTransport):
    read_until, read_exactly, read_message = (
        MessageTransport.read_until,
        MessageTransport.read_exactly,
        MessageTransport.read_message,
    )
    pending = MessageTransport.pending

    def __init__(self, messages):
        MessageTransport.__init__(self, "messages:")
        self._pieces = list(messages)


@st.composite
def cut(draw, content):
    """Bytes cut at arbitrary places."""
    data = draw(content)
    places = sorted(draw(st.lists(st.integers(0, len(data)), max_size=6)))
    return data, [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


@given(
    cut(
        st.lists(st.binary(max_size=20).filter(lambda b: b"\r\n" not in b + b"\r"), min_size=1).map(
            lambda lines: b"".join(part.replace(b"\r", b"") + b"\r\n" for part in lines)
        )
    )
)
def test_lines_do_not_depend_on_the_pieces(data_and_pieces):
    data, pieces = data_and_pieces
    transport = Pieces(pieces)
    read = [line(b"\r\n")(transport, 0.0) for _ in range(data.count(b"\r\n"))]
    assert b"".join(part + b"\r\n" for part in read) == data
    assert not transport.pending()


@given(cut(st.binary(max_size=300).map(lambda body: b"#3%03d" % len(body) + body + b"\nNEXT\n")))
def test_blocks_are_read_by_count_whatever_they_hold(data_and_pieces):
    data, pieces = data_and_pieces
    transport = Pieces(pieces)
    assert block(transport, 0.0) == data[5 : 5 + int(data[2:5])]
    assert line()(transport, 0.0) == b"NEXT"


@given(st.binary(max_size=50))
def test_blocks_over_messages(body):
    transport = Messages([b"#2%02d" % len(body) + body + b"\n"])
    if len(body) > 0:
        assert block(transport, 0.0) == body


@pytest.mark.parametrize("wrong", [b"12\n", b"#0\n", b"#2ab..", b"#12ab!\n"])
def test_wrong_blocks(wrong):
    with pytest.raises(ProtocolError):
        block(Pieces([wrong]), 0.0)


def test_fixed_counts_and_endless_lines():
    assert exactly(3)(Pieces([b"ab", b"cd"]), 0.0) == b"abc"
    with pytest.raises(ProtocolError, match="without the terminator"):
        line()(Pieces([b"x" * 65536] * (MAX_FRAME_BYTES // 65536 + 2)), 0.0)
    with pytest.raises(ReplyTimeout):
        exactly(3)(Pieces([b"ab"]), 0.0)
