"""Devices: the interfaces that drivers implement and users call, and the base class of drivers.

An interface such as :class:`Attenuator` declares capabilities, methods and a typed status. A driver derives from
:class:`Device` and from its interfaces. Importing this package loads none of its modules: names are imported on use.
"""

from typing import TYPE_CHECKING

from qhal.late import late

if TYPE_CHECKING:
    from qhal.devices.attenuator import Attenuator, AttenuatorCapabilities, AttenuatorStatus
    from qhal.devices.declaration import (
        Capabilities,
        ConnectionSpec,
        Declaration,
        Evidence,
        Identity,
        IdentityGrade,
        Options,
        UsbId,
    )
    from qhal.devices.detector import (
        CountReading,
        Detector,
        DetectorCapabilities,
        DetectorState,
        DetectorStatus,
        Limits,
    )
    from qhal.devices.device import Device, SubDevice
    from qhal.devices.interface import Hazard, Interface, SafeState
    from qhal.devices.optical_switch import OpticalSwitch, OpticalSwitchCapabilities, OpticalSwitchStatus
    from qhal.devices.pattern_generator import (
        PatternGenerator,
        PatternGeneratorCapabilities,
        PatternGeneratorStatus,
        Played,
    )
    from qhal.devices.polarization_controller import (
        PolarizationController,
        PolarizationControllerCapabilities,
        PolarizationControllerStatus,
    )
    from qhal.devices.power_meter import PowerMeter, PowerMeterCapabilities, PowerMeterStatus
    from qhal.devices.scpi import Scpi
    from qhal.devices.scpi_device import Idn, ScpiDevice
    from qhal.devices.source import Source, SourceCapabilities, SourceStatus
    from qhal.devices.status import Health, Quality, Snapshot, Status
    from qhal.devices.time_tagger import (
        ClockReference,
        Coupling,
        Edge,
        InputCounts,
        InputSettings,
        TimeTagger,
        TimeTaggerCapabilities,
        TimeTaggerStatus,
    )

__all__ = [
    "Attenuator",
    "AttenuatorCapabilities",
    "AttenuatorStatus",
    "Capabilities",
    "ClockReference",
    "ConnectionSpec",
    "CountReading",
    "Coupling",
    "Declaration",
    "Detector",
    "DetectorCapabilities",
    "DetectorState",
    "DetectorStatus",
    "Device",
    "Edge",
    "Evidence",
    "Hazard",
    "Health",
    "Identity",
    "IdentityGrade",
    "Idn",
    "InputCounts",
    "InputSettings",
    "Interface",
    "Limits",
    "OpticalSwitch",
    "OpticalSwitchCapabilities",
    "OpticalSwitchStatus",
    "Options",
    "PatternGenerator",
    "PatternGeneratorCapabilities",
    "PatternGeneratorStatus",
    "Played",
    "PolarizationController",
    "PolarizationControllerCapabilities",
    "PolarizationControllerStatus",
    "PowerMeter",
    "PowerMeterCapabilities",
    "PowerMeterStatus",
    "Quality",
    "SafeState",
    "Scpi",
    "ScpiDevice",
    "Snapshot",
    "Source",
    "SourceCapabilities",
    "SourceStatus",
    "Status",
    "SubDevice",
    "TimeTagger",
    "TimeTaggerCapabilities",
    "TimeTaggerStatus",
    "UsbId",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = late(__name__, __file__)
