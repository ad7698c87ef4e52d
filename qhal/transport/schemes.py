"""Schemes of addresses and their transports: the one table of both.

A package adds a scheme of its own by an entry point of the group ``qhal.transports``: a dictionary of
``scheme -> module:class``. A class is imported only for an address that has its scheme.
"""

from qhal.errors import ConfigurationError
from qhal.published import Published, published
from qhal.transport.base import Transport

SCHEMES = {
    "serial": "qhal.transport.serial:SerialTransport",
    "tcp": "qhal.transport.tcp:TcpTransport",
    "zmq+tcp": "qhal.transport.zeromq:ZmqTransport",
    "visa": "qhal.transport.visa:VisaTransport",
    "replay": "qhal.transport.recording:ReplayedTransport",
}


def load_transport(scheme: str) -> type[Transport]:
    """Return the class of a scheme. Raises ConfigurationError for an unknown one, ModuleNotFoundError."""
    known = Published("scheme", SCHEMES) if scheme in SCHEMES else _all_schemes()
    loaded = known.load(scheme)
    if not (isinstance(loaded, type) and issubclass(loaded, Transport)):
        raise ConfigurationError(
            f"scheme {scheme!r}: {known.places[scheme]} is not a class derived from Transport"
        )
    return loaded


def is_scheme(name: str) -> bool:
    """Return whether there is a transport for a scheme."""
    return name in SCHEMES or name in _all_schemes().places


def scheme_names() -> str:
    """Return the names of all schemes and what is wrong with entry points, for a message."""
    known = _all_schemes()
    return "; ".join([", ".join(known.places), *known.broken])


def _all_schemes() -> Published:
    others = published("qhal.transports", "scheme")
    return Published("scheme", {**SCHEMES, **others.places, **SCHEMES}, others.broken)
