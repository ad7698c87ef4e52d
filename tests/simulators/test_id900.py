"""The simulated Time Controller against the manual and what independent clients send and read."""

import json
import struct

import pytest
import zmq

from qhal_simulators.instruments.idquantique.id900 import Id900
from qhal_simulators.instruments.idquantique.id900_options import Id900Options
from qhal_simulators.simulated_time import SimulationClock

GOLDEN = [
    (b"DEVIce:RESolution?", b"LOWRES"),
    (b"DEVI:RES:BWID?", b"100"),
    (b"inpu1:thre 0.5;:inpu1:thre?", b"0.499712V"),
    (b"INPUt2:THREshold 1000mV;THRE?", b"0.999424V"),
    (b"DELAy3:VALUe 300 GTB;VALU?", b"300000000000TB"),
    (b"DELA1:VALU 1500;:DELA1:VALU?", b"1500TB"),
    (b"INPU1:ENAB;ENAB?", b"ON"),
    (b"INPUT1:COUNTER:RESET", b"Counter value set to 0 "),
    (b"INPU4:HIRES:ERROR:CLEAR", b"Cleared Highres errors"),
    (b"INPU4:HIRES:ERROR?", b"0"),
    (b"HIST2:FLUSH", b"Flushed Histogram!"),
    (b"HIST1:BCOU 4;:HIST1:DATA?", b"[0, 0, 0, 0]"),
    (b"RAW2:STOP:LINK?", b"TSCO6"),
    (b"TSCO8:FIR:LINK?", b"DELA4"),
    (b"RECord:STAGe?", b"IDLE"),
    (b"RAW1:ERRORS?", b"0"),
    (b"DEVI:STAT?", b"DEVIce:SYNC INTERNAL;RES LOWRES"),
]


class Client:
    def __init__(self, **options):
        self.clock = SimulationClock(stepped=True)
        self.unit = Id900(self.clock, None, Id900Options(**options))
        self.pushed = {}
        self.unit.bind_pair = self.bind
        self.replies = []
        self._main = self.unit.connect("main", self.replies.append)
        self._dlt = self.unit.connect("dlt", self.replies.append)

    def bind(self, port):
        client = self

        class Pair:
            def send(self, data):
                client.pushed.setdefault(port, []).append(data)
                return True

            def close(self):
                pass

        return Pair()

    def __call__(self, text):
        self._main.receive(text if isinstance(text, bytes) else text.encode())
        assert len(self.replies) == 1, "one reply to every message"
        return self.replies.pop()

    def dlt(self, text):
        self._dlt.receive(text.encode())
        return json.loads(self.replies.pop())


@pytest.mark.parametrize(("request_", "reply"), GOLDEN)
def test_golden(request_, reply):
    assert Client()(request_).split(b"\n")[-1] == reply


def test_errors_end_the_reply():
    client = Client()
    assert client("NOSUCH:THING").endswith(b"SCPI_ERR_INVALID_CMD")
    assert client("INPU5:ENAB ON").endswith(b"SCPI_ERR_INVALID_CMD")
    assert client("INPU1:EDGE SIDEWAYS").endswith(b"SCPI_ERR_PARAM_TYPE")
    assert client("INPU1:EDGE?") == b"RISING"


@pytest.mark.parametrize(("separator", "byte"), [("semicolon", b";"), ("newline", b"\n")])
def test_several_queries_in_one_message(separator, byte):
    client = Client(separator=separator)
    assert client(b"INPU1:ENAB?;:DELA1:VALU?").split(byte) == [b"OFF", b"0TB"]


@pytest.mark.parametrize(("style", "reply"), [("echo", b"INPU1:ENAB ON"), ("value", b"ON"), ("empty", b"")])
def test_every_set_command_has_one_reply(style, reply):
    assert Client(set_reply=style)("INPU1:ENAB ON") == reply


def test_old_firmware_has_other_blocks():
    client = Client(firmware="old")
    assert client("REC:STAG?").endswith(b"SCPI_ERR_INVALID_CMD")
    assert client("TSGE8:ENAB ON;ENAB?").endswith(b"ON")
    assert client("DELA1:INPO:LINK?") == b"INPU1"


