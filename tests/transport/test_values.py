"""Replies to values: whole, finite, of the type expected and within the limits, or a typed error."""

from math import inf

import pytest

from qhal.devices.scpi import Scpi
from qhal.errors import DeviceError, NoValue, ProtocolError
from qhal.transport import replies
from qhal.transport.connection import Connection, ConnectionState
from qhal.transport.control import SimulatorControl, SteppedClock
from qhal.transport.frames import line
from qhal.transport.memory import pair

VOLTS = {"V": 1.0, "mV": 1e-3}
PS = {"TB": 1.0, "ps": 1.0, "ns": 1e3, "GTB": 1e9}


def connected(*answers):
    """Return a connection to a unit that answers each request with the next reply of a list."""
    waiting = list(answers)
    near, far = pair("memory:unit")

    def answer():
        far.read_chunk(inf, 1)
        far.write(waiting.pop(0), inf)

    far.on_arrival = answer
    near.open(0.0)
    found = Connection(near, "unit")
    found.state = ConnectionState.READY
    return found


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ("1550.", 1550.0),
        (".5", 0.5),
        ("+1.2E-03", 1.2e-3),
        ("-7", -7.0),
        ("250 mV", 0.25),
        ("100mV", 0.1),
        ("2 V", 2.0),
    ],
)
def test_numbers(reply, value):
    assert replies.number(reply, VOLTS) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize(
    "reply",
    [
        *(
            "",
            ".",
            "+",
            "1.2.3",
            "1e",
            "1e5e5",
            "0x10",
            "1_000",
            "1,5",
            "12.3k",
            "250 kV",
            "V",
            "1 2",
            "- 1",
            "--1",
        ),
        *(
            "9" * 400,
            "1" * 5000,
            "1e999",
            "1e99999",
            "٣",
            "²",
            "1\n2",
            "1 V V",
            "true",
            "None",
            "1E+38",
            "nano",
            "infra",
        ),
    ],
)
def test_what_is_no_number(reply):
    with pytest.raises(ProtocolError):
        replies.number(reply, VOLTS, high=1e37)
    with pytest.raises(ProtocolError):
        replies.whole_number(reply, VOLTS)


@pytest.mark.parametrize(
    "reply", ["9.91E37", "9.9100e+37", "+9.91E+37 V", "NAN", "nan", "9.90E37", "9.90000E+37", "INF"]
)
def test_no_value_is_an_answer(reply):
    for reader in (replies.number, replies.whole_number):
        with pytest.raises(NoValue) as caught:
            reader(reply, VOLTS)
        assert not caught.value.below_range


@pytest.mark.parametrize("reply", ["-9.9E37", "-9.90000E+37", "-INF", "NINF", "-infinity"])
def test_below_the_range_is_an_answer(reply):
    with pytest.raises(NoValue) as caught:
        replies.number(reply)
    assert caught.value.below_range


@pytest.mark.parametrize(
    ("reply", "value"), [("1.5ns", 1500), ("0.1 ns", 100), ("12TB", 12), ("3GTB", 3 * 10**9), ("4.", 4)]
)
def test_whole_numbers(reply, value):
    assert replies.whole_number(reply, PS) == value


def test_limits_and_fractions():
    with pytest.raises(ProtocolError, match="'11' is not between 0 and 10"):
        replies.whole_number("11", low=0, high=10)
    with pytest.raises(ProtocolError, match="not a whole number"):
        replies.whole_number("1.5")
    with pytest.raises(ProtocolError, match="known are V, mV"):
        replies.number("1 kV", VOLTS)
    with pytest.raises(ProtocolError, match="not between 0 and 60"):
        replies.number("-0.1", low=0, high=60)


def test_words_and_identities():
    assert replies.word('"rising"', "RISING", "FALLING") == "RISING"
    assert [replies.flag(each) for each in ("1", "0", "on", "OFF")] == [True, False, True, False]
    for wrong in ("2", "RISINGS", "", "1" * 10000):
        with pytest.raises(ProtocolError, match="is none of"):
            replies.word(wrong, "RISING", "FALLING")
    assert replies.identity_fields("A, B ,1\xb5, 2") == ("A", "B", "1\xb5", "2")
    assert replies.label("a\tunit\r\nof two  lines") == "a unit of two lines"
    for wrong in ("A,B,C", "A,B,C,D,E", "A,B\x07,C,D", "A,B,C," + "D" * 5000):
        with pytest.raises(ProtocolError):
            replies.identity_fields(wrong)


