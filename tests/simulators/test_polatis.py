"""Golden messages of the Polatis switch."""

import pytest

from qhal_simulators.clock import SimulationClock
from qhal_simulators.instruments.hubersuhner.polatis import Polatis, PolatisOptions


class Unit:
    def __init__(self, **options):
        self.clock = SimulationClock(stepped=True)
        self.unit = Polatis(self.clock, options=PolatisOptions(**options))
        self.sent = []
        self.client = self.unit.connect("main", self.sent.append)

    def ask(self, message):
        self.client.receive(message)
        reply, self.sent[:] = b"".join(self.sent), []
        return reply


@pytest.mark.parametrize(
    ("messages", "reply"),
    [
        ([b"*IDN?\n"], b"Polatis,N-OST-16x16-LA1-DMHNV-801,002414,6.5.2.18\r\n"),
        ([b":OXC:SWITch:SIZE?\r\n"], b"16,16\r\n"),
        ([b":OXC:SWIT:CONN:STAT?\n"], b"(@),(@)\r\n"),
        (
            [b"oxc:swit:conn:add (@1,2,3),(@19,18,22)\n", b":OXC:SWITch:CONNect:STATe?\n"],
            b"(@1,2,3),(@19,18,22)\r\n",
        ),
        ([b":oxc:swit:conn:only (@1),(@17); stat?;\n"], b"(@1),(@17)\r\n"),
        ([b":OXC:SWIT:CONN:ADD (@2),(@18)\n", b":OXC:SWITch:CONNect:PORT? 2\n"], b'"18"\r\n'),
        ([b":OXC:SWITch:CONNect:PORT? 5\n"], b'""\r\n'),
        (
            [
                b":OXC:SWIT:CONN:ADD (@1,2),(@17,18)\n",
                b":OXC:SWIT:CONN:SUB (@1),(@)\n",
                b":OXC:SWIT:CONN:STAT?\n",
            ],
            b"(@2),(@18)\r\n",
        ),
        ([b":OXC:SWIT:CONN:ADD (@1),(@40)\n", b":SYSTem:ERRor?\n"], b'-222, "Data out of range"\r\n'),
        ([b":OXC:NONSENSE\n", b":syst:err?\n"], b'-113, "Undefined header"\r\n'),
        ([b":SYST:ERR?\n"], b'0, "No error"\r\n'),
        ([b":OXC:BOOT:MODE RESTore\n", b":OXC:BOOT:MODE?\n"], b"REST\r\n"),
        ([b":OXC:SWIT:PORT:DIS (@2,3)\n", b":OXC:SWIT:PORT:STAT? (@1,2,3)\n"], b"(E,D,D)\r\n"),
        ([b":PMON:POW? (@1,17)\n"], b"(-50.00,-50.00)\r\n"),
    ],
)
def test_messages(messages, reply):
    unit = Unit()
    *first, last = messages
    for message in first:
        assert unit.ask(message) == b""
    assert unit.ask(last) == reply


def test_a_port_in_use_is_moved_or_refused():
    for behaviour, state in (("move", b"(@1),(@18)\r\n"), ("error", b"(@1),(@17)\r\n")):
        unit = Unit(add_in_use=behaviour)
        unit.ask(b":OXC:SWIT:CONN:ADD (@1),(@17)\n:OXC:SWIT:CONN:ADD (@1),(@18)\n")
        assert unit.ask(b":OXC:SWIT:CONN:STAT?\n") == state


def test_light_is_interrupted_while_it_switches():
    unit = Unit()
    unit.ask(b":OXC:SWIT:CONN:ADD (@1),(@17)\n")
    assert unit.unit.port.pairs == {1: 17}
    assert unit.unit.port.moving == {1}
    unit.clock.advance_to(0.03)
    assert unit.unit.port.moving == frozenset()


def test_boot_modes():
    for mode, pairs in (("DARK", {}), ("REST", {1: 17})):
        unit = Unit(boot_mode=mode)
        unit.ask(b":OXC:SWIT:CONN:ADD (@1),(@17)\n")
        unit.unit.power_on()
        assert unit.unit.pairs == pairs
