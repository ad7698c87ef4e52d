"""Everything that a driver can be asked to do, by the interfaces that it offers: each public method, called once.

An answer is what the method returns; where that is a bare number, it goes by the name of its limits.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from qhal.devices.attenuator import Attenuator
from qhal.devices.detector import Detector
from qhal.devices.device import Device
from qhal.devices.interface import Interface
from qhal.devices.optical_switch import OpticalSwitch
from qhal.devices.pattern_generator import PatternGenerator
from qhal.devices.polarization_controller import PolarizationController
from qhal.devices.power_meter import PowerMeter
from qhal.devices.source import Source
from qhal.devices.time_tagger import ClockReference, Coupling, Edge, TimeTagger
from qhal.tags.batch import TagBatch
from qhal_drivers.idquantique.datalink import DataLink

Verb = Callable[[], Any]
BATCHES = 3
_VERBS: dict[type[Interface], dict[str, Callable[[Any], Any]]] = {
    Interface: {
        "status": lambda role: role.status(),
        "make_safe": lambda role: role.make_safe(),
        "command_safe": lambda role: role.command_safe(),
    },
    Attenuator: {
        "read_attenuation_db": lambda voa: {"attenuation_db": voa.read_attenuation_db()},
        "set_attenuation_db": lambda voa: {"attenuation_db": voa.set_attenuation_db(20.0)},
        "home": lambda voa: voa.home(),
    },
    Source: {
        "set_power_dbm": lambda laser: {
            "set_power_dbm": laser.set_power_dbm(laser.capabilities.min_power_dbm)
        },
        "set_frequency_thz": lambda laser: {
            "frequency_thz": laser.set_frequency_thz(laser.capabilities.max_frequency_thz)
        },
        "enable": lambda laser: laser.enable(),
        "disable": lambda laser: laser.disable(),
        "read_emitting": lambda laser: laser.read_emitting(),
    },
    Detector: {
        "set_bias_ua": lambda unit: {"bias_ua": unit.set_bias_ua([10.0] * unit.capabilities.channels)},
        "set_trigger_mv": lambda unit: {
            "trigger_mv": unit.set_trigger_mv([100.0] * unit.capabilities.channels)
        },
        "enable": lambda unit: unit.enable(),
        "disable": lambda unit: unit.disable(),
        "read_counts": lambda unit: unit.read_counts(0.1),
        "unlatch": lambda unit: unit.unlatch(),
    },
    TimeTagger: {
        "set_enabled": lambda tagger: tagger.set_enabled(1, True),
        "set_threshold_v": lambda tagger: {"threshold_v": tagger.set_threshold_v(1, 0.2)},
        "set_edge": lambda tagger: tagger.set_edge(2, Edge.FALLING),
        "set_coupling": lambda tagger: tagger.set_coupling(3, Coupling.AC),
        "set_delay_ps": lambda tagger: {"delay_ps": tagger.set_delay_ps(1, 1000)},
        "set_clock_reference": lambda tagger: tagger.set_clock_reference(ClockReference.INTERNAL),
        "read_counts": lambda tagger: tagger.read_counts(0.1),
        "stream": lambda tagger: recorded(tagger),
    },
    OpticalSwitch: {
        "read_pattern": lambda switch: switch.read_pattern(),
        "set_pattern": lambda switch: switch.set_pattern({1: switch.capabilities.egress[0]}),
        "connect": lambda switch: switch.connect(2, switch.capabilities.egress[-1]),
        "disconnect": lambda switch: switch.disconnect(2),
    },
    PolarizationController: {
        "set_angle_deg": lambda unit: {"angles_deg": unit.set_angle_deg(1, 20.0)},
        "set_angles_deg": lambda unit: {
            "angles_deg": unit.set_angles_deg((10.0, 20.0, 30.0)[: unit.capabilities.paddles])
        },
        "read_angles_deg": lambda unit: {"angles_deg": unit.read_angles_deg()},
        "home": lambda unit: unit.home(),
    },
    PowerMeter: {
        "read_power_dbm": lambda meter: {"power_dbm": meter.read_power_dbm(meter.capabilities.channels[0])},
    },
    PatternGenerator: {
        "play": lambda unit: unit.play({1: np.zeros(8)}, 1e9),
        "stop": lambda unit: unit.stop(),
        "start": lambda unit: unit.start(),
        "set_output": lambda unit: unit.set_output(1, True),
        "read_running": lambda unit: unit.read_running(),
    },
}
_WITHIN = {
    TimeTagger: {
        "pump": "asks nothing",
    },
    OpticalSwitch: {"reserve": "asks nothing", "release": "asks nothing"},
}
"""Methods that are called by another verb, or that ask the unit nothing."""


def verbs_of(device: Device) -> dict[str, Verb]:
    """Return what an open device can be asked to do, by name. Raises AssertionError for a method not known here."""
    found: dict[str, Verb] = {"open": partial(reopened, device)}
    for role in device.parts:
        kinds = [kind for kind in type(role).__mro__ if issubclass(kind, Interface) and kind in _VERBS]
        for kind in kinds:
            for name, verb in _VERBS[kind].items():
                found[f"{kinds[0].__name__}.{name}"] = partial(verb, role)
            unknown = (
                set(public_methods(kind))
                - set(_VERBS[Interface])
                - set(_VERBS[kind])
                - set(_WITHIN.get(kind, ()))
            )
            assert not unknown, f"no attack on {kind.__name__}: {', '.join(sorted(unknown))}"
    if "dlt" in device.session.connections:
        service = DataLink(device.session.connection("dlt"))
        found |= {
            "DataLink.acquisitions": service.acquisitions,
            "DataLink.start_stream": partial(service.start_stream, "127.0.0.1", 1, 4242),
            "DataLink.counts": lambda: {"pushed": service.counts("127.0.0.1:5556")},
            "DataLink.stop": partial(service.stop, "127.0.0.1:5556"),
        }
    return found


def public_methods(kind: type) -> Iterator[str]:
    """Yield the public methods that a class itself defines."""
    return (name for name, value in vars(kind).items() if name[0] != "_" and callable(value))


def reopened(device: Device) -> Any:
    """Close and open; return what the unit says it can do."""
    device.close()
    device.open()
    return device.capabilities


def recorded(tagger: TimeTagger) -> list[TagBatch | None]:
    """Return some batches of tags, as the thread of a stream reads them."""
    recording = tagger._recording
    recording.start_tags()
    try:
        return [recording.read_tags(time.monotonic() + 1.0) for _ in range(BATCHES)]
    finally:
        recording.stop_tags()
