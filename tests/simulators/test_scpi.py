"""SCPI parsing: short and long forms, paths, suffixes, blocks in any pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qhal_simulators.scpi_commands import CommandTable, ScpiError, block, number
from qhal_simulators.scpi_messages import MessageSplitter, split

TABLE = CommandTable(
    {
        "*IDN?": lambda s, a: "ME",
        "[SOURce#]:VOLTage[:LEVel][:IMMediate][:AMPLitude]?": lambda s, a: f"V{s[0]}",
        "SOURce#:MARKer#:VOLTage:HIGH?": lambda s, a: f"M{s[0]}{s[1]}",
        "WLISt:NAME?": lambda s, a: f"N{a[0].decode()}",
        "WLISt:SIZE?": lambda s, a: "S",
    }
)


def run(message):
    errors = []
    return [reply.decode() for reply in TABLE.run(message, errors.append)], errors


@pytest.mark.parametrize(
    ("message", "replies"),
    [
        (b"*idn?", ["ME"]),
        (b":SOUR2:VOLT?", ["V2"]),
        (b"source3:voltage:level:immediate:amplitude?", ["V3"]),
        (b"VOLT:LEV?", ["V1"]),
        (b";:SOURce4:MARK2:VOLT:HIGH?", ["M42"]),
        (b"WLIST:NAME? 0;NAME? 1;SIZE?;*IDN?;:SOUR1:VOLT?", ["N0", "N1", "S", "ME", "V1"]),
    ],
)
def test_headers(message, replies):
    assert run(message) == (replies, [])


@pytest.mark.parametrize("message", [b"WLI:SIZE?", b"VOLTA?", b"SOUR1:VOLT", b"NONSENSE"])
def test_unknown_headers(message):
    assert run(message) == ([], [-113])


blocks = st.binary(max_size=60).map(lambda data: b"#" + b"%d%d" % (len(str(len(data))), len(data)) + data)


@given(
    st.lists(blocks, min_size=1, max_size=4),
    st.integers(1, 7),
    st.sampled_from([b"\n", b"\r\n", b";*ESR?\n"]),
)
def test_messages_do_not_depend_on_the_pieces(content, size, end):
    stream = b"".join(b'DATA "x",' + each + end for each in content)
    splitter, messages = MessageSplitter(longest_block=1000), []
    for start in range(0, len(stream), size):
        messages += splitter.feed(stream[start : start + size])
    found = [part for message in messages for part in split(message, b";") if b"DATA" in part]
    assert [block(split(part, b",")[1]) for part in found] == [each[2 + int(each[1:2]) :] for each in content]


def test_a_block_without_terminator_ends_its_message():
    assert MessageSplitter(longest_block=9).feed(b'D "a",#13a;\nNEXT?\n') == [b'D "a",#13a;\n', b"NEXT?"]


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        (b"1000MHz", 1e9),
        (b"10MHZ", 1e7),
        (b"1.5V", 1.5),
        (b"100 ps", 1e-10),
        (b"2.0E+7", 2e7),
        (b"500mV", 0.5),
        (b"1.2GHz", 1.2e9),
        (b"INFinity", 9.9e37),
    ],
)
def test_numbers_with_units(argument, value):
    assert number(argument) == pytest.approx(value)


def test_wrong_numbers_and_blocks():
    for wrong in (b"fast", b"1..2", b""):
        with pytest.raises(ScpiError):
            number(wrong)
    for wrong in (b"#0ab", b"#13ab", b"abc"):
        with pytest.raises(ScpiError):
            block(wrong)
