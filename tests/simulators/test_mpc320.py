"""Golden bytes of the MPC320 (APT manual, issue 28), both directions."""

from qhal_simulators.instruments.thorlabs.mpc320 import Mpc320, Mpc320Options
from qhal_simulators.simulated_time import SimulationClock


class Unit:
    def __init__(self, **options):
        self.clock = SimulationClock(stepped=True)
        self.unit = Mpc320(self.clock, options=Mpc320Options(**options))
        self.sent = []
        self.line = self.unit.connect("main", self.sent.append)

    def ask(self, *requests):
        for request in requests:
            self.line.receive(bytes.fromhex(request))
        reply, self.sent[:] = b"".join(self.sent), []
        return reply.hex(" ")


def test_identity():
    reply = bytes.fromhex(Unit().ask("05 00 00 00 50 01"))
    assert reply[:6].hex(" ") == "06 00 54 00 81 50"
    assert int.from_bytes(reply[6:10], "little") == 38454784
    assert reply[10:18] == b"MPC320\0\0"
    assert len(reply) == 90
    assert reply[-2:] == b"\x03\x00"


def test_parameters_example_of_the_manual():
    unit = Unit()
    unit.ask("30 05 0C 00 D0 01 00 00 32 00 00 00 19 00 19 00 19 00")
    assert unit.ask("31 05 00 00 50 01") == "32 05 0c 00 81 50 00 00 32 00 00 00 19 00 19 00 19 00"


def test_enable_is_a_mask():
    unit = Unit()
    assert unit.ask("10 02 05 01 50 01", "11 02 01 00 50 01") == "12 02 01 01 01 50"
    assert unit.ask("11 02 02 00 50 01") == "12 02 02 02 01 50"
    assert unit.ask("10 02 00 01 50 01", "11 02 01 00 50 01") == "12 02 01 02 01 50"


def test_move_ends_on_target_and_says_so_in_six_bytes():
    unit = Unit()
    unit.ask("10 02 07 01 50 01")
    assert unit.ask("53 04 06 00 D0 01 02 00 90 01 00 00") == ""
    assert unit.ask("90 04 02 00 50 01")[:29] == "91 04 0e 00 81 50 02 00 00 00"
    unit.clock.advance_to(1.0)
    assert unit.ask() == "64 04 02 00 01 50"
    assert unit.ask("90 04 02 00 50 01") == "91 04 0e 00 81 50 02 00 90 01 00 00 00 00 00 00 00 20 00 90"


def test_without_enable_nothing_moves():
    unit = Unit()
    unit.ask("53 04 06 00 D0 01 01 00 90 01 00 00")
    unit.clock.advance_to(1.0)
    assert unit.unit.positions == [0, 0, 0]


def test_home_jog_stop_and_silence():
    unit = Unit()
    unit.ask("10 02 07 01 50 01", "6A 04 01 01 50 01")
    unit.clock.advance_to(1.0)
    assert unit.unit.positions[0] == 25
    unit.ask()
    unit.ask("43 04 01 00 50 01")
    unit.clock.advance_to(2.0)
    assert unit.ask() == "44 04 01 00 01 50"
    assert unit.ask("65 04 01 01 50 01") == "66 04 01 00 01 50"
    # relative move, velocity request, position counter: not answered by an MPC
    assert unit.ask("48 04 06 00 D0 01 01 00 10 00 00 00", "14 04 01 00 50 01", "11 04 01 00 50 01") == ""


def test_updates_stop_without_acknowledgement():
    unit = Unit()
    unit.ask("11 00 00 00 50 01")
    unit.clock.advance_to(10.0)
    unacknowledged = unit.ask().count("91 04")
    assert 50 <= unacknowledged <= 52
    unit.ask("92 04 00 00 50 01")
    unit.clock.advance_to(10.5)
    assert unit.ask().count("91 04") == 15
    unit.ask("12 00 00 00 50 01")
    unit.clock.advance_to(20.0)
    assert unit.ask() == ""


def test_play_is_where_it_stops_and_not_what_it_says():
    stopped = []
    for seed in (1, 1, 2):
        unit = Unit(play_deg=0.5, play_seed=seed)
        unit.ask("10 02 07 01 50 01", "53 04 06 00 D0 01 02 00 90 01 00 00")
        unit.clock.advance_to(1.0)
        assert unit.unit.positions == [0, 400, 0]
        stopped.append(unit.unit.port.settings.angles_rad[1] * 180 / 3.141592653589793 - 400 * 170 / 1370)
    assert stopped[0] == stopped[1] != stopped[2]
    assert all(0 < abs(off) < 2.5 for off in stopped)


def test_a_second_move_replaces_the_first():
    clock, sent = SimulationClock(stepped=True), []
    unit = Mpc320(clock)
    line = unit.connect("main", sent.append)
    line.receive(bytes.fromhex("10 02 07 01 50 01"))
    for counts in (800, 100):
        line.receive(bytes.fromhex("53 04 06 00 d0 01 01 00") + counts.to_bytes(4, "little"))
    clock.advance_to(10)
    assert sent == [bytes.fromhex("64 04 01 00 01 50")]
    assert unit.positions[0] == 100


def test_an_unfinished_message_is_forgotten_after_a_pause():
    clock, sent = SimulationClock(stepped=True), []
    line = Mpc320(clock).connect("main", sent.append)
    line.receive(bytes.fromhex("53 04 ff ff d0 01"))
    clock.advance_to(1.5)
    line.receive(bytes.fromhex("05 00 00 00 50 01"))
    assert sent[0].startswith(bytes.fromhex("06 00 54 00 81 50"))