@pytest.mark.parametrize(
    "reply",
    [
        b'0,"No error"',
        b"0,No error",
        b'0,  "No error"',
        b'0, "No error"\0\r',
        b'\r+0, "No error"',
        b"-0,'x'\0",
    ],
)
def test_looks_of_an_error_entry_do_not_matter(reply):
    assert Scpi(connected(b'-113, undefined "header"\r\n', reply + b"\n")).errors() == [
        '-113 undefined "header"'
    ]


@pytest.mark.parametrize(
    "reply",
    [b"", b"{", b"[" * 100_000, b"1" * 5000, b"\xff\xfe", b'{"a": 1}x', b"nul", b'{"a": ' * 5000, b"{} {}"],
)
def test_what_is_no_json(reply):
    with pytest.raises(ProtocolError):
        replies.json_value(reply)


def test_json_types():
    assert replies.json_values(b' {"a": 1}{"b": [2]}\0\r\n') == [{"a": 1}, {"b": [2]}]
    assert replies.as_whole_number(replies.json_value(b"4.0"), "n", low=1, high=10) == 4
    for wrong in (
        b"NaN",
        b"Infinity",
        b"1e999",
        b"true",
        b'"1e3"',
        b"null",
        b"[1]",
        b"-5",
        b"1" * 400,
        b"0.5",
    ):
        with pytest.raises(ProtocolError, match="n is "):
            replies.as_whole_number(replies.json_value(wrong), "n", low=0, high=10**12)
    for wrong in (b"0", b'"false"', b"[0]", b"null"):
        with pytest.raises(ProtocolError, match="true or false is expected"):
            replies.as_flag(replies.json_value(wrong), "n")
    with pytest.raises(ProtocolError, match="a list of 4 is expected, not of 3"):
        replies.as_list([1, 2, 3], "n", 4)
    with pytest.raises(ProtocolError, match="no member 'a'"):
        replies.member([], "a")


@pytest.mark.parametrize(
    "wrong", [ValueError, OverflowError, RecursionError, ZeroDivisionError, KeyError, TypeError, IndexError]
)
def test_what_a_parser_trips_over_is_a_protocol_error(wrong):
    asked = connected(b"x\n", b"y\n")

    def parse(reply):
        raise wrong("tripped")

    with pytest.raises(ProtocolError, match=r"unit \(memory:unit\) to b'Q': .*tripped") as caught:
        asked.exchange(b"Q", line(), parse=parse)
    assert isinstance(caught.value.__cause__, wrong)
    assert asked.state is ConnectionState.TAINTED
    assert asked.counters.protocol_errors == 1


def test_an_answer_of_the_device_does_not_taint_and_keeps_its_attributes():
    asked = connected(b"-INF\n", b"-9.9E37\n", b"1.25\n")
    scpi = Scpi(asked)
    for _ in range(2):
        with pytest.raises(
            NoValue, match=r"unit \(memory:unit\) to b'POW\?\\n': .*below the range"
        ) as caught:
            scpi.ask_float("POW?")
        assert caught.value.below_range
        assert isinstance(caught.value, DeviceError)
    assert scpi.ask_float("POW?") == 1.25
    assert asked.state is ConnectionState.READY


@pytest.mark.parametrize("reply", [b"[1]\n", b"5\n", b"[" * 5000 + b"\n", b"x\n", b'{"a": 1}{"b": 2}\n'])
def test_an_answer_of_a_simulator_that_is_no_object(reply):
    control = SimulatorControl("tcp://127.0.0.1:1")
    control._connection = connected(reply)
    with pytest.raises(ProtocolError, match="unit"):
        control.request("now")


@pytest.mark.parametrize("now", [b"NaN", b"true", b'"5"', b"null", b"-1", b"1e999"])
def test_a_time_of_a_simulator_that_is_none(now):
    clock = SteppedClock("tcp://127.0.0.1:1")
    clock.control._connection = connected(b'{"now_s": %s}\n' % now)
    with pytest.raises(ProtocolError, match="now_s"):
        clock.now_s()
