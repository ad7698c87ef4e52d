"""What a driver declares about itself: data, read by the node, the command line and the udev rules."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from qhal.transport.serial import SerialSettings


class Evidence(StrEnum):
    """What a driver's protocol rests on, strongest first."""

    HARDWARE = "hardware"
    MANUAL = "manual"
    CLIENTS = "independent clients"
    SINGLE = "single source"


class IdentityGrade(StrEnum):
    """What an instrument can prove about itself at opening."""

    SERIAL = "serial"
    MODEL = "model"
    SHAPE = "shape"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class UsbId:
    """A USB identity by which udev finds the unit.

    ``manufacturer`` is the USB manufacturer string, where it sets the unit apart from other users of
    the same bridge chip. ``new_id`` marks a product id that ftdi_sio does not know by itself.
    """

    vendor: int
    product: int
    manufacturer: str | None = None
    new_id: bool = False


@dataclass(frozen=True, slots=True)
class LinkSpec:
    """One named link of a device.

    ``schemes`` are the address schemes it may use; ``late_s`` is the longest time after a request in
    which its reply may still come. ``on_demand`` links are opened by the driver when it needs them.
    """

    schemes: tuple[str, ...]
    timeout_s: float = 2.0
    late_s: float = 2.0
    serial: SerialSettings = field(default_factory=SerialSettings)
    zmq_pattern: str = "req"
    required: bool = True
    on_demand: bool = False


@dataclass(frozen=True, slots=True)
class Declaration:
    """A driver's data sheet. ``links`` has at least ``main``."""

    model: str
    links: Mapping[str, LinkSpec]
    identity: IdentityGrade
    evidence: tuple[Evidence, ...]
    usb: tuple[UsbId, ...] = ()


class Options(BaseModel):
    """Driver options of a node file; a driver with options of its own derives from it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Identity(BaseModel):
    """Who answers. A field that the instrument cannot tell is empty.

    ``shape`` holds what stands in for a serial number: channel count, limits.
    """

    model_config = ConfigDict(frozen=True)

    manufacturer: str = ""
    model: str = ""
    serial_number: str = ""
    firmware: str = ""
    shape: str = ""


class Capabilities(BaseModel):
    """What this unit can do, read when it is opened. Each kind has its own fields."""

    model_config = ConfigDict(frozen=True)

    def contradictions(self) -> list[str]:
        """Return in words what cannot be: numbers that are not finite, lower limits above their upper ones."""
        fields = {name: value for name, value in self if isinstance(value, int | float)}
        found = [f"{name} is {value}" for name, value in fields.items() if not math.isfinite(value)]
        for name, low in fields.items():
            high = fields.get(name.replace("min_", "max_", 1))
            if name.startswith("min_") and high is not None and not low <= high:
                found.append(f"{name} is {low:g}, {name.replace('min_', 'max_', 1)} is {high:g}")
        return found
