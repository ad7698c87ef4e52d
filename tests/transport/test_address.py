import socket
import sys
import time
import types
from contextlib import ExitStack
from importlib.metadata import EntryPoint

import pytest

from qhal import open_device
from qhal.errors import ConfigurationError, ConnectTimeout, Disconnected, ReplyTimeout
from qhal.transport.address import Address
from qhal.transport.open import make_transport, serves
from qhal.transport.recording import RecordedTransport
from qhal.transport.serial import SerialTransport
from qhal.transport.settings import SerialSettings
from qhal.transport.tcp import TcpTransport
from qhal.transport.visa import VisaTransport


def test_parts():
    address = Address("tcp://10.0.0.5:5025?bridge=1")
    assert (address.scheme, address.endpoint()) == ("tcp", ("10.0.0.5", 5025))
    assert address.take_flag("bridge")
    assert Address("serial:///dev/ttyUSB0?baudrate=9600").file() == "/dev/ttyUSB0"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("TCPIP::10.0.0.5::5025::SOCKET", VisaTransport),
        ("visa:ASRL/dev/ttyS0::INSTR?backend=@py", VisaTransport),
        ("TCPIP::10.0.0.5::5025::SOCKET?backend=@py", VisaTransport),
        ("TCPIP0::10.0.0.5::inst0::INSTR", VisaTransport),
        ("GPIB0::9::INSTR", VisaTransport),
        ("GPIB0::9", VisaTransport),
        ("USB0::0x0699::0x0345::C010101::INSTR", VisaTransport),
        ("ASRL1::INSTR", VisaTransport),
        ("record+GPIB0::9?trace=run.txt", RecordedTransport),
        ("record+TCPIP::10.0.0.5::5025::SOCKET&trace=run.txt", RecordedTransport),
        ("serial:///dev/ttyUSB0?baudrate=115200&parity=even", SerialTransport),
        ("record+tcp://10.0.0.5:4000&trace=run.txt", RecordedTransport),
        ("record+tcp://10.0.0.5:4000?bridge=1&trace=run.txt", RecordedTransport),
        ("record+visa:TCPIP::10.0.0.5::4000::SOCKET?backend=@py&trace=run.txt", RecordedTransport),
    ],
)
def test_every_form_gives_its_transport(text, kind):
    assert isinstance(make_transport(Address(text)), kind)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("10.0.0.5", "no scheme"),
        ("ftp://10.0.0.5:1", "unknown scheme"),
        ("tcp://10.0.0.5", "tcp://host:port"),
        ("tcp://10.0.0.5:99999", "Port out of range"),
        ("tcp://10.0.0.5:1?speed=3", "unknown option speed"),
        ("tcp://10.0.0.5:1?bridge=yes", "allowed are 0, 1, false, true"),
        ("serial://?baudrate=9600", "serial:///dev/NAME"),
        ("serial:///dev/ttyS0?baudrate=fast", "a whole number"),
        ("serial:///dev/ttyS0?baudrate=²", "a whole number"),
        ("serial:///dev/ttyS0?baudrate=" + "9" * 5000, "a whole number"),
        ("serial:///dev/ttyS0?parity=mark", "allowed are none, even, odd"),
        ("record+tcp://10.0.0.5:1", "recording needs"),
        ("zmq+tcp://10.0.0.5", "zmq+tcp://host:port"),
        ("tcp://10.0.0.5:0", "allowed are 1 to 65535"),
        ("tcp://10.0.0.5:-1", "port 1 to 65535"),
        ("zmq+tcp://10.0.0.5:65536", "port 1 to 65535"),
        ("tcp://10.0.0.5:1/path", "tcp://host:port"),
        ("tcp://10.0.0.5:1#part", "tcp://host:port"),
        ("tcp://me@10.0.0.5:1", "is not a host; allowed are names"),
        ("tcp://a..b:1", "is not a host; allowed are names"),
        ("zmq+tcp://.a:1", "is not a host; allowed are names"),
        ("tcp://" + "a" * 64 + ":1", "1 to 63 letters"),
        ("tcp://" + ".".join(["a" * 63] * 5) + ":1", "is not a host"),
        ("tcp://büro:1", "is not a host; allowed are names"),
        ("tcp://[::1:1", "tcp://host:port"),
        ("tcp://10.0.0.5:1?bridge=1&bridge=0", "given twice"),
        ("tcp://10.0.0.5:1?bridge=%00", "printable"),
        ("serial://host/dev/ttyS0", "serial:///dev/NAME"),
        ("serial:///dev/ttyS0?stopbits=7", "allowed are 1, 2"),
        ("serial:///dev/ttyS0?stopbits=", "allowed are 1, 2"),
        ("serial:///dev/ttyS0?baudrate=0", "from 50 to 12000000"),
        ("visa:TCPIP::10.0.0.5::1::SOCKET?baudrate=1", "from 50 to 12000000"),
        ("visa:NONSENSE", "NONSENSE"),
        ("replay:run.txt?speed=2", "unknown option speed"),
        ("replay:absent.txt", "trace file absent.txt: No such file"),
        ("replay:/", "trace file /: not a regular file"),
        ("replay:/dev/null", "trace file /dev/null: not a regular file"),
    ],
)
def test_wrong_addresses_say_what_is_allowed(text, message):
    with pytest.raises(ConfigurationError) as failure:
        make_transport(Address(text))
    assert message in str(failure.value)
    assert text.removeprefix("replay:").rpartition("trace=")[2] in str(failure.value)


