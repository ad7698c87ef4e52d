"""What a driver declares about itself: data, read by the node, the command line and the udev rules."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from typing import Any

from pydantic import BaseModel, ConfigDict

from qhal.errors import ConfigurationError
from qhal.transport.base import MAX_FRAME_BYTES
from qhal.words import Worded


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
    the same bridge chip. ``new_id`` marks a product id that ftdi_sio does not know.
    """

    vendor: int
    product: int
    manufacturer: str | None = None
    new_id: bool = False


@dataclass(frozen=True, slots=True)
class ConnectionSpec:
    """One named connection of a device.

    ``schemes`` are the address schemes it may use. ``timeout_s`` is that of an ordinary query: how long the unit may
    take. ``line_delay_s`` is what the line may add to that: the latency timer of a USB bridge (16 ms in FTDI's chips
    as delivered, 255 ms at most), a serial device server that collects bytes. ``max_frame_bytes`` is the longest
    reply. ``settings`` are those of the transport, by scheme (:mod:`qhal.transport.settings`). ``on_demand``
    connections are opened by the driver when it needs them.
    """

    schemes: tuple[str, ...]
    timeout_s: float = 2.0
    line_delay_s: float = 0.3
    max_frame_bytes: int = MAX_FRAME_BYTES
    settings: Mapping[str, Any] = field(default_factory=dict)
    required: bool = True
    on_demand: bool = False

    def __post_init__(self) -> None:
        for name in ("timeout_s", "line_delay_s", "max_frame_bytes"):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and 0 < value < inf):
                raise ConfigurationError(
                    f"connection for {', '.join(self.schemes)}: {name} {value!r} must be above 0"
                )

    @property
    def stale_reply_s(self) -> float:
        """The longest time after an ordinary request in which its reply may still come."""
        return self.timeout_s + self.line_delay_s


@dataclass(frozen=True, slots=True)
class Declaration:
    """A driver's data sheet. ``connections`` has at least ``main``."""

    model: str
    connections: Mapping[str, ConnectionSpec]
    identity: IdentityGrade
    evidence: tuple[Evidence, ...]
    usb: tuple[UsbId, ...] = ()


class Options(BaseModel):
    """Driver options of a node file; a driver with options of its own derives from it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Identity(Worded):
    """Who answers. A field that the instrument does not report is empty.

    ``shape``: properties in place of a serial number, such as channel count and limits.
    """

    model_config = ConfigDict(frozen=True)

    manufacturer: str = ""
    model: str = ""
    serial_number: str = ""
    firmware: str = ""
    shape: str = ""


class Capabilities(Worded):
    """What this unit can do, read when it is opened. Each interface has fields of its own."""

    model_config = ConfigDict(frozen=True)

    def contradictions(self) -> list[str]:
        """Return in words what cannot be: numbers that are not finite, lower limits above their upper ones."""
        fields = {name: value for name, value in self if isinstance(value, int | float)}
        faults = [f"{name} is {value}" for name, value in fields.items() if not math.isfinite(value)]
        for name, low in fields.items():
            high = fields.get(name.replace("min_", "max_", 1))
            if name.startswith("min_") and high is not None and not low <= high:
                faults.append(f"{name} is {low:g}, {name.replace('min_', 'max_', 1)} is {high:g}")
        return faults