def test_record_as_the_vendors_example_does_it():
    client = Client(pulse_rate_hz=2000.0)
    for command in ("INPU3:ENAB ON", "REC:TRIG:ARM:MODE MANUal", "REC:ENABle ON", "REC:STOP", "REC:NUM 1"):
        client(command)
    client("REC:DURation 500 GTB")
    started = client.dlt("start-stream --address 169.254.99.100 --channel 3 --stream-port 4244")
    assert started == {"id": "169.254.99.100:5558"}
    assert client.dlt("list") == ["169.254.99.100:5558"]
    client("RAW3:SEND ON")
    client("REC:PLAY")
    assert client("REC:STAG?").upper() == b"PLAYING"
    client.clock.advance_to(0.6)
    assert client("REC:STAG?") == b"IDLE"
    status = client.dlt("status --id 169.254.99.100:5558")
    frames = client.pushed[4244]
    times = struct.unpack(f"<{len(frames[0]) // 8}Q", frames[0])
    assert status["acquisitions_count"] == 1
    assert status["timestamps_count"] == len(times)
    assert status["errors"] == []
    assert 800 < len(times) < 1200
    assert list(times) == sorted(times)
    assert max(times) < 500 * 10**9
    assert frames[1:] == [b""], "a zero-length frame ends the stream"
    assert client.dlt("stop --id 169.254.99.100:5558")["status"]["acquisitions_count"] == 1
    assert client.dlt("list") == []


def test_reference_index_and_times_since_the_reference():
    client = Client(pulse_rate_hz=1000.0)
    for command in ("INPU1:ENAB ON", "INPU2:ENAB ON", "RAW1:REF:LINK INPU2", "RAW1:SEND ON"):
        client(command)
    client.dlt("start-stream --address a --channel 1 --stream-port 1 --with-ref-index --id mine")
    for command in ("REC:ENAB ON", "REC:NUM 1", "REC:DUR 200 GTB", "REC:PLAY"):
        client(command)
    client.clock.advance_to(0.3)
    data = client.pushed[1][0]
    pairs = list(struct.iter_unpack("<QQ", data))
    assert {index for _, index in pairs} <= set(range(1, 260))
    assert [index for _, index in pairs] == sorted(index for _, index in pairs)


def test_dlt_refuses_in_json():
    client = Client()
    assert client.dlt("list --xyz") == {"error": {"description": "unrecognised option '--xyz'"}}
    assert "no acquisition" in client.dlt("status --id nobody")["error"]["description"]
    assert (
        "channel"
        in client.dlt("start-stream --address a --channel 9 --stream-port 1")["error"]["description"]
    )


def test_files_hold_what_a_stream_carries(tmp_path):
    client = Client(save_to=str(tmp_path), pulse_rate_hz=500.0)
    client("INPU1:ENAB ON;:RAW1:SEND ON;:REC:ENAB ON;NUM 1;DUR 200 GTB")
    client.dlt(f'start-save --address a --channel 1 --filename "{tmp_path}/one.dat" --id bin')
    client.dlt("start-save --address a --channel 1 --filename X/two.txt --format ascii --id txt")
    client("REC:PLAY")
    client.clock.advance_to(0.3)
    data = (tmp_path / "one.dat").read_bytes()
    assert list(map(int, (tmp_path / "X" / "two.txt").read_text().split())) == list(
        struct.unpack(f"<{len(data) // 8}Q", data)
    )
    assert len(data) > 0


def test_counters_and_histograms_count_what_comes():
    client = Client(pulse_rate_hz=10_000.0)
    client("INPU1:ENAB ON;COUN:INTE 100;MODE CYCL")
    client("INPU1:COUN:RESE")
    assert client("INPU1:COUN?") == b"0"
    client.clock.advance_to(0.1001)
    assert 850 < int(client("INPU1:COUN?")) < 1150
    client("HIST1:MIN 0;BWID 1 GTB;BCOU 100;:REC:ENAB ON;NUM 1;DUR 100 GTB;PLAY")
    client.clock.advance_to(0.3)
    counts = json.loads(client("HIST1:DATA?"))
    assert len(counts) == 100
    assert 850 < sum(counts) < 1150
    assert int(client("INPU2:COUN?")) == 0, "an input that is off counts nothing"


def test_a_plain_zeromq_client_on_real_sockets(simulate):
    background = simulate("idquantique.id900")
    with zmq.Context() as context, context.socket(zmq.REQ) as link:
        link.linger, link.rcvtimeo = 0, 5000
        link.connect(background.address("idquantique.id900").removeprefix("zmq+"))
        link.send_string("*IDN?")
        assert "ID900" in link.recv_string()


@pytest.mark.parametrize("name", ["../one", "/etc/one", ".", "a/../../b", "n" * 300])
def test_files_outside_the_folder_are_refused(tmp_path, name):
    folder = tmp_path / "files"
    folder.mkdir()
    client = Client(save_to=str(folder))
    assert "error" in client.dlt(f'start-save --address a --channel 1 --filename "{name}"')
    assert client.dlt("list") == []
    assert [*tmp_path.iterdir()] == [folder]
