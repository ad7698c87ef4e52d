"""Make devices from what a node file or a caller says of them; open one device without a file."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pydantic import ValidationError

from qhal.clock import Clock, WallClock
from qhal.devices.detector import Detector
from qhal.devices.device import Device
from qhal.devices.optical_switch import OpticalSwitch
from qhal.errors import ConfigurationError, Disconnected, QhalError
from qhal.node.registry import load_driver
from qhal.node.schema import NodeFile, explain
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


def make_clock(file: NodeFile) -> Clock:
    """Return the clock by which devices of a node are waited for."""
    if file.clock.mode == "stepped":
        from qhal.transport.control import SteppedClock

        return SteppedClock(file.clock.address or "")
    return WallClock(file.clock.speed)


def make_devices(file: NodeFile, clock: Clock) -> dict[str, Device]:
    """Return all devices of a node file, closed. Raises ConfigurationError."""
    devices = {}
    for name, table in file.devices.items():
        device = devices[name] = make_device(
            table.driver,
            table.address,
            name=name,
            links=table.links,
            clock=clock,
            expected={str(key): value for key, value in table.expect.items()},
            options=table.options,
        )
        device.carries_traffic = file.carries_traffic(name)
        if isinstance(device, OpticalSwitch):
            device.traffic_ports = file.traffic_ports(name)
        if isinstance(device, Detector) and device.carries_traffic:
            raise ConfigurationError(f"{name}: single-photon detectors carry no traffic")
    return devices


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
    was set when the device is closed, however the program ends: only nodes are made safe.
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
