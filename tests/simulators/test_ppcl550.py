"""Golden bytes of an OIF ITLA module, computed by hand from the checksum rule and captured from public clients."""

import pytest

from qhal_drivers.purephotonics import itla as host
from qhal_simulators.instruments.purephotonics.ppcl550 import Ppcl550, Ppcl550Options
from qhal_simulators.simulated_time import SimulationClock


class Module:
    def __init__(self, **options):
        self.clock = SimulationClock(stepped=True)
        self.unit = Ppcl550(self.clock, options=Ppcl550Options(**options))
        self.sent = []
        self.line = self.unit.connect("main", self.sent.append)

    def ask(self, request):
        self.line.receive(bytes.fromhex(request))
        reply, self.sent[:] = b"".join(self.sent), []
        return reply.hex(" ")


@pytest.mark.parametrize(
    ("request_", "reply"),
    [
        ("00 00 00 00", "54 00 00 10"),  # NOP: ready, nothing pending
        ("10 01 00 00", "f6 01 00 08"),  # DevTyp: 8 bytes follow
        ("20 02 00 00", "b6 02 00 0f"),  # MFGR: 15 bytes follow
        ("61 31 03 e8", "34 31 03 e8"),  # PWR 10.00 dBm
        ("a1 35 00 c1", "f4 35 00 c1"),  # FCF1 193
        ("31 30 00 01", "57 30 00 01"),  # Channel 1: pending
        ("81 32 00 08", "e7 32 00 08"),  # ResEna SENA: pending
        ("01 32 00 00", "54 32 00 00"),  # ResEna off
        ("31 31 03 e8", "ec 31 00 00"),  # wrong checksum: CE set, nothing done
    ],
)
def test_worked_frames(request_, reply):
    assert Module().ask(request_) == reply


def test_execution_errors_and_their_reason():
    module = Module()
    assert module.ask(host.request(0x31, 2000).hex()) == "d5 31 07 d0"
    assert module.ask("00 00 00 00") == "64 00 00 13"
    assert module.ask(host.request(0x7F).hex()) == "d5 7f 00 00"
    assert module.ask("00 00 00 00") == "44 00 00 11"
    assert module.ask("00 00 00 00") == "54 00 00 10"


def test_strings_in_both_client_styles():
    module = Module()
    assert module.ask("10 01 00 00") == "f6 01 00 08"
    assert module.ask("b0 0b 00 00") == "a4 0b 43 57"
    for _ in range(3):
        module.ask("b0 0b 00 00")
    assert module.ask("b0 0b 00 00") == "e5 0b 00 00"
    assert module.ask("00 00 00 00") == "34 00 00 16"


def test_pending_until_locked_then_light():
    module = Module()
    module.ask("81 32 00 08")
    assert module.ask("00 00 00 00") == "44 00 01 10"
    assert not module.unit.port.settings.enabled
    module.clock.advance_to(0.3)
    assert module.ask("00 00 00 00") == "54 00 00 10"
    assert module.unit.port.settings.enabled
    assert module.ask("a1 35 00 c1")[0:2] == "e5"  # FCF1 while on: refused
    assert module.ask("00 00 00 00")[-2:] == "19"


def test_split_frames_and_repeat():
    module = Module()
    assert module.ask("61 31") == ""
    assert module.ask("03 e8") == "34 31 03 e8"
    assert module.ask("88 00 00 00") == "34 31 03 e8"  # LstRsp


def test_host_frames():
    assert host.request(0x00).hex(" ") == "00 00 00 00"
    assert host.request(0x0B).hex(" ") == "b0 0b 00 00"
    assert host.request(0x31, -700).hex(" ") == "11 31 fd 44"
    assert host.request(0x36, 4000).hex(" ") == "11 36 0f a0"
    assert host.request(0x62, -150).hex(" ") == "91 62 ff 6a"
    assert host.request(0x20, 0xFF).hex(" ") == "31 20 00 ff"
    assert host.request(0x90, 2).hex(" ") == "a1 90 00 02"
    assert host.request(0x0D, 0x40).hex(" ") == "81 0d 00 40"


def test_light_is_off_its_set_frequency_and_power_and_no_register_says_so():
    module = Module(frequency_error_ghz=-1.5, power_error_db=0.2, power_error_db_per_thz=0.1)
    module.ask("81 32 00 08")
    module.clock.advance_to(0.3)
    assert module.unit.port.settings.frequency_thz == pytest.approx(193.1 - 0.0015, abs=1e-9)
    assert module.unit.port.settings.power_dbm == pytest.approx(10.2 - 0.1 * 0.3015)
    for register, value in ((0x40, 193), (0x41, 1000), (0x42, 1000)):
        assert bytes.fromhex(module.ask(host.request(register).hex()))[2:] == value.to_bytes(2, "big")


@pytest.mark.parametrize(("shown", "lf2"), [(False, 1000), (True, 985)])
def test_fine_tuning_in_the_frequency_that_is_told(shown, lf2):
    module = Module(fine_tuning_shown=shown)
    module.ask(host.request(0x62, -1500).hex())  # MHz
    assert bytes.fromhex(module.ask(host.request(0x41).hex()))[2:] == lf2.to_bytes(2, "big")


def test_an_unfinished_frame_is_forgotten_after_a_pause():
    module = Module()
    module.ask("61 31")
    module.clock.advance_to(1.5)
    assert module.ask("00 00 00 00") == "54 00 00 10"
