"""Golden messages of the AWG5014, and what a simulator of it must tolerate."""

import numpy as np
import pytest

from qhal_simulators.instruments.tektronix.awg5014 import Awg5014
from qhal_simulators.instruments.tektronix.awg_options import Awg5014Options
from qhal_simulators.simulated_time import SimulationClock


class Unit:
    def __init__(self, **options):
        self.unit = Awg5014(SimulationClock(stepped=True), options=Awg5014Options(**options))
        self.sent = []
        self.client = self.unit.connect("main", self.sent.append)

    def ask(self, *messages):
        for message in messages:
            self.client.receive(message)
        reply, self.sent[:] = b"".join(self.sent), []
        return reply


@pytest.mark.parametrize(
    ("message", "reply"),
    [
        (b"*IDN?\n", b"TEKTRONIX,AWG5014C,B010101,SCPI:99.0 FW:4.6.0.7\n"),
        (b"SOUR1:FREQ?\n", b"1.20000000E+009\n"),
        (b"FREQ 1000MHz;FREQ?\n", b"1.00000000E+009\n"),
        (b"source2:voltage:level:immediate:amplitude 1.5V;:SOUR2:VOLT?\r\n", b"1.50000000E+000\n"),
        (b":SOURCE1:VOLTAGE?;:SOURCE2:VOLTAGE?\n", b"1.00000000E+000;1.00000000E+000\n"),
        (b"AWGC:RMOD enhanced;RMOD?\n", b"SEQ\n"),
        (b"AWGC:RST?;RSTATe?\n", b"0;0\n"),
        (b"ROSC:SOUR EXT;:ROSC:TYPE FIX;:ROSC:FREQ 10MHZ;:ROSC:SOUR?\n", b"EXT\n"),
        (b"OUTP1:FILT:FREQ INFinity;:OUTP1:FILTer:LPASs:FREQuency?\n", b"9.90000000E+037\n"),
        (b"MARK2:VOLT:HIGH 2.5;:SOUR1:MARK2:VOLT:HIGH?\n", b"2.50000000E+000\n"),
        (b"SYST:ERR?\n", b'0,"No error"\n'),
        (b"*OPC;:SYST:ERR?\n", b'-800,"Operation complete"\n'),
        (b"SOUR1:FREQ 2GHz\nSYST:ERR?;*ESR?\n", b'-222,"Data out of range";16\n'),
        (b"NONSENSE 1\n*ESR?;:SYST:ERR?\n", b'32;-113,"Undefined header"\n'),
        (b"OUTP1 ON\nSYST:ERR?\n", b'-221,"Settings conflict"\n'),
        (b";;\n\r\n;*OPC?\n", b"1\n"),
    ],
)
def test_messages(message, reply):
    assert Unit().ask(message) == reply


def upload(name, words, end=b"\n"):
    data = np.array(words, "<u2").tobytes()
    head = b'WLIS:WAV:NEW "%s",%d,INTEGER\n' % (name, len(words))
    count = str(len(data)).encode()
    return head + b'WLIS:WAV:DATA "%s", #%d%s' % (name, len(count), count) + data + end


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"", b";*ESR?\r\n"])
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_blocks_in_any_pieces_and_with_any_end(end, size):
    words = [0, 8191, 16382, 0x4000 | 0x0A3B, 0x8000 | 0x0A22, 0x2C0A, 0x0A0A]
    unit, stream = Unit(), upload(b"x", words, end) + b'WLIS:WAV:LENG? "x"\n'
    reply = unit.ask(*(stream[start : start + size] for start in range(0, len(stream), size)))
    assert reply.split(b"\n")[-2] == b"7"
    assert unit.ask(b'WLIS:WAV:DATA? "x"\n') == b"#214" + np.array(words, "<u2").tobytes() + b"\n"
    assert unit.ask(b'WLIS:WAV:DATA? "x",1,2\n') == b"#14" + np.array(words[1:3], "<u2").tobytes() + b"\n"
    assert unit.ask(b'WLIS:WAV:MARK:DATA? "x"\n') == b"#17\0\0\0\x40\x80\0\0\n"
    assert unit.ask(b"SYST:ERR?\n") == b'0,"No error"\n'


def test_data_beyond_the_waveform_writes_nothing():
    unit = Unit()
    unit.ask(upload(b"x", [8191] * 4))
    unit.ask(b'WLIS:WAV:DATA "x",2,3,#16\0\0\0\0\0\0\n')
    assert unit.ask(b"SYST:ERR?\n") == b'-223,"Too much data"\n'
    assert unit.unit.generator.waveforms.find("x").values.tolist() == [0.0] * 4


def test_real_waveforms():
    unit = Unit()
    data = np.array([(-1.0, 64), (0.5, 192)], [("value", "<f4"), ("marker", "u1")]).tobytes()
    unit.ask(b'WLIS:WAV:NEW "r",2,REAL\nWLIS:WAV:DATA "r",#210' + data + b"\n")
    assert unit.ask(b'WLIS:WAV:DATA? "r"\n') == b"#210" + data + b"\n"


def test_playing_reaches_the_modulators_with_amplitude_and_offset():
    unit = Unit()
    unit.ask(upload(b"x", [0, 8191, 16382]), b'SOUR2:WAV "x";VOLT 3;VOLT:OFFS 0.5;:OUTP2 ON;:AWGC:RUN;RST?\n')
    assert unit.unit.port.settings.running
    assert unit.unit.port.settings.volts[2].tolist() == [-1.0, 0.5, 2.0]
    unit.ask(b"AWGC:STOP\n")
    assert not unit.unit.port.settings.running
    assert unit.unit.port.settings.volts == {}


def test_deleting_what_plays_stops():
    unit = Unit()
    unit.ask(upload(b"x", [0, 1]), b'SOUR1:WAV "x";:OUTP1 1;:AWGC:RUN\n', b'WLIS:WAV:DEL "x"\n')
    assert unit.ask(b"AWGC:RST?;:OUTP1?;:SOUR1:WAV?\n") == b'0;0;""\n'


def test_run_needs_something_to_play():
    assert Unit().ask(b"AWGC:RUN;RST?;:SYST:ERR?\n") == b'0;-221,"Settings conflict"\n'


def test_options():
    assert Unit(pending_error=True).ask(b"SYST:ERR?\n").startswith(b"-113")
    assert Unit(reply_end="crlf").ask(b"*OPC?\n") == b"1\r\n"
    for strict, code in ((True, b"-224"), (False, b"0")):
        unit = Unit(delete_unknown_is_error=strict)
        assert unit.ask(b'WLIS:WAV:DEL "nobody"\nSYST:ERR?\n').startswith(code)
