"""Setups that several calibrations have in common."""

from dataclasses import dataclass

from qhal.calibration.framework.setup import Setup
from qhal.devices.attenuator import Attenuator
from qhal.devices.detector import Detector
from qhal.devices.optical_switch import OpticalSwitch
from qhal.devices.pattern_generator import PatternGenerator
from qhal.devices.polarization_controller import PolarizationController
from qhal.devices.power_meter import PowerMeter
from qhal.devices.source import Source
from qhal.devices.time_tagger import TimeTagger


@dataclass(frozen=True, kw_only=True)
class LightSetup(Setup):
    """Light of a level: a source and one or two attenuators."""

    source: Source
    attenuator: Attenuator
    second_attenuator: Attenuator | None = None

    @property
    def attenuators(self) -> tuple[Attenuator, ...]:
        """The fitted attenuators, in optical order."""
        return fitted(self.attenuator, self.second_attenuator)


@dataclass(frozen=True, kw_only=True)
class MeterSetup(LightSetup):
    """Light of a level on a power meter; detectors and switch, if fitted, are isolated from it."""

    meter: PowerMeter
    detectors: Detector | None = None
    switch: OpticalSwitch | None = None


@dataclass(frozen=True, kw_only=True)
class DetectorSetup(LightSetup):
    """Light of a level on detectors."""

    detectors: Detector


@dataclass(frozen=True, kw_only=True)
class PaddleSetup(DetectorSetup):
    """Light on detectors, through a polarization controller where one is fitted."""

    polarization: PolarizationController | None = None


@dataclass(frozen=True, kw_only=True)
class SwitchedSetup(PaddleSetup):
    """Light on detectors, through a polarization controller and a switch where they are fitted."""

    switch: OpticalSwitch | None = None


@dataclass(frozen=True, kw_only=True)
class TaggedSetup(SwitchedSetup):
    """Light on detectors whose clicks are tagged."""

    tagger: TimeTagger


@dataclass(frozen=True, kw_only=True)
class TransmitterSetup(Setup):
    """A transmitter, driven by a pattern generator, an attenuator, and detectors whose clicks are tagged."""

    source: Source
    generator: PatternGenerator
    attenuator: Attenuator
    detectors: Detector
    tagger: TimeTagger


@dataclass(frozen=True, kw_only=True)
class ReceiverSetup(TransmitterSetup):
    """A transmitter and a receiver with a polarization controller."""

    polarization: PolarizationController


def fitted(*attenuators: Attenuator | None) -> tuple[Attenuator, ...]:
    """Return the fitted attenuators, in the order given."""
    return tuple(each for each in attenuators if each is not None)
