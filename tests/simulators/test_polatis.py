"""Golden messages of the Polatis switch."""

import math

import numpy as np
import pytest

from qhal_simulators.instruments.hubersuhner.polatis import Polatis, PolatisOptions
from qhal_simulators.simulated_time import SimulationClock


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
    assert unit.unit.port.settings.pairs == {1: 17}
    assert unit.unit.port.settings.moving == {1}
    unit.clock.advance_to(0.03)
    assert unit.unit.port.settings.moving == frozenset()


def test_boot_modes():
    for mode, pairs in (("DARK", {}), ("REST", {1: 17})):
        unit = Unit(boot_mode=mode)
        unit.ask(b":OXC:SWIT:CONN:ADD (@1),(@17)\n")
        unit.unit.power_on()
        assert unit.unit.pairs == pairs


def metered(power_dbm, count=1, **options):
    """Readings of a monitor over the wire, as the switch writes them."""
    unit = Unit(**options)
    unit.unit.readings.power_dbm = lambda port: power_dbm
    ports = ",".join(["17"] * count)
    return [
        float(text)
        for text in unit.ask(f":PMON:POW? (@{ports})\n".encode()).decode().strip("()\r\n").split(",")
    ]


@pytest.mark.parametrize(
    ("power_dbm", "options", "reading"),
    [
        (-23.456, {}, -23.46),
        (-20.0, {"meter_scale_error_db": 0.25}, -19.75),
        (-20.0, {"meter_nonlinearity_db_per_10db": 0.1}, -20.2),
        (10.0, {"meter_nonlinearity_db_per_10db": 0.1, "meter_scale_error_db": -0.3}, 9.8),
        (-50.1, {"meter_scale_error_db": -1.0}, -50.0),
        (-math.inf, {"meter_scale_error_db": 1.0, "meter_noise_db": 1.0}, -50.0),
        (None, {"meter_noise_db": 1.0}, -50.0),
    ],
)
def test_an_imperfect_power_monitor(power_dbm, options, reading):
    assert metered(power_dbm, **options) == [reading]


def test_a_noisy_power_monitor():
    noise = np.array(metered(-10.0, 250, meter_noise_db=0.2)) + 10.0
    assert abs(noise.mean()) < 4 * 0.2 / math.sqrt(250)
    assert abs(noise.std() / 0.2 - 1) < 4 / math.sqrt(500)
    assert np.array_equal(noise, np.array(metered(-10.0, 250, meter_noise_db=0.2)) + 10.0)
    other = np.array(metered(-10.0, 250, meter_noise_db=0.2, meter_seed=2)) + 10.0
    assert abs(np.corrcoef(noise, other)[0, 1]) < 4 / math.sqrt(250)


def test_power_monitors_differ_from_port_to_port():
    unit = Unit(meter_scale_spread_db=0.2)
    unit.unit.readings.power_dbm = lambda port: -10.0
    errors = np.array([unit.unit.meter_dbm(port) for port in range(1, 33)]) + 10.0
    assert len(set(errors)) == 32
    assert abs(errors.mean()) < 4 * 0.2 / math.sqrt(32)
    assert abs(errors.std() / 0.2 - 1) < 4 / math.sqrt(64)


def test_the_light_knows_how_often_an_ingress_was_steered():
    unit = Unit()
    for command in (b":OXC:SWIT:CONN:ADD (@1),(@17)\n", b":OXC:SWIT:CONN:ONLY (@1,2),(@18,19)\n"):
        unit.ask(command)
    assert unit.unit.port.settings.moves == {1: 2, 2: 1}


def test_the_light_knows_how_many_ports_there_are():
    assert Unit(inputs=8, outputs=24).unit.port.settings.size == (8, 24)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (b":oxc:swit:port:enab (@2,,4)\n", b"-102"),
        (b":OXC:SWIT:PORT:DIS (@2,)\n", b"-102"),
        (b":OXC:SWIT:PORT:DIS (@2\n", b"-102"),
        (b":OXC:SWIT:PORT:DIS x(@2)\n", b"-102"),
        (b":OXC:SWIT:PORT:DIS (@2),\n", b"-102"),
        (b":OXC:SWIT:PORT:DIS (@)\n", b"-109"),
        (b":OXC:SWIT:PORT:DIS (@two)\n", b"-104"),
        (b":OXC:SWIT:PORT:DIS (@33)\n", b"-222"),
        (b":OXC:SWIT:PORT:DIS (@1:999999999)\n", b"-222"),
        (b":OXC:SWIT:PORT:DIS (@4:2)\n", b"-222"),
        (b":OXC:SWIT:CONN:ADD (@1,2),(@17)\n", b"-109"),
        (b":OXC:SWIT:CONN:SUB (@1)\n", b"-109"),
        (b":PMON:POW? (@" + b"9" * 5000 + b")\n", b"-104"),
    ],
)
def test_malformed_lists_are_refused_whole(request_, code):
    unit = Unit()
    assert unit.ask(request_) == b""
    assert unit.ask(b":SYST:ERR?\n").startswith(code + b", ")
    assert unit.ask(b":OXC:SWIT:PORT:STAT?\n") == b"(" + b",".join([b"E"] * 32) + b")\r\n"


def test_ranges_and_blanks_in_lists():
    unit = Unit()
    unit.ask(b":OXC:SWIT:PORT:DIS (@ 1:3, 5 )\n")
    assert unit.ask(b":OXC:SWIT:PORT:STAT? (@1:6)\n") == b"(D,D,D,E,D,E)\r\n"


def test_the_model_name_is_an_option():
    unit = Unit(inputs=24, outputs=24, model_suffix="LA1-DMHNS")
    assert unit.ask(b"*IDN?\n").startswith(b"Polatis,N-OST-24x24-LA1-DMHNS,")
