"""What a calibration finds set, and how it is restored.

Settings are always restored, and paths of switches, if it is dark. Light and bias come back only after a calibration
that ended well; after one that did not, sources and detectors stay off and attenuators closed. A source that carries a
customer's traffic is never made safe: it is always restored. A customer's connection through a switch is
never part of a change; one that was cut comes back.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial, singledispatch
from types import TracebackType
from typing import NamedTuple, Self

from qhal.devices.attenuator import Attenuator
from qhal.devices.detector import Detector, DetectorState
from qhal.devices.interface import Interface
from qhal.devices.optical_switch import OpticalSwitch
from qhal.devices.pattern_generator import PatternGenerator
from qhal.devices.polarization_controller import PolarizationController
from qhal.devices.safety import by_device, make_interfaces_safe, report
from qhal.devices.source import Source
from qhal.devices.status import required
from qhal.devices.time_tagger import InputSettings, TimeTagger
from qhal.errors import DeviceError, PositionUnknown
from qhal.signals import shielded, take_noted

Action = Callable[[], object]

log = logging.getLogger("qhal")


@dataclass(slots=True)
class Remembered:
    """How one device was set: ``settings`` restore what harms nothing, ``hazards`` what light may come through."""

    kind: Interface
    settings: list[Action] = field(default_factory=list)
    hazards: list[Action] = field(default_factory=list)


class NotRestored(ExceptionGroup[Exception]):
    """What failed when settings were restored after a calibration that itself ended well."""


AS_BEFORE = "the devices are as they were before"
_NOT_SAFE = "not safe, or not as it was"


class Restoring:
    """Restores the devices at the end of a block to how they are at its beginning; makes them safe if it fails.

    Devices in ``retained`` are restored only when the block fails: their settings are the result. Signals do not cut
    the restoring short: those that came meanwhile, after a block that ended well, are in ``late``. A note of the
    exception with which the block ends names what is not safe, or says that the devices are safe; ``notes`` are for
    exceptions that come after a block that ended well.
    """

    def __init__(self, devices: Mapping[str, Interface], retained: Sequence[Interface] = ()) -> None:
        self.late: list[int] = []
        self.notes: list[str] = []
        self._devices = devices
        self._retained = retained
        self._remembered: list[Remembered] = []

    def __enter__(self) -> Self:
        self._remembered = remember_all(self._devices)
        return self

    @shielded
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Raise NotRestored when the block ended well but something cannot be restored."""
        if error is not None:
            failures, states = restore(self._remembered, ended_well=False)
            for failure in failures:
                error.add_note(f"{_NOT_SAFE}: {failure}")
            if not failures:
                error.add_note(f"the devices are safe ({states})")
            return
        changed = [
            each for each in self._remembered if all(each.kind is not other for other in self._retained)
        ]
        failures, _ = restore(changed, ended_well=True)
        self.late = take_noted()
        self.notes = [f"not as it was: {failure}" for failure in failures] or [AS_BEFORE]
        if failures:
            raise NotRestored("not everything could be restored", failures)


def is_unsafe(error: BaseException) -> bool:
    """Return whether a calibration ended with an exception and could not make its devices safe, or restore them."""
    return any(note.startswith(_NOT_SAFE) for note in getattr(error, "__notes__", ()))


def remember_all(devices: Mapping[str, Interface]) -> list[Remembered]:
    """Ask every device how it is set. Raises what the devices raise."""
    unique = {id(kind): kind for kind in devices.values()}
    return [remember(kind) for kind in unique.values()]


def restore(remembered: Sequence[Remembered], *, ended_well: bool) -> tuple[list[Exception], str]:
    """Restore stored states; return what failed, and how safe the devices are, in words.

    Dark first, then settings and, if all is dark, paths of switches; attenuators, bias and light only if it ended well.
    Whatever a device raises, the others are restored.
    """
    states = make_interfaces_safe(each.kind for each in remembered)
    failures = [state for _, state in states if isinstance(state, Exception)]
    for each in remembered:
        failures += _attempt(each.settings)
    if not failures:
        for kind_type in (Attenuator, OpticalSwitch, Detector, Source) if ended_well else (OpticalSwitch,):
            for each in remembered:
                if isinstance(each.kind, kind_type):
                    failures += _attempt(each.hazards)
    return failures, report(by_device((kind.device.name, state) for kind, state in states))


def _attempt(actions: Sequence[Action]) -> list[Exception]:
    """Run every action; return what they raised."""
    failures: list[Exception] = []
    for action in actions:
        try:
            action()
        except Exception as error:  # noqa: BLE001  # a fault of a driver must not keep the next device from its turn
            failures.append(error)
    return failures


@singledispatch
def remember(kind: Interface) -> Remembered:
    """Ask a device how it is set. A kind that only looks has nothing to restore."""
    return Remembered(kind)


@remember.register
def _(kind: Source) -> Remembered:
    before = _light_of(kind)
    if kind.device.carries_traffic:
        return Remembered(kind, [lambda: _restore_traffic(kind, before)])
    settings: list[Action] = [
        lambda: kind.set_frequency_thz(before.frequency_thz),
        lambda: kind.set_power_dbm(before.power_dbm),
    ]
    return Remembered(kind, settings, [kind.enable] if before.emitting else [])


class _Light(NamedTuple):
    """How a source is set."""

    emitting: bool
    frequency_thz: float
    power_dbm: float


