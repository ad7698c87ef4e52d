"""Frames over a transport that hands out bytes in arbitrary pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qhal.errors import ProtocolError, ReplyTimeout
from qhal.transport.base import MAX_FRAME_BYTES
from qhal.transport.frames import block, exactly, line
from qhal.transport.memory import pair
from qhal.transport.reader import Reader


def reader(pieces, **options):
    near, far = pair(**options)
    near.open(0.0)
    for piece in filter(None, pieces):
        far.write(piece, 0.0)
    return Reader(near)


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
    made = reader(pieces)
    read = [line(b"\r\n")(made, 0.0) for _ in range(data.count(b"\r\n"))]
    assert b"".join(part + b"\r\n" for part in read) == data
    assert not made.pending()


@given(cut(st.binary(max_size=300).map(lambda body: b"#3%03d" % len(body) + body + b"\nNEXT\n")))
def test_blocks_are_read_by_count_whatever_they_hold(data_and_pieces):
    data, pieces = data_and_pieces
    made = reader(pieces)
    assert block(made, 0.0) == data[5 : 5 + int(data[2:5])]
    assert line()(made, 0.0) == b"NEXT"


@given(st.binary(max_size=50))
def test_blocks_over_messages(body):
    made = reader([b"#2%02d" % len(body) + body + b"\n"], keeps_messages=True)
    if len(body) > 0:
        assert block(made, 0.0) == body


@pytest.mark.parametrize("wrong", [b"12\n", b"#0\n", b"#2ab..", b"#12ab!\n"])
def test_wrong_blocks(wrong):
    with pytest.raises(ProtocolError):
        block(reader([wrong]), 0.0)


def test_fixed_counts_and_endless_lines():
    assert exactly(3)(reader([b"ab", b"cd"]), 0.0) == b"abc"
    with pytest.raises(ProtocolError, match="without the terminator"):
        line()(reader([b"x" * 65536] * (MAX_FRAME_BYTES // 65536 + 2)), 0.0)
    with pytest.raises(ReplyTimeout):
        exactly(3)(reader([b"ab"]), 0.0)
