import pytest

from qhal.errors import ConfigurationError
from qhal.transport.address import Address
from qhal.transport.open import make_link
from qhal.transport.recording import RecordedLink
from qhal.transport.serial import SerialLink
from qhal.transport.visa import VisaByteLink, VisaMessageLink


def test_parts():
    address = Address("tcp://10.0.0.5:5025?bridge=1")
    assert (address.scheme, address.host, address.port) == ("tcp", "10.0.0.5", 5025)
    assert address.take_flag("bridge")
    assert Address("serial:///dev/ttyUSB0?baudrate=9600").path == "/dev/ttyUSB0"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("TCPIP::10.0.0.5::5025::SOCKET", VisaByteLink),
        ("visa:ASRL/dev/ttyS0::INSTR?backend=@py", VisaByteLink),
        ("TCPIP0::10.0.0.5::inst0::INSTR", VisaMessageLink),
        ("serial:///dev/ttyUSB0?baudrate=115200&parity=even", SerialLink),
        ("record+tcp://10.0.0.5:4000&trace=run.txt", RecordedLink),
        ("record+tcp://10.0.0.5:4000?bridge=1&trace=run.txt", RecordedLink),
        ("record+visa:TCPIP::10.0.0.5::4000::SOCKET?backend=@py&trace=run.txt", RecordedLink),
    ],
)
def test_every_form_gives_its_link(text, kind):
    assert isinstance(make_link(text), kind)


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
    ],
)
def test_wrong_addresses_say_what_is_allowed(text, message):
    with pytest.raises(ConfigurationError) as failure:
        make_link(text)
    assert message in str(failure.value)
    assert text in str(failure.value)
