"""Single-photon detectors: bias, trigger level, count rates and latching of a group of channels."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple, TypeVar

from qhal.devices.declaration import Capabilities
from qhal.devices.device import Device
from qhal.devices.interface import (
    Hazard,
    Interface,
    SafeState,
    check_counts,
    check_range,
    check_read,
    check_row,
)
from qhal.devices.same_settings import same_setting
from qhal.devices.status import Quality, Snapshot, Status
from qhal.errors import DeviceError, ProtocolError

_WARMEST_K = 400.0

Value = TypeVar("Value")


class DetectorState(StrEnum):
    """State of one channel. UNKNOWN: the unit does not report whether it is biased or latched."""

    OFF = "off"
    BIASED = "biased"
    LATCHED = "latched"
    UNKNOWN = "unknown"


class DetectorCapabilities(Capabilities):
    """Channels 1..N in one group; limits and resolution of bias and trigger level."""

    channels: int
    min_bias_ua: float
    max_bias_ua: float
    bias_resolution_ua: float
    max_trigger_mv: float
    trigger_resolution_mv: float
    min_period_s: float


class CountReading(Status):
    """Counts of all channels in one period that ended at ``device_time_s`` of the unit's own clock."""

    device_time_s: float
    period_s: float
    counts: tuple[int, ...]

    @property
    def rates_hz(self) -> tuple[float, ...]:
        """Counts per second of each channel."""
        return tuple(count / self.period_s for count in self.counts)


class DetectorStatus(Status):
    """State, bias and trigger of every channel (None: unknown), temperature of the cold stage."""

    states: tuple[DetectorState, ...]
    bias_ua: tuple[float | None, ...]
    trigger_mv: tuple[float | None, ...]
    temperature_k: float | None


class Limits(NamedTuple):
    """What a value of a channel is called, and the range in which it can be."""

    what: str
    low: float
    high: float
    unit: str

    def checked(self, device: Device, channel: int, value: float) -> float:
        """Return the value of a channel. Raises ProtocolError for one that cannot be."""
        return check_read(device, f"{self.what} of channel {channel}", value, self.low, self.high, self.unit)


