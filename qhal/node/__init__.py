"""Nodes: the devices of a rack, opened from a node file, with their calibration records; single devices.

:func:`open_node` opens all devices of a file together, :func:`open_device` one device without a file.
"""

from typing import TYPE_CHECKING

from qhal.late import late

if TYPE_CHECKING:
    from qhal.node.calibrated_attenuator import CalibratedAttenuator, CalibratedAttenuatorStatus
    from qhal.node.device_factory import make_clock, make_device, make_devices, open_device
    from qhal.node.driver_registry import drivers, load_driver, published_drivers
    from qhal.node.node import Node, open_node
    from qhal.node.schema import (
        ClockTable,
        DeviceTable,
        NodeFile,
        NodeTable,
        PathElement,
        PathTable,
        RecordTable,
        load_node_file,
        parse_node,
    )

__all__ = [
    "CalibratedAttenuator",
    "CalibratedAttenuatorStatus",
    "ClockTable",
    "DeviceTable",
    "Node",
    "NodeFile",
    "NodeTable",
    "PathElement",
    "PathTable",
    "RecordTable",
    "drivers",
    "load_driver",
    "load_node_file",
    "make_clock",
    "make_device",
    "make_devices",
    "open_device",
    "open_node",
    "parse_node",
    "published_drivers",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = late(__name__, __file__)