@pytest.mark.parametrize(
    "text",
    [
        "tcp://a\x00b:1",
        "zmq+tcp://a\nb:1",
        "serial:///dev/\x00",
        "replay:\x00",
        "tcp://\ud800:1",
        "visa:\x07",
    ],
)
def test_characters_that_cannot_be_shown_are_refused(text):
    with pytest.raises(ConfigurationError, match="only printable characters are allowed") as failure:
        make_transport(Address(text))
    str(failure.value).encode()


@pytest.mark.parametrize("driver", ["ozoptics.dd100", None, 5])
@pytest.mark.parametrize("address", [None, 5, b"tcp://10.0.0.5:1", ("tcp", 1), ""])
def test_what_is_no_text_is_refused(driver, address):
    with pytest.raises(ConfigurationError, match=r"is needed|no scheme"):
        open_device(driver, address)


@pytest.mark.parametrize("backend", ["@absent", "@../x", "/absent/libvisa.so", "py", "@", "%20"])
def test_an_absent_visa_backend_is_named(backend):
    with pytest.raises(ConfigurationError, match=r"VISA backend .* allowed are @py"):
        make_transport(Address(f"TCPIP::127.0.0.1::1::SOCKET?backend={backend}"))


def test_a_visa_backend_that_is_no_library_is_named():
    transport = make_transport(Address("TCPIP::127.0.0.1::1::SOCKET?backend=/dev/null@ivi"))
    with pytest.raises(ConfigurationError, match=r"VISA backend .* allowed are @py"):
        transport.open(time.monotonic() + 5.0)


@pytest.mark.parametrize("module", ["pyvisa", "zmq"])
def test_a_transport_without_its_library_is_refused(monkeypatch, module):
    for name in [
        each for each in sys.modules if each.startswith(("qhal.transport.visa", "qhal.transport.zeromq"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    text = {"pyvisa": "visa:TCPIP::127.0.0.1::1::SOCKET", "zmq": "zmq+tcp://127.0.0.1:1"}[module]
    with pytest.raises(ConfigurationError, match=f"needs {module}, which is not installed"):
        make_transport(Address(text))


def test_a_scheme_of_another_package(monkeypatch):
    """A scheme that an entry point publishes has its class and the settings of what it stands in for."""
    module = types.ModuleType("acme_rfc2217")

    class NetworkLine(TcpTransport):
        stands_in_for = ("serial",)

        def __init__(self, address, settings=None):
            super().__init__(address)
            self.settings = settings

    module.NetworkLine, module.SCHEMES = NetworkLine, {"rfc2217": "acme_rfc2217:NetworkLine"}
    monkeypatch.setitem(sys.modules, "acme_rfc2217", module)
    entry = EntryPoint("acme", "acme_rfc2217:SCHEMES", "qhal.transports")
    monkeypatch.setattr("qhal.published.entry_points", lambda group: [entry] if group == entry.group else [])
    line = SerialSettings(baudrate=115200)
    transport = make_transport(Address("rfc2217://10.0.0.5:4000"), {"serial": line})
    assert (type(transport), transport.settings) == (NetworkLine, line)
    assert serves("rfc2217", ("serial",))
    assert not serves("rfc2217", ("zmq+tcp",))
    with pytest.raises(ConfigurationError, match=r"allowed are serial, tcp, zmq\+tcp, visa, replay, rfc2217"):
        Address("rfc2218://10.0.0.5:4000")
    module.NetworkLine = dict
    with pytest.raises(ConfigurationError, match="not a class derived from Transport"):
        make_transport(Address("rfc2217://10.0.0.5:4000"))


@pytest.mark.parametrize("scheme", ["tcp", "zmq+tcp"])
def test_a_connect_that_takes_too_long_is_a_connect_timeout(scheme):
    """A listener with a full queue accepts nothing: neither a reply that is late nor a line that is lost."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, ExitStack() as stack:
        endpoint = server.getsockname()
        for _ in range(2):  # the queue takes one more than its length
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(endpoint)
        transport = make_transport(Address(f"{scheme}://127.0.0.1:{endpoint[1]}"))
        with pytest.raises(ConnectTimeout, match="no connection in time") as caught:
            transport.open(time.monotonic() + 0.05)
    assert isinstance(caught.value, Disconnected)
    assert not isinstance(caught.value, ReplyTimeout)
