"""What a calibration finds set, and how it is put back.

Settings come back in any case, and paths of switches, if it is dark. Light and bias come back only after a calibration
that ended well; after one that did not, sources and detectors stay off and attenuators closed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial, singledispatch
from typing import Any

from qhal.devices.attenuator import Attenuator
from qhal.devices.detector import Detector, DetectorState
from qhal.devices.kind import Kind
from qhal.devices.optical_switch import OpticalSwitch
from qhal.devices.pattern_generator import PatternGenerator
from qhal.devices.polarization_controller import PolarizationController
from qhal.devices.source import Source
from qhal.devices.time_tagger import InputSettings, TimeTagger
from qhal.errors import DeviceError, QhalError

Action = Callable[[], object]


@dataclass(slots=True)
class Remembered:
    """How one device was set: ``settings`` restore what harms nothing, ``hazards`` what light may come through."""

    kind: Kind
    settings: list[Action] = field(default_factory=list)
    hazards: list[Action] = field(default_factory=list)


_ORDER: tuple[type, ...] = (Source, Attenuator, Detector)
"""In this order devices are made safe: first the light goes."""


def remember_all(devices: Mapping[str, Kind]) -> list[Remembered]:
    """Ask every device how it is set. Raises what the devices raise."""
    unique = {id(kind): kind for kind in devices.values()}
    return [remember(kind) for kind in unique.values()]


def put_back(remembered: Sequence[Remembered], *, ended_well: bool) -> list[QhalError]:
    """Restore what was remembered; return what failed, and go on with the others.

    Dark first, then settings and, if all is dark, paths of switches; attenuators, bias and light only if it ended well.
    """
    failures: list[QhalError] = []

    def attempt(action: Action) -> None:
        try:
            action()
        except QhalError as error:
            failures.append(error)

    for kind_type in _ORDER:
        for each in remembered:
            if isinstance(each.kind, kind_type):
                attempt(each.kind.make_safe)
    for each in remembered:
        for action in each.settings:
            attempt(action)
    if not failures:
        for kind_type in (Attenuator, OpticalSwitch, Detector, Source) if ended_well else (OpticalSwitch,):
            for each in remembered:
                if isinstance(each.kind, kind_type):
                    for action in each.hazards:
                        attempt(action)
    return failures


@singledispatch
def remember(kind: Kind) -> Remembered:
    """Ask a device how it is set. A kind that only looks has nothing to restore."""
    return Remembered(kind)


@remember.register
def _(kind: Source) -> Remembered:
    status = _known_status(kind, "emitting", "frequency_thz", "set_power_dbm")
    settings: list[Action] = [
        lambda: kind.set_frequency_thz(status["frequency_thz"]),
        lambda: kind.set_power_dbm(status["set_power_dbm"]),
    ]
    return Remembered(kind, settings, [kind.enable] if status["emitting"] else [])


@remember.register
def _(kind: Attenuator) -> Remembered:
    try:
        attenuation_db = kind.read_attenuation_db()
    except DeviceError:
        return Remembered(kind)  # not homed yet: closed is as good
    return Remembered(kind, hazards=[lambda: kind.set_attenuation_db(attenuation_db)])


@remember.register
def _(kind: Detector) -> Remembered:
    status = _known_status(kind, "states", "bias_ua", "trigger_mv")
    settings: list[Action] = [
        lambda: kind.set_bias_ua(status["bias_ua"]),
        lambda: kind.set_trigger_mv(status["trigger_mv"]),
    ]
    biased = any(state not in ("off", "warm", "cooling") for state in status["states"])
    return Remembered(kind, settings, [kind.enable] if biased else [])


@remember.register
def _(kind: OpticalSwitch) -> Remembered:
    pattern = kind.read_pattern()
    return Remembered(kind, hazards=[lambda: kind.set_pattern(pattern)])


@remember.register
def _(kind: PolarizationController) -> Remembered:
    angles_deg = kind.read_angles_deg()
    return Remembered(kind, [lambda: kind.set_angles_deg(angles_deg)])


@remember.register
def _(kind: TimeTagger) -> Remembered:
    status = _known_status(kind, "clock_reference", "inputs")
    actions: list[Action] = [lambda: kind.set_clock_reference(status["clock_reference"])]
    for channel, values in enumerate(status["inputs"], 1):
        actions.append(partial(_set_input, kind, channel, InputSettings(**values)))
    return Remembered(kind, actions)


def _known_status(kind: Kind, *names: str) -> dict[str, Any]:
    """Return the fields of a status. Raises DeviceError when one of ``names`` is unknown: it could not be put back."""
    status = kind.status()
    fields = status.model_dump()
    unknown = [name for name in names if _is_unknown(fields[name])]
    if unknown:
        raise DeviceError(
            f"{kind.device.name}: {', '.join(unknown)} unknown, so it could not be put back: "
            + "; ".join(status.problems)
        )
    return fields


def _is_unknown(value: object) -> bool:
    return value is None or (isinstance(value, tuple) and (None in value or DetectorState.UNKNOWN in value))


def _set_input(kind: TimeTagger, channel: int, wanted: InputSettings) -> None:
    kind.set_threshold_v(channel, wanted.threshold_v)
    kind.set_edge(channel, wanted.edge)
    kind.set_coupling(channel, wanted.coupling)
    kind.set_delay_ps(channel, wanted.delay_ps)
    kind.set_enabled(channel, wanted.enabled)


@remember.register
def _(kind: PatternGenerator) -> Remembered:
    played, status = kind.played, _known_status(kind, "running", "outputs")

    def replay() -> None:
        if kind.played is not played and played is not None:
            kind.play(played.volts, played.sample_rate_hz, reference=played.reference)
        elif kind.played is not played and status["running"]:
            raise DeviceError(f"{kind.device.name}: what it played before is not known; it is left stopped")
        if not status["running"]:
            kind.stop()
        elif not kind.read_running():
            kind.start()
        for channel, on in enumerate(status["outputs"], 1):
            kind.set_output(channel, on)

    return Remembered(kind, [replay])
