"""A node: the devices of a rack, opened together and retrieved by name and interface."""

import logging
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from qhal.clock import Clock
from qhal.devices.attenuator import Attenuator
from qhal.devices.detector import Detector
from qhal.devices.device import Device
from qhal.devices.guarded import Guarded
from qhal.devices.interface import Hazard, SafeState
from qhal.devices.optical_switch import OpticalSwitch
from qhal.devices.pattern_generator import PatternGenerator
from qhal.devices.polarization_controller import PolarizationController
from qhal.devices.power_meter import PowerMeter
from qhal.devices.safety import hazard_of, make_devices_safe, report
from qhal.devices.source import Source
from qhal.devices.time_tagger import TimeTagger
from qhal.errors import ConfigurationError, DataError, Disconnected, OpenFailed, QhalError
from qhal.node.device_factory import make_clock, make_devices
from qhal.node.guard import Guard
from qhal.node.guard_lock import wait_for_guards
from qhal.node.schema import NodeFile, load_node_file
from qhal.signals import disown, name_of, own, shielded
from qhal.words import html_table, listed_in_words

if TYPE_CHECKING:
    from qhal.node.calibrated_attenuator import CalibratedAttenuator
    from qhal.node.node_records import NodeRecords
    from qhal.records.record import PathPart, Record

InterfaceT = TypeVar("InterfaceT")

log = logging.getLogger("qhal")

_OPENERS = 16
_GUARD_AT_WORK_S = 60.0
_GUARD_AT_WORK_FOR_A_READER_S = 5.0


