import pytest

from qhal.errors import ConfigurationError, ProtocolError, QhalError
from qhal.transport.open import make_link
from qhal_simulators.instrument import Wire
from tests.echo import EchoDevice, echo_simulation


@pytest.fixture
def trace(tmp_path):
    """A recorded session: opened, asked 1 and 2."""
    path = tmp_path / "trace.txt"
    with echo_simulation(Wire.TCP) as background:
        link = make_link(f"record+{background.address('echo1')}&trace={path}")
        with EchoDevice({"main": link}) as device:
            assert [device.ask(1), device.ask(2)] == [1, 2]
    return path


def test_a_trace_is_lines_of_time_direction_and_bytes(trace):
    events = [line.split(" ", 2)[1:] for line in trace.read_text().splitlines()]
    assert events[0] == [">", r"b'*IDN?\n'"]
    assert events[-2:] == [[">", r"b'ASK 2\n'"], ["<", r"b'2\n'"]]


def test_replay_answers_what_was_recorded(trace):
    with EchoDevice({"main": make_link(f"replay:{trace}")}) as device:
        assert device.identity.serial_number == "0001"
        assert [device.ask(1), device.ask(2)] == [1, 2]


def test_an_exchange_that_was_not_recorded_raises(trace):
    with EchoDevice({"main": make_link(f"replay:{trace}")}) as device:
        with pytest.raises(ProtocolError, match=r"ASK 1.*not.*ASK 3"):
            device.ask(3)
        with pytest.raises(QhalError):
            device.ask(3)


def test_a_recording_that_ended_raises(trace):
    with EchoDevice({"main": make_link(f"replay:{trace}")}) as device:
        device.ask(1)
        device.ask(2)
        with pytest.raises(ProtocolError, match="the recording ends"):
            device.ask(3)


def test_wrong_traces_name_file_and_line(tmp_path):
    path = tmp_path / "wrong.txt"
    for wrong in ("nonsense", "0.0 > " + "(" * 5000, "0.0 > " + "-" * 100_000 + "1"):
        path.write_text(f"0.0 > b'x'\n{wrong}\n")
        with pytest.raises(ConfigurationError, match=r"wrong.txt, line 2"):
            make_link(f"replay:{path}").open(0.0)
    with pytest.raises(ConfigurationError, match="absent"):
        make_link(f"replay:{tmp_path}/absent.txt").open(0.0)
