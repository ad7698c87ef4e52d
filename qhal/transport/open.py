"""Make a link from an address: the only place that knows which transports there are."""

from qhal.errors import ConfigurationError
from qhal.transport.address import Address
from qhal.transport.link import Link
from qhal.transport.serial import SerialSettings


def make_link(address: str, *, serial: SerialSettings | None = None, zmq_pattern: str = "req") -> Link:
    """Return a closed link for an address. Raises ConfigurationError for a wrong address.

    ``serial`` are the device's line settings, ``zmq_pattern`` what its ZeroMQ socket needs.
    """
    parsed = Address(address)
    link: Link
    if parsed.scheme == "serial":
        from qhal.transport.serial import SerialLink

        link = SerialLink(parsed, serial or SerialSettings())
    elif parsed.scheme == "tcp":
        from qhal.transport.tcp import TcpLink

        link = TcpLink(parsed)
    elif parsed.scheme == "zmq+tcp":
        from qhal.transport.zeromq import ZmqLink

        link = ZmqLink(parsed, zmq_pattern)
    elif parsed.scheme == "visa":
        from qhal.transport.visa import VisaByteLink, VisaMessageLink

        resource = parsed.path.upper()
        is_bytes = resource.endswith("::SOCKET") or resource.startswith("ASRL")
        link = VisaByteLink(parsed) if is_bytes else VisaMessageLink(parsed)
    elif parsed.scheme == "replay":
        from qhal.transport.recording import ReplayedLink

        parsed.refuse_other_options()
        link = ReplayedLink(parsed.path)
    else:
        raise ConfigurationError(f"address {address!r}: unknown scheme {parsed.scheme!r}")
    if parsed.trace is not None:
        from qhal.transport.recording import RecordedLink

        link = RecordedLink(link, parsed.trace)
    return link
