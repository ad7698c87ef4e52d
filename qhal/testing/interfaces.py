"""The interfaces that have a test suite, by the name of the suite's fixture."""

from qhal.devices.attenuator import Attenuator
from qhal.devices.detector import Detector
from qhal.devices.device import Device
from qhal.devices.optical_switch import OpticalSwitch
from qhal.devices.pattern_generator import PatternGenerator
from qhal.devices.polarization_controller import PolarizationController
from qhal.devices.power_meter import PowerMeter
from qhal.devices.source import Source
from qhal.devices.time_tagger import TimeTagger

INTERFACES: dict[str, type] = {
    "device": Device,
    "attenuator": Attenuator,
    "detector": Detector,
    "optical_switch": OpticalSwitch,
    "pattern_generator": PatternGenerator,
    "polarization_controller": PolarizationController,
    "power_meter": PowerMeter,
    "source": Source,
    "time_tagger": TimeTagger,
}
