"""Open one device without a file."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pydantic import ValidationError

from qhal.clock import Clock
from qhal.devices.device import Device
from qhal.errors import ConfigurationError, Disconnected, QhalError
from qhal.node.registry import load_driver
from qhal.node.schema import explain
from qhal.transport.address import Address
from qhal.transport.open import make_link


def make_device(
    driver: str,
    address: str,
    *,
    name: str = "",
    links: Mapping[str, str] | None = None,
    clock: Clock | None = None,
    expected: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Device:
    """Return a closed device. Raises ConfigurationError for a wrong driver, address, link or option."""
    where = name or driver
    with _loading(where):
        kind = load_driver(driver)
    specs = kind.declaration.links
    addresses = {"main": address, **(links or {})}
    made = {}
    for link, text in addresses.items():
        if link not in specs:
            raise ConfigurationError(f"{where}: no link {link!r}; a {driver} has {', '.join(specs)}")
        scheme = Address(text).scheme
        if scheme not in specs[link].schemes and scheme != "replay":
            raise ConfigurationError(
                f"{where}: {text!r} on link {link!r}; allowed schemes are {', '.join(specs[link].schemes)}"
            )
        with _loading(where):
            made[link] = make_link(text, serial=specs[link].serial, zmq_pattern=specs[link].zmq_pattern)
    try:
        settings = kind.options_model(**(options or {}))
    except ValidationError as error:
        raise ConfigurationError(f"{where}: options: {explain(error)}") from error
    return kind(made, name=name, clock=clock, options=settings, expected=expected)


def open_device(
    driver: str,
    address: str,
    *,
    links: Mapping[str, str] | None = None,
    clock: Clock | None = None,
    expected: Mapping[str, str] | None = None,
    **options: Any,
) -> Any:
    """Open one device and return it; use it in a ``with`` block.

    ``driver`` is a registry name such as ``ozoptics.dd100``, ``links`` the addresses of further links,
    ``expected`` identity fields that must match, ``options`` the driver's own. The hardware is left as it
    was set when the device is closed.
    """
    return make_device(driver, address, links=links, clock=clock, expected=expected, options=options).open()


@contextmanager
def _loading(where: str) -> Iterator[None]:
    """Drivers and transports are loaded when they are needed, and then a process may have no descriptor left."""
    try:
        yield
    except QhalError:
        raise
    except OSError as error:
        raise Disconnected(f"{where}: {error}") from error
