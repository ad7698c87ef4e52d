"""A node: the devices of a rack, opened together and asked for by kind."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from qhal.clock import Clock, WallClock
from qhal.devices.attenuator import Attenuator
from qhal.devices.detector import Detector
from qhal.devices.device import Device
from qhal.devices.kind import Kind
from qhal.devices.optical_switch import OpticalSwitch
from qhal.devices.pattern_generator import PatternGenerator
from qhal.devices.polarization_controller import PolarizationController
from qhal.devices.power_meter import PowerMeter
from qhal.devices.source import Source
from qhal.devices.time_tagger import TimeTagger
from qhal.errors import ConfigurationError, DataError, OpenFailed, QhalError
from qhal.node.open import make_device
from qhal.node.schema import NodeFile, load_node_file

if TYPE_CHECKING:
    from qhal.node.records import CalibratedAttenuator
    from qhal.records.record import PathPart, Record

FacetType = TypeVar("FacetType")

_OPENERS = 16


class Node:
    """The devices of one node file.

    Use it as a context manager. Closing leaves the hardware as it was set, unless the node file says
    ``safe_on_exit``.
    """

    def __init__(self, file: NodeFile) -> None:
        self.file = file
        self.name = file.node.name
        self.clock = _make_clock(file)
        self.devices: dict[str, Device] = {
            name: make_device(
                table.driver,
                table.address,
                name=name,
                links=table.links,
                clock=self.clock,
                expected={str(key): value for key, value in table.expect.items()},
                options=table.options,
            )
            for name, table in file.devices.items()
        }

    def open(self) -> Self:
        """Open all devices, several at a time. Raises OpenFailed with every failure; then none stays open."""
        with ThreadPoolExecutor(_OPENERS, thread_name_prefix="qhal-open") as pool:
            attempts = {name: pool.submit(device.open) for name, device in self.devices.items()}
        failures: dict[str, QhalError] = {}
        for name, attempt in attempts.items():
            error = attempt.exception()
            if isinstance(error, QhalError):
                failures[name] = error
            elif error is not None:
                self.release()
                raise error
        if failures:
            self.release()
            raise OpenFailed(self.name, failures)
        return self

    def close(self) -> None:
        """Close all devices, made safe before if the node file says so."""
        try:
            if self.file.node.safe_on_exit:
                self.make_safe()
        finally:
            self.release()

    def release(self) -> None:
        """Close all devices and leave the hardware as it is, whatever the node file says."""
        for device in self.devices.values():
            device.close()
        self.clock.close()

    def make_safe(self) -> None:
        """Make every open device safe; a device that fails does not keep the others from it.

        Raises ExceptionGroup with what failed.
        """
        failures: list[Exception] = []
        for device in self.devices.values():
            if device.is_open and isinstance(device, Kind):
                try:
                    device.make_safe()
                except QhalError as error:
                    failures.append(error)
        if failures:
            raise ExceptionGroup(f"node {self.name!r}: not everything could be made safe", failures)

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def device(self, name: str) -> Device:
        """Return a device. Raises ConfigurationError for an unknown name."""
        if name not in self.devices:
            raise ConfigurationError(
                f"node {self.name!r}: no device {name!r}; there are {', '.join(self.devices)}"
            )
        return self.devices[name]

    def facet(self, name: str, kind: type[FacetType]) -> FacetType:
        """Return a device in the role of a kind. Raises ConfigurationError, Unsupported."""
        return self.device(name).facet(kind)

    def attenuator(self, name: str) -> Attenuator:
        """Return a device as an attenuator."""
        return self.facet(name, Attenuator)

    def optical_switch(self, name: str) -> OpticalSwitch:
        """Return a device as an optical switch."""
        return self.facet(name, OpticalSwitch)

    def power_meter(self, name: str) -> PowerMeter:
        """Return a device as a power meter."""
        return self.facet(name, PowerMeter)

    def polarization_controller(self, name: str) -> PolarizationController:
        """Return a device as a polarization controller."""
        return self.facet(name, PolarizationController)

    def source(self, name: str) -> Source:
        """Return a device as a light source."""
        return self.facet(name, Source)

    def pattern_generator(self, name: str) -> PatternGenerator:
        """Return a device as a pattern generator."""
        return self.facet(name, PatternGenerator)

    def detector(self, name: str) -> Detector:
        """Return a device as single-photon detectors."""
        return self.facet(name, Detector)

    def time_tagger(self, name: str) -> TimeTagger:
        """Return a device as a time tagger."""
        return self.facet(name, TimeTagger)

    # -- calibration records that the node file names

    def path(self, name: str) -> "tuple[PathPart, ...]":
        """Return the elements of an optical path as records keep them. Raises ConfigurationError."""
        from qhal.node.records import parts_of

        if name not in self.file.paths:
            raise ConfigurationError(
                f"node {self.name!r}: no path {name!r}; there are {', '.join(self.file.paths) or 'none'}"
            )
        return parts_of(self.file.paths[name])

    def records(self) -> "list[Record]":
        """Read all records that the node file names. Raises DataError for one that is damaged or altered."""
        if not self.file.records:
            return []
        from qhal.node.records import load_records

        return load_records(self.file)

    def record(self, calibration: str, **roles: str) -> "Record":
        """Return the record of a calibration in which devices had these roles, to start or change something with it.

        Raises ConfigurationError when the node file names none or several, InvalidRecord when it does not hold,
        DataError when it is damaged.
        """
        from qhal.node.records import RecordCheck, one_of

        record = one_of(self.records(), calibration, **roles)
        RecordCheck(self).require(record)
        return record

    def records_of(self, calibrations: Iterable[str]) -> "list[Record]":
        """Return the records of these calibrations that the node file names, whether they are valid or not.

        One that is damaged is passed over with a warning when its file's name says that it is of another calibration.
        Raises DataError for any other that is damaged.
        """
        wanted = set(calibrations)
        if not wanted or not self.file.records:
            return []
        from qhal.node.records import load_records_of

        return load_records_of(self.file, wanted)

    def checked(self, records: "Iterable[Record]") -> "list[Record]":
        """Return records, all of which hold for this node as it is. Raises InvalidRecord."""
        from qhal.node.records import RecordCheck

        found = list(records)
        for record in found:
            RecordCheck(self).require(record)
        return found

    def record_problems(self) -> dict[str, tuple[str, ...]]:
        """Return by record id (or file, of one that is damaged) why it does not hold; empty for those that do.

        What runs with them is degraded.
        """
        if not self.file.records:
            return {}
        from qhal.node.records import RecordCheck, read_records

        found: dict[str, tuple[str, ...]] = {}
        for path, record in read_records(self.file):
            if isinstance(record, DataError):
                found[path.stem] = (str(record),)
            else:
                found[record.id] = RecordCheck(self).problems(record)
        return found

    def calibrated_attenuator(self, name: str) -> "CalibratedAttenuator":
        """Return an attenuator that is set to true attenuations by its record. Raises as :meth:`record` does."""
        from qhal.node.records import CalibratedAttenuator, RecordCheck

        record = self.record("attenuator-curve", attenuator=name)
        return CalibratedAttenuator(self.attenuator(name), record, RecordCheck(self))


def _make_clock(file: NodeFile) -> Clock:
    if file.clock.mode == "stepped":
        from qhal.transport.control import SteppedClock

        return SteppedClock(file.clock.address or "")
    return WallClock(file.clock.speed)


def open_node(path: str | Path) -> Node:
    """Open a node file and all its devices; use the result in a ``with`` block.

    Raises ConfigurationError before anything is opened, OpenFailed with all failures together.
    """
    return Node(load_node_file(path)).open()
