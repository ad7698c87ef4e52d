"""Make the devices and the clock of a node file; open one device without a node file."""

from collections.abc import Mapping
from typing import Any, TypeVar, overload

from pydantic import ValidationError

from qhal.clock import Clock, WallClock
from qhal.devices.detector import Detector
from qhal.devices.device import Device
from qhal.devices.optical_switch import OpticalSwitch
from qhal.errors import ConfigurationError, Disconnected, QhalError
from qhal.explain import explain
from qhal.node.driver_registry import load_driver
from qhal.node.schema import NodeFile
from qhal.transport.address import Address
from qhal.transport.open import make_transport, serves

InterfaceT = TypeVar("InterfaceT")


def make_device(
    driver: str,
    address: str,
    *,
    name: str = "",
    connections: Mapping[str, str] | None = None,
    clock: Clock | None = None,
    expected: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
    where: str = "",
) -> Device:
    """Return a closed device. Raises ConfigurationError for a wrong driver, address, connection or option.

    ``where``: start of the error's message, which names file and table (default: name or driver).
    """
    try:
        if not isinstance(driver, str):
            raise ConfigurationError(f"driver {driver!r}: a name such as 'ozoptics.dd100' is needed")
        driver_class = load_driver(driver)
        made = _connections(driver, driver_class, {"main": address, **(connections or {})})
        return driver_class(
            made, name=name, clock=clock, options=_options(driver_class, options or {}), expected=expected
        )
    except ConfigurationError as error:
        reason = str(error).removeprefix(f"{name or driver}: ")
        raise ConfigurationError(f"{where or name or driver}: {reason}") from error
    except QhalError:
        raise
    except OSError as error:  # modules are loaded here, and then a process may have no descriptor left
        raise Disconnected(f"{where or name or driver}: {error}") from error


def _connections(driver: str, driver_class: type[Device], addresses: Mapping[str, str]) -> dict[str, Any]:
    specs, made = driver_class.declaration.connections, {}
    for connection, text in addresses.items():
        if connection not in specs:
            raise ConfigurationError(f"no connection {connection!r}; a {driver} has {', '.join(specs)}")
        spec, address = specs[connection], Address(text)
        if not serves(address.scheme, spec.schemes):
            raise ConfigurationError(
                f"{text!r} on connection {connection!r}; allowed schemes are {', '.join(spec.schemes)}"
            )
        made[connection] = make_transport(address, spec.settings)
    return made


def _options(driver_class: type[Device], options: Mapping[str, Any]) -> Any:
    try:
        return driver_class.options_model(**options)
    except ValidationError as error:
        raise ConfigurationError(f"options: {explain(error, driver_class.options_model)}") from error


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
            connections=table.connections,
            clock=clock,
            expected={str(key): value for key, value in table.expected.items()},
            options=table.options,
            where=f"{file.source}: devices.{name}" if file.source else f"devices.{name}",
        )
        device.carries_traffic = file.carries_traffic(name)
        if isinstance(device, OpticalSwitch):
            device.traffic_ports = file.traffic_ports(name)
        if isinstance(device, Detector) and device.carries_traffic:
            raise ConfigurationError(f"{name}: single-photon detectors carry no traffic")
    return devices


@overload
def open_device(
    driver: str,
    address: str,
    interface: type[InterfaceT],
    *,
    connections: Mapping[str, str] | None = None,
    clock: Clock | None = None,
    expected: Mapping[str, str] | None = None,
    **options: Any,
) -> InterfaceT: ...


@overload
def open_device(
    driver: str,
    address: str,
    *,
    connections: Mapping[str, str] | None = None,
    clock: Clock | None = None,
    expected: Mapping[str, str] | None = None,
    **options: Any,
) -> Any: ...


def open_device(
    driver: str,
    address: str,
    interface: type[Any] | None = None,
    *,
    connections: Mapping[str, str] | None = None,
    clock: Clock | None = None,
    expected: Mapping[str, str] | None = None,
    **options: Any,
) -> Any:
    """Open one device and return it; use it in a ``with`` block.

    ``driver`` is a registry name such as ``ozoptics.dd100``. With ``interface``, such as ``Attenuator`` or
    the driver's class, the result has that type (for tools that check and complete), and a device that does not
    offer it is refused. ``connections``: addresses of further connections. ``expected``: identity fields that must
    match. ``options``: the driver's own. Closing the device, and any end of the program, leave the hardware as it was
    set: only nodes are made safe.
    """
    device = make_device(
        driver, address, connections=connections, clock=clock, expected=expected, options=options
    )
    device.open()
    if interface is None:
        return device
    try:
        return device.get(interface)
    except BaseException:
        device.close()
        raise
