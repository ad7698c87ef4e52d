"""Make a link from an address: the only place that knows the transports."""

from qhal.extras import missing
from qhal.transport.address import Address
from qhal.transport.link import Link
from qhal.transport.serial import SerialSettings
from qhal.transport.tapped import logged


def make_link(address: str, *, serial: SerialSettings | None = None, zmq_pattern: str = "req") -> Link:
    """Return a closed link for an address. Raises ConfigurationError for a wrong address.

    ``serial`` are the device's line settings, ``zmq_pattern`` what its ZeroMQ socket needs. The link logs its traffic
    when ``qhal.wire`` is enabled for DEBUG now (:mod:`qhal.transport.tapped`).
    """
    parsed = Address(address)
    try:
        link = _link(parsed, serial or SerialSettings(), zmq_pattern)
    except ModuleNotFoundError as error:
        raise missing(f"address {address!r}", error) from error
    if parsed.trace is not None:
        from qhal.transport.recording import RecordedLink

        link = RecordedLink(link, parsed.trace)
    return logged(link)


def _link(parsed: Address, serial: SerialSettings, zmq_pattern: str) -> Link:
    if parsed.scheme == "serial":
        from qhal.transport.serial import SerialLink

        return SerialLink(parsed, serial)
    if parsed.scheme == "tcp":
        from qhal.transport.tcp import TcpLink

        return TcpLink(parsed)
    if parsed.scheme == "zmq+tcp":
        from qhal.transport.zeromq import ZmqLink

        return ZmqLink(parsed, zmq_pattern)
    if parsed.scheme == "visa":
        from qhal.transport.visa import VisaByteLink, VisaMessageLink

        resource = parsed.path.upper()
        is_bytes = resource.endswith("::SOCKET") or resource.startswith("ASRL")
        return VisaByteLink(parsed) if is_bytes else VisaMessageLink(parsed)
    from qhal.transport.recording import ReplayedLink

    parsed.refuse_other_options()
    return ReplayedLink(parsed.path)
