import os

import pytest

from qhal.errors import ConfigurationError, ProtocolError, QhalError
from qhal.transport.address import Address
from qhal.transport.open import make_transport
from qhal_simulators.instrument import Wire
from tests.echo import EchoDevice, echo_simulation


@pytest.fixture
def trace(tmp_path):
    """A recorded session: opened, asked 1 and 2."""
    path = tmp_path / "trace.txt"
    with echo_simulation(Wire.TCP) as background:
        transport = make_transport(Address(f"record+{background.address('echo1')}&trace={path}"))
        with EchoDevice({"main": transport}) as device:
            assert [device.ask(1), device.ask(2)] == [1, 2]
    return path


def test_a_trace_is_lines_of_time_direction_and_bytes(trace):
    events = [line.split(" ", 2)[1:] for line in trace.read_text().splitlines()]
    assert events[0] == [">", r"b'*IDN?\n'"]
    assert events[-2:] == [[">", r"b'ASK 2\n'"], ["<", r"b'2\n'"]]


def test_replay_answers_what_was_recorded(trace):
    with EchoDevice({"main": make_transport(Address(f"replay:{trace}"))}) as device:
        assert device.identity.serial_number == "0001"
        assert [device.ask(1), device.ask(2)] == [1, 2]


def test_an_exchange_that_was_not_recorded_raises(trace):
    with EchoDevice({"main": make_transport(Address(f"replay:{trace}"))}) as device:
        with pytest.raises(ProtocolError, match=r"ASK 1.*not.*ASK 3"):
            device.ask(3)
        with pytest.raises(QhalError):
            device.ask(3)


def test_a_recording_that_ended_raises(trace):
    with EchoDevice({"main": make_transport(Address(f"replay:{trace}"))}) as device:
        device.ask(1)
        device.ask(2)
        with pytest.raises(ProtocolError, match="the recording ends"):
            device.ask(3)


def test_wrong_traces_name_file_and_line(tmp_path):
    path = tmp_path / "wrong.txt"
    for wrong in ("nonsense", "0.0 > " + "(" * 5000, "0.0 > " + "-" * 100_000 + "1"):
        path.write_text(f"0.0 > b'x'\n{wrong}\n")
        with pytest.raises(ConfigurationError, match=r"wrong.txt, line 2"):
            make_transport(Address(f"replay:{path}")).open(0.0)
    with pytest.raises(ConfigurationError, match="absent"):
        make_transport(Address(f"replay:{tmp_path}/absent.txt")).open(0.0)


@pytest.mark.parametrize("kind", ["folder", "pipe", "endless", "large", "empty", "locked up"])
def test_only_a_regular_file_of_moderate_size_is_replayed(tmp_path, kind):
    path = tmp_path / "trace.txt"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "endless":
        path.symlink_to("/dev/zero")
    elif kind == "large":
        with path.open("wb") as file:
            file.truncate(10 << 30)
    elif kind == "empty":
        path.touch()
    else:
        path.symlink_to(path)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(ConfigurationError, match=r"trace.txt"):
        make_transport(Address(f"replay:{path}")).open(0.0)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("kind", ["folder", "pipe", "absent folder"])
def test_a_trace_that_cannot_be_written_is_refused_at_opening(tmp_path, kind):
    path = tmp_path / "trace.txt"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path = path / "trace.txt"
    with echo_simulation(Wire.TCP) as background:
        device = EchoDevice(
            {"main": make_transport(Address(f"record+{background.address('echo1')}&trace={path}"))}
        )
        with pytest.raises(ConfigurationError, match=r"trace.txt"):
            device.open()
        assert background.unit("echo1").instrument.asked == 0


def test_a_device_works_on_when_the_disk_is_full(caplog):
    with (
        echo_simulation(Wire.TCP) as background,
        EchoDevice(
            {"main": make_transport(Address(f"record+{background.address('echo1')}&trace=/dev/full"))}
        ) as device,
    ):
        assert [device.ask(n) for n in range(5)] == list(range(5))
    [warning] = [each.message for each in caplog.records if "recording" in each.message]
    assert warning.endswith("the recording to /dev/full ends: No space left on device")