class Detector(Interface[DetectorCapabilities, DetectorStatus]):
    """A group of detectors behind one bias and counting electronics."""

    hazard = Hazard.BIAS

    def set_bias_ua(self, bias_ua: Sequence[float]) -> tuple[float, ...]:
        """Set the bias current of every channel and return the currents read back, microamperes.

        Raises OutOfRange for a wrong number of currents or one beyond the limits; then nothing was sent.
        """
        limits = self.capabilities
        target = self._checked("bias", bias_ua, limits.min_bias_ua, limits.max_bias_ua, "uA")
        with self.device.exclusive("set_bias_ua", target):
            self._write_bias_ua(target)
            readback = self._bias_ua()
            self.device.note_settings(bias_ua=readback)
            self._compare("bias", target, readback, limits.bias_resolution_ua)
        return readback

    def set_trigger_mv(self, trigger_mv: Sequence[float]) -> tuple[float, ...]:
        """Set the trigger level of every channel and return the levels read back, millivolts."""
        limits = self.capabilities
        target = self._checked(
            "trigger level", trigger_mv, -limits.max_trigger_mv, limits.max_trigger_mv, "mV"
        )
        with self.device.exclusive("set_trigger_mv", target):
            self._write_trigger_mv(target)
            readback = self._trigger_mv()
            self.device.note_settings(trigger_mv=readback)
            self._compare("trigger level", target, readback, limits.trigger_resolution_mv)
        return readback

    def enable(self) -> None:
        """Turn the bias of the whole group on. Raises DeviceError when it does not come on."""
        self._switch(True)

    def disable(self) -> None:
        """Turn the bias of the whole group off."""
        self._switch(False)

    def read_counts(self, period_s: float) -> CountReading:
        """Count for one period that begins after this call, and return its counts.

        Other verbs do not wait for it. Raises OutOfRange for a period that the unit cannot count, DeviceError when
        another thread changes a setting during the count.
        """
        check_range(self.device, "period", period_s, self.capabilities.min_period_s, 3600.0, "s")
        with self.device.counting():
            reading = self._read_counts(period_s)
            with self.device.locked():
                check_counts(self.device, reading.counts, self.capabilities.channels, reading.period_s)
        return reading

    def unlatch(self) -> None:
        """Take the bias of latched channels off and bring it back. Raises DeviceError when they latch again."""
        with self.device.exclusive("unlatch"):
            bias_ua = self._bias_ua()
            latched = self._latched()
            if not any(latched):
                return
            self._write_bias_ua(
                tuple(0.0 if bad else bias for bias, bad in zip(bias_ua, latched, strict=True))
            )
            self._settle()
            self._write_bias_ua(bias_ua)
            self._settle()
            if any(still := self._latched()):
                channels = [n for n, bad in enumerate(still, 1) if bad]
                raise DeviceError(f"{self.device.name}: channels {channels} latch at {bias_ua} uA")

    def _make_safe(self) -> SafeState:
        """Turn the bias off."""
        self.disable()
        return SafeState.VERIFIED

    def _command_safe(self) -> None:
        """Turn the bias off."""
        self._write_enabled(False)

    def status(self) -> DetectorStatus:
        """Return one snapshot."""
        with self.device.locked():
            snapshot = Snapshot()
            enabled = snapshot.read(self._read_enabled)
            latched = (
                snapshot.read(self._for_each, self._read_latched) or (None,) * self.capabilities.channels
            )
            for channel, bad in enumerate(latched, 1):
                if bad:
                    snapshot.note(f"channel {channel} is latched", Quality.FAULTED)
                elif bad is None:
                    snapshot.note(f"channel {channel}: unknown whether it is latched", Quality.FAULTED)
            return snapshot.taken(
                DetectorStatus,
                states=tuple(_state(enabled, bad) for bad in latched),
                bias_ua=self._each_checked(snapshot, self._bias_limits, self._read_bias_ua),
                trigger_mv=self._each_checked(snapshot, self._trigger_limits, self._read_trigger_mv),
                temperature_k=snapshot.read(self._temperature_k),
            )

    @property
    def setting_tolerances(self) -> Mapping[str, float]:
        """The resolution of the unit, by name of the setting."""
        limits = self.capabilities
        return {"bias_ua": limits.bias_resolution_ua, "trigger_mv": limits.trigger_resolution_mv}

    @property
    def _bias_limits(self) -> Limits:
        return Limits("bias", self.capabilities.min_bias_ua, self.capabilities.max_bias_ua, "uA")

    @property
    def _trigger_limits(self) -> Limits:
        limit = self.capabilities.max_trigger_mv
        return Limits("trigger level", -limit, limit, "mV")

    def _bias_ua(self) -> tuple[float, ...]:
        return self._all_checked(self._bias_limits, self._read_bias_ua)

    def _trigger_mv(self) -> tuple[float, ...]:
        return self._all_checked(self._trigger_limits, self._read_trigger_mv)

    def _latched(self) -> tuple[bool, ...]:
        latched = self._for_each(self._read_latched)
        if None in latched:
            unknown = [channel for channel, bad in enumerate(latched, 1) if bad is None]
            raise ProtocolError(f"{self.device.name}: unknown whether channels {unknown} are latched")
        return tuple(map(bool, latched))

    def _temperature_k(self) -> float | None:
        temperature_k = self._read_temperature_k()
        return (
            temperature_k
            if temperature_k is None
            else check_read(self.device, "temperature", temperature_k, 0.0, _WARMEST_K, "K")
        )

    def _for_each(self, reader: Callable[[], tuple[Value, ...]]) -> tuple[Value, ...]:
        """Return what is read. Raises ProtocolError unless that is one value a channel."""
        values = reader()
        if len(values) != self.capabilities.channels:
            raise ProtocolError(
                f"{self.device.name}: {len(values)} values for {self.capabilities.channels} channels"
            )
        return values

    def _all_checked(self, limits: Limits, reader: Callable[[], tuple[float, ...]]) -> tuple[float, ...]:
        values = enumerate(self._for_each(reader), 1)
        return tuple(limits.checked(self.device, channel, value) for channel, value in values)

    def _each_checked(
        self, snapshot: Snapshot, limits: Limits, reader: Callable[[], tuple[float, ...]]
    ) -> tuple[float | None, ...]:
        values = snapshot.read(self._for_each, reader) or (None,) * self.capabilities.channels
        return tuple(
            None if value is None else snapshot.read(limits.checked, self.device, channel, value)
            for channel, value in enumerate(values, 1)
        )

    def _switch(self, on: bool) -> None:
        with self.device.exclusive("enable" if on else "disable"):
            self._write_enabled(on)
            if self._read_enabled() != on:
                raise DeviceError(f"{self.device.name}: the bias did not turn {'on' if on else 'off'}")
            self.device.note_settings(enabled=on)

    def _checked(
        self, what: str, values: Sequence[float], low: float, high: float, unit: str
    ) -> tuple[float, ...]:
        row = check_row(self.device, what, values, self.capabilities.channels)
        return tuple(
            check_range(self.device, f"{what} of channel {n}", value, low, high, unit)
            for n, value in enumerate(row, 1)
        )

    def _compare(
        self, what: str, target: tuple[float, ...], readback: tuple[float, ...], resolution: float
    ) -> None:
        if not same_setting(target, readback, resolution):
            raise DeviceError(f"{self.device.name}: {what} is {readback} after setting {target}")

    def _read_settings(self) -> dict[str, Any]:
        return {
            "enabled": self.device.known(self._read_enabled),
            "bias_ua": self.device.known(self._bias_ua),
            "trigger_mv": self.device.known(self._trigger_mv),
        }

    @abstractmethod
    def _write_bias_ua(self, bias_ua: tuple[float, ...]) -> None:
        """Send all bias currents."""

    @abstractmethod
    def _read_bias_ua(self) -> tuple[float, ...]:
        """Read all bias currents; NaN for one that is not a number."""

    @abstractmethod
    def _write_trigger_mv(self, trigger_mv: tuple[float, ...]) -> None:
        """Send all trigger levels."""

    @abstractmethod
    def _read_trigger_mv(self) -> tuple[float, ...]:
        """Read all trigger levels; NaN for one that is not a number."""

    @abstractmethod
    def _write_enabled(self, on: bool) -> None:
        """Turn the bias on or off."""

    @abstractmethod
    def _read_enabled(self) -> bool:
        """Read whether the bias is on."""

    @abstractmethod
    def _read_latched(self) -> tuple[bool | None, ...]:
        """Read which channels are latched; None for one of which the unit does not report it."""

    @abstractmethod
    def _read_counts(self, period_s: float) -> CountReading:
        """Count for a period that begins now, without the device's lock while waiting."""

    @abstractmethod
    def _read_temperature_k(self) -> float | None:
        """Read the temperature of the cold stage; None where the unit does not report it."""

    @abstractmethod
    def _settle(self) -> None:
        """Wait until a change of bias has taken effect."""


def _state(enabled: bool | None, latched: bool | None) -> DetectorState:
    if latched:
        return DetectorState.LATCHED
    if latched is None or enabled is None:
        return DetectorState.UNKNOWN
    return DetectorState.BIASED if enabled else DetectorState.OFF
