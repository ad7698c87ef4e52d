"""Make a transport from an address."""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

from qhal.extras import missing
from qhal.transport.address import Address
from qhal.transport.base import Transport
from qhal.transport.schemes import load_transport
from qhal.transport.tapped import logged

_NONE: Mapping[str, Any] = MappingProxyType({})


def make_transport(address: Address, settings: Mapping[str, Any] = _NONE) -> Transport:
    """Return a closed transport for an address. Raises ConfigurationError for a wrong address.

    ``settings`` are what the device needs of a transport, by scheme (:mod:`qhal.transport.settings`). The transport
    logs its traffic when ``qhal.wire`` is enabled for DEBUG now (:mod:`qhal.transport.tapped`).
    """
    try:
        kind = load_transport(address.scheme)
    except ModuleNotFoundError as error:
        raise missing(f"address {str(address)!r}", error) from error
    mine = (settings[scheme] for scheme in (address.scheme, *kind.stands_in_for) if scheme in settings)
    transport = kind(address, next(mine, None))
    if address.trace is not None:
        from qhal.transport.recording import RecordedTransport

        transport = RecordedTransport(transport, address.trace)
    return logged(transport)


def serves(scheme: str, schemes: Collection[str]) -> bool:
    """Return whether a scheme is among those of a connection, or its transport stands in for one of them."""
    return scheme in schemes or not set(schemes).isdisjoint(load_transport(scheme).stands_in_for)
