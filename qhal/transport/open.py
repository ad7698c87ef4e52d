"""Make a transport from an address: the only place that knows the transports."""

from qhal.extras import missing
from qhal.transport.address import Address
from qhal.transport.base import Transport
from qhal.transport.serial import SerialSettings
from qhal.transport.tapped import logged


def make_transport(
    address: str, *, serial: SerialSettings | None = None, zmq_pattern: str = "req"
) -> Transport:
    """Return a closed transport for an address. Raises ConfigurationError for a wrong address.

    ``serial`` are the device's line settings, ``zmq_pattern`` what its ZeroMQ socket needs. The transport logs its
    traffic when ``qhal.wire`` is enabled for DEBUG now (:mod:`qhal.transport.tapped`).
    """
    parsed = Address(address)
    try:
        transport = _transport(parsed, serial or SerialSettings(), zmq_pattern)
    except ModuleNotFoundError as error:
        raise missing(f"address {address!r}", error) from error
    if parsed.trace is not None:
        from qhal.transport.recording import RecordedTransport

        transport = RecordedTransport(transport, parsed.trace)
    return logged(transport)


def _transport(parsed: Address, serial: SerialSettings, zmq_pattern: str) -> Transport:
    if parsed.scheme == "serial":
        from qhal.transport.serial import SerialTransport

        return SerialTransport(parsed, serial)
    if parsed.scheme == "tcp":
        from qhal.transport.tcp import TcpTransport

        return TcpTransport(parsed)
    if parsed.scheme == "zmq+tcp":
        from qhal.transport.zeromq import ZmqTransport

        return ZmqTransport(parsed, zmq_pattern)
    if parsed.scheme == "visa":
        from qhal.transport.visa import VisaByteTransport, VisaMessageTransport

        resource = parsed.path.upper()
        is_bytes = resource.endswith("::SOCKET") or resource.startswith("ASRL")
        return VisaByteTransport(parsed) if is_bytes else VisaMessageTransport(parsed)
    from qhal.transport.recording import ReplayedTransport

    parsed.refuse_other_options()
    return ReplayedTransport(parsed.path)