class Node(Guarded):
    """The devices of one node file.

    Use it as a context manager. Closing leaves the hardware as it was set, unless the node file says ``safe_on_exit``;
    leaving by an exception, SIGINT, SIGTERM or SIGHUP makes it safe, unless the file says ``safe_on_failure = false``.
    A guard process makes it safe when this process dies (``guard``). While it is open, in the main thread, SIGTERM and
    SIGHUP raise :class:`qhal.signals.Terminated`.
    """

    file: NodeFile
    name: str
    clock: Clock
    devices: dict[str, Device]

    def __init__(self, file: NodeFile) -> None:
        self.file = file
        self.name = file.node.name
        self.clock = make_clock(file)
        self.devices = make_devices(file, self.clock)
        self._guard: Guard | None = None
        self._owns_signals = False
        self._is_open = False
        self._process = os.getpid()

    def __repr__(self) -> str:
        number = sum(device.is_open for device in self.devices.values())
        return f"<Node {self.name!r}, {len(self.devices)} devices, {number} open>"

    def _repr_html_(self) -> str:
        rows = [
            (
                name,
                device.declaration.model,
                device.connection.address,
                device.health.state,
                listed_in_words(device.settings, 3),
            )
            for name, device in self.devices.items()
        ]
        return html_table(f"Node {self.name!r}", ("device", "model", "address", "state", "settings"), rows)

    def open(self, *, guarded: bool = True) -> Self:
        """Open all devices, several at a time, and arm the guard.

        ``guarded``: False for a program that only reads. Raises OpenFailed with every failure (then none stays open),
        Busy while the guard of a process that died still works on a device. A node that is open already stays as it
        is when opening it again fails.
        """
        if not self._is_open:
            self._process = os.getpid()
        self._owns_signals = self._owns_signals or own()
        try:
            self._open(guarded)
            self._is_open = True
        except BaseException as error:
            if not self._is_open:
                self._let_go(error)
            raise
        return self

    @shielded
    def close(self) -> None:
        """Close all devices, made safe before if the node file says ``safe_on_exit``."""
        self._leave(None)

    @shielded
    def release(self) -> None:
        """Close all devices and leave the hardware as it is, also with ``safe_on_exit``."""
        self._let_go(None)

    def make_safe(self) -> dict[str, SafeState]:
        """Make every device safe: bias first, then quantum light, attenuators, the rest; return how safe each is.

        What carries a customer's traffic is left alone. A detector, source or attenuator that was closed alone
        since the node was opened is opened for it. Every device is tried: raises ExceptionGroup with what failed.
        """
        states = self._made_safe()
        if failures := [state for state in states.values() if isinstance(state, Exception)]:
            raise ExceptionGroup(f"node {self.name!r}: not everything could be made safe", failures)
        return {name: state for name, state in states.items() if isinstance(state, SafeState)}

    def __enter__(self) -> Self:
        return self.open()

    @shielded
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave(error)

    # -- inside

    def _open(self, guarded: bool) -> None:
        hazards, table = self._hazards(), self.file.node
        wait_for_guards(
            [self.devices[name].connection.address for name in hazards],
            _GUARD_AT_WORK_S if guarded else _GUARD_AT_WORK_FOR_A_READER_S,
            f"node {self.name}",
        )
        if not table.safe_on_failure and guarded:
            what = "the death of this process" if table.safe_on_exit else "a failure"
            log.warning("node %s: safe_on_failure = false: %s leaves light and bias on", self.name, what)
        if guarded and table.guard and table.safe_on_failure and hazards and self._guard is None:
            try:
                self._guard = Guard(self.file, hazards)
            except OSError as cause:
                raise OpenFailed(self.name, {"guard": Disconnected(f"guard: {cause}")}) from cause
        try:
            with ThreadPoolExecutor(_OPENERS, thread_name_prefix="qhal-open") as pool:
                attempts = {name: pool.submit(device.open) for name, device in self.devices.items()}
        except RuntimeError as cause:  # no thread can start
            raise OpenFailed(self.name, {"node": Disconnected(f"node: {cause}")}) from cause
        failures: dict[str, QhalError] = {}
        for name, attempt in attempts.items():
            error = attempt.exception()
            if isinstance(error, QhalError):
                failures[name] = error
            elif error is not None:
                raise error
        if self._guard is not None:
            try:
                self._guard.ready()
            except QhalError as error:
                failures["guard"] = error
        if failures:
            raise OpenFailed(self.name, failures)

    def _hazards(self) -> frozenset[str]:
        """Return the devices that a guard makes safe: detectors, sources of quantum light, attenuators."""
        return frozenset(
            name
            for name, device in self.devices.items()
            if hazard_of(device) is not Hazard.OTHER and not device.carries_traffic
        )

    def _made_safe(self) -> dict[str, SafeState | Exception]:
        by_hand = self._hazards() if self._is_open else frozenset()
        return make_devices_safe(
            {name: device for name, device in self.devices.items() if device.is_open or name in by_hand}
        )

    def _leave(self, error: BaseException | None) -> None:
        """Make safe what the node file requires, report the result, and close everything."""
        if not self._is_open or os.getpid() != self._process:  # a forked process leaves it to its parent
            self._let_go(error)
            return
        unsafe = True  # until the opposite is known: after any error here the guard acts
        try:
            unsafe = not self._is_as_required(error)
        finally:
            self._let_go(error, unsafe=unsafe)

    def _is_as_required(self, error: BaseException | None) -> bool:
        """Make safe what the node file requires; return whether all of it is safe."""
        table = self.file.node
        if error is None or (isinstance(error, SystemExit) and not error.code):
            if table.safe_on_exit:
                self.make_safe()
            return True
        if not (table.safe_on_failure or table.safe_on_exit):
            log.warning("node %s: ended by %s and left as it is", self.name, name_of(error))
            return True
        states = self._made_safe()
        unsafe = any(isinstance(state, Exception) for state in states.values())
        if unsafe and self._guard is not None:
            self._guard.act()  # before anything is logged: a slow reader of the log blocks it
        what = "not everything is safe" if unsafe else "made safe"
        text = f"ended by {name_of(error)}, {what}: {report(states)}"
        log.log(logging.ERROR if unsafe else logging.WARNING, "node %s: %s", self.name, text)
        if unsafe:
            error.add_note(f"node {self.name}: {text}")
        return not unsafe

    @shielded
    def _let_go(self, error: BaseException | None, *, unsafe: bool = False) -> None:
        """Close everything, also if one of them raises; the guard continues with devices that are not safe."""
        self._is_open = False
        with ExitStack() as stack:
            if self._owns_signals:
                self._owns_signals = False
                stack.callback(disown, error)
            guard, self._guard = self._guard, None
            if guard is not None:
                stack.callback(self._end_guard, guard, unsafe)
            stack.callback(self.clock.close)
            for device in self.devices.values():
                stack.callback(device.close)
            if guard is not None and unsafe:
                stack.callback(guard.act)  # before closing, which may have to wait for a thread

    def _end_guard(self, guard: Guard, unsafe: bool) -> None:
        if not unsafe:
            if not guard.disarm():
                log.warning("node %s: its guard ended before it; nothing watched over it since", self.name)
        elif guard.hand_over():
            log.warning("node %s: made safe by its guard", self.name)
        elif guard.is_alive:
            log.error("node %s: not safe; guard %d keeps trying", self.name, guard.pid)
        else:
            log.error("node %s: not safe, and its guard has ended", self.name)

    # -- devices by interface

    def device(self, name: str) -> Device:
        """Return a device. Raises ConfigurationError for an unknown name."""
        if name not in self.devices:
            raise ConfigurationError(
                f"node {self.name!r}: no device {name!r}; there are {', '.join(self.devices)}"
            )
        return self.devices[name]

    def get(self, name: str, interface: type[InterfaceT]) -> InterfaceT:
        """Return a device, or its sub-device, that has an interface. Raises ConfigurationError, Unsupported."""
        return self.device(name).get(interface)

    def attenuator(self, name: str) -> Attenuator:
        """Return a device as an attenuator."""
        return self.get(name, Attenuator)

    def optical_switch(self, name: str) -> OpticalSwitch:
        """Return a device as an optical switch."""
        return self.get(name, OpticalSwitch)

    def power_meter(self, name: str) -> PowerMeter:
        """Return a device as a power meter."""
        return self.get(name, PowerMeter)

    def polarization_controller(self, name: str) -> PolarizationController:
        """Return a device as a polarization controller."""
        return self.get(name, PolarizationController)

    def source(self, name: str) -> Source:
        """Return a device as a light source."""
        return self.get(name, Source)

    def pattern_generator(self, name: str) -> PatternGenerator:
        """Return a device as a pattern generator."""
        return self.get(name, PatternGenerator)

    def detector(self, name: str) -> Detector:
        """Return a device as single-photon detectors."""
        return self.get(name, Detector)

    def time_tagger(self, name: str) -> TimeTagger:
        """Return a device as a time tagger."""
        return self.get(name, TimeTagger)

    # -- calibration records that the node file names

    @cached_property
    def _records(self) -> "NodeRecords":
        from qhal.node.node_records import NodeRecords

        return NodeRecords(self.file, self.devices)

    def path(self, name: str) -> "tuple[PathPart, ...]":
        """Return the elements of an optical path in the form of a record. Raises ConfigurationError."""
        from qhal.node.node_records import parts_of

        if name not in self.file.paths:
            raise ConfigurationError(
                f"node {self.name!r}: no path {name!r}; there are {', '.join(self.file.paths) or 'none'}"
            )
        return parts_of(self.file.paths[name])

    def records(self) -> "list[Record]":
        """Return all records that the node file names. Raises DataError for one that is damaged or altered."""
        return self._records.all() if self.file.records else []

    def record(self, calibration: str, **roles: str) -> "Record":
        """Return the valid record of a calibration in which devices had these roles, to start or change something with.

        Raises ConfigurationError unless the node file names exactly one, InvalidRecord if it is invalid, DataError if
        it is damaged.
        """
        return self._records.valid(calibration, **roles)

    def records_of(self, calibrations: Iterable[str]) -> "list[Record]":
        """Return the records of these calibrations that the node file names, valid or not.

        A damaged file is skipped with a warning if its name is of another calibration. Raises DataError for any other
        damaged file.
        """
        names = set(calibrations)
        return self._records.of(names) if names and self.file.records else []

    def checked(self, records: "Iterable[Record]") -> "list[Record]":
        """Return records, all of which are valid for this node as it is now. Raises InvalidRecord."""
        checked = list(records)
        for record in checked:
            self._records.require_valid(record)
        return checked

    def record_problems(self) -> dict[str, tuple[str, ...]]:
        """Return by record id (of a damaged file by its stem) why it is invalid; empty for a valid record."""
        return self._records.problems() if self.file.records else {}

    def damaged_records(self) -> dict[Path, DataError]:
        """Return the error of each record's file that is damaged or altered."""
        return self._records.damaged() if self.file.records else {}

    def calibrated_attenuator(self, name: str) -> "CalibratedAttenuator":
        """Return an attenuator that is set to true attenuations by its record. Raises as :meth:`record` does."""
        from qhal.node.calibrated_attenuator import CalibratedAttenuator

        record = self.record("attenuator-curve", attenuator=name)
        return CalibratedAttenuator(self.attenuator(name), record, self._records)


def open_node(path: str | Path) -> Node:
    """Open a node file and all its devices; use the result in a ``with`` block.

    Raises ConfigurationError before anything is opened, OpenFailed with all failures together.
    """
    return Node(load_node_file(path)).open()