def _light_of(source: Source) -> _Light:
    name, status = source.device.name, source.status()
    return _Light(
        required(name, status, emitting=status.emitting),
        required(name, status, frequency_thz=status.frequency_thz),
        required(name, status, set_power_dbm=status.set_power_dbm),
    )


def _restore_traffic(source: Source, before: _Light) -> None:
    """Bring a customer's light back as it was, and touch nothing that is as it was."""
    now = _light_of(source)
    if now.frequency_thz != before.frequency_thz:
        source.disable()
        source.set_frequency_thz(before.frequency_thz)
    if now.power_dbm != before.power_dbm:
        source.set_power_dbm(before.power_dbm)
    if source.read_emitting() != before.emitting:
        (source.enable if before.emitting else source.disable)()


@remember.register
def _(kind: Attenuator) -> Remembered:
    try:
        attenuation_db = kind.read_attenuation_db()
    except PositionUnknown:
        return Remembered(kind)  # not homed yet: closed is as good
    return _of_attenuator(kind, [lambda: kind.set_attenuation_db(attenuation_db)])


def _of_attenuator(kind: Attenuator, actions: list[Action]) -> Remembered:
    return Remembered(kind, actions) if kind.device.carries_traffic else Remembered(kind, hazards=actions)


@remember.register
def _(kind: Detector) -> Remembered:
    name, status = kind.device.name, kind.status()
    if DetectorState.UNKNOWN in status.states:
        raise DeviceError(f"{name}: states are unknown: {'; '.join(status.problems)}")
    bias_ua = [required(name, status, bias_ua=each) for each in status.bias_ua]
    trigger_mv = [required(name, status, trigger_mv=each) for each in status.trigger_mv]
    settings: list[Action] = [lambda: kind.set_bias_ua(bias_ua), lambda: kind.set_trigger_mv(trigger_mv)]
    biased = any(state is not DetectorState.OFF for state in status.states)
    return Remembered(kind, settings, [kind.enable] if biased else [])


@remember.register
def _(kind: OpticalSwitch) -> Remembered:
    pattern = kind.read_pattern()
    if not kind.traffic_ports:
        return Remembered(kind, hazards=[lambda: kind.set_pattern(pattern)])
    traffic = _of_traffic(kind, pattern)
    others = {ingress: egress for ingress, egress in pattern.items() if ingress not in traffic}
    return Remembered(
        kind, [lambda: _reconnect_traffic(kind, traffic)], [lambda: _restore_others(kind, others)]
    )


def _of_traffic(switch: OpticalSwitch, pattern: Mapping[int, int]) -> dict[int, int]:
    ports = switch.traffic_ports
    return {ingress: egress for ingress, egress in pattern.items() if ingress in ports or egress in ports}


def _reconnect_traffic(switch: OpticalSwitch, traffic: Mapping[int, int]) -> None:
    """Connect a customer's ports that were disconnected; leave, and report, those that were moved since then."""
    for ingress, egress in traffic.items():
        now = switch.read_pattern()
        if ingress not in now and egress not in now.values():
            switch.connect(ingress, egress)
        elif now.get(ingress) != egress:
            log.warning(
                "%s: ports %d and %d of a customer were moved, which is left so",
                switch.device.name,
                ingress,
                egress,
            )


def _restore_others(switch: OpticalSwitch, pattern: Mapping[int, int]) -> None:
    """Connect as before what carries no traffic: one pair at a time, so that traffic is part of no change."""
    now = switch.read_pattern()
    traffic = _of_traffic(switch, now)
    if not switch.capabilities.can_be_dark:
        switch.set_pattern({**pattern, **traffic})
        return
    for ingress, egress in now.items():
        if ingress not in traffic and pattern.get(ingress) != egress:
            switch.disconnect(ingress)
    for ingress, egress in pattern.items():
        switch.connect(ingress, egress)


@remember.register
def _(kind: PolarizationController) -> Remembered:
    angles_deg = kind.read_angles_deg()
    return Remembered(kind, [lambda: kind.set_angles_deg(angles_deg)])


@remember.register
def _(kind: TimeTagger) -> Remembered:
    name, status = kind.device.name, kind.status()
    reference = required(name, status, clock_reference=status.clock_reference)
    actions: list[Action] = [lambda: kind.set_clock_reference(reference)]
    for channel, each in enumerate(status.inputs, 1):
        actions.append(partial(_set_input, kind, channel, required(name, status, inputs=each)))
    return Remembered(kind, actions)


def _set_input(kind: TimeTagger, channel: int, wanted: InputSettings) -> None:
    kind.set_threshold_v(channel, wanted.threshold_v)
    kind.set_edge(channel, wanted.edge)
    kind.set_coupling(channel, wanted.coupling)
    kind.set_delay_ps(channel, wanted.delay_ps)
    kind.set_enabled(channel, wanted.enabled)


@remember.register
def _(kind: PatternGenerator) -> Remembered:
    name, status, played = kind.device.name, kind.status(), kind.played
    running = required(name, status, running=status.running)
    outputs = [required(name, status, outputs=on) for on in status.outputs]

    def replay() -> None:
        if kind.played is not played and played is not None:
            kind.play(played.volts, played.sample_rate_hz, reference=played.reference)
        elif kind.played is not played and running:
            raise DeviceError(f"{name}: what it played before is not known; it is left stopped")
        if not running:
            kind.stop()
        elif not kind.read_running():
            kind.start()
        for channel, on in enumerate(outputs, 1):
            kind.set_output(channel, on)

    return Remembered(kind, [replay])
