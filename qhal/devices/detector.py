"""Single-photon detectors: bias, trigger, count rates, latching; verbs as wide as the unit's electronics."""

from abc import abstractmethod
from collections.abc import Sequence
from enum import StrEnum

from qhal.devices.declaration import Capabilities
from qhal.devices.kind import Kind, check_channel, check_range, now
from qhal.devices.status import Quality, Status
from qhal.errors import DeviceError, OutOfRange, Unsupported


class Scope(StrEnum):
    """Whether a verb acts on one channel, or on the whole group at once."""

    CHANNEL = "channel"
    GROUP = "group"


class DetectorState(StrEnum):
    """State of one channel."""

    OFF = "off"
    COOLING = "cooling"
    BIASED = "biased"
    LATCHED = "latched"
    BLINDED = "blinded"
    WARM = "warm"


class DetectorCapabilities(Capabilities):
    """Channels 1..N in one group, limits of the bias, and how wide each verb is."""

    channels: int
    bias_scope: Scope
    enable_scope: Scope
    min_bias_ua: float
    max_bias_ua: float
    max_trigger_mv: float
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
    """State, bias and trigger of every channel, temperature of the cold stage."""

    states: tuple[DetectorState, ...]
    bias_ua: tuple[float, ...]
    trigger_mv: tuple[float, ...]
    temperature_k: float | None


class Detector(Kind):
    """A group of detectors behind one bias and counting electronics."""

    @property
    def capabilities(self) -> DetectorCapabilities:
        """Limits read at opening."""
        found = self.device.opened_capabilities
        assert isinstance(found, DetectorCapabilities)
        return found

    def set_bias_ua(self, bias_ua: Sequence[float]) -> tuple[float, ...]:
        """Set the bias current of every channel and return the currents read back, microamperes.

        Raises OutOfRange for a wrong number of currents or one beyond the limits; then nothing was sent.
        """
        limits = self.capabilities
        wanted = self._checked("bias", bias_ua, limits.min_bias_ua, limits.max_bias_ua, "uA")
        with self.device.changing("set_bias_ua", wanted):
            self._write_bias_ua(wanted)
            achieved = self._read_bias_ua()
            self.device.note_settings(bias_ua=achieved)
            self._compare("bias", wanted, achieved)
        return achieved

    def set_channel_bias_ua(self, channel: int, bias_ua: float) -> float:
        """Set the bias current of one channel. Raises Unsupported on a unit that sets all together."""
        check_channel(self.device, channel, self.capabilities.channels)
        if self.capabilities.bias_scope is Scope.GROUP:
            raise Unsupported(
                f"{self.device.name}: bias is set for the whole group; give all currents to set_bias_ua"
            )
        currents = list(self._read_bias_ua())
        currents[channel - 1] = bias_ua
        return self.set_bias_ua(currents)[channel - 1]

    def set_trigger_mv(self, trigger_mv: Sequence[float]) -> tuple[float, ...]:
        """Set the trigger level of every channel and return the levels read back, millivolts."""
        limit = self.capabilities.max_trigger_mv
        wanted = self._checked("trigger level", trigger_mv, -limit, limit, "mV")
        with self.device.changing("set_trigger_mv", wanted):
            self._write_trigger_mv(wanted)
            achieved = self._read_trigger_mv()
            self.device.note_settings(trigger_mv=achieved)
            self._compare("trigger level", wanted, achieved)
        return achieved

    def enable(self) -> None:
        """Turn the bias of the whole group on. Raises DeviceError when it does not come on."""
        self._switch(True)

    def disable(self) -> None:
        """Turn the bias of the whole group off."""
        self._switch(False)

    def enable_channel(self, channel: int) -> None:
        """Turn the bias of one channel on. Raises Unsupported on a unit that switches all together."""
        check_channel(self.device, channel, self.capabilities.channels)
        if self.capabilities.enable_scope is Scope.GROUP:
            raise Unsupported(
                f"{self.device.name}: bias is switched for the whole group, not for channel {channel}"
            )
        self._switch(True, channel)

    def read_counts(self, period_s: float) -> CountReading:
        """Count for one period that begins after this call, and return its counts.

        Raises OutOfRange for a period that the unit cannot count.
        """
        check_range(self.device, "period", period_s, self.capabilities.min_period_s, 3600.0, "s")
        with self.device.reading():
            return self._read_counts(period_s)

    def unlatch(self) -> None:
        """Take the bias of latched channels off and bring it back. Raises DeviceError when they latch again."""
        with self.device.changing("unlatch"):
            bias_ua = self._read_bias_ua()
            latched = self._read_latched()
            if not any(latched):
                return
            self._write_bias_ua(
                tuple(0.0 if bad else bias for bias, bad in zip(bias_ua, latched, strict=True))
            )
            self._settle()
            self._write_bias_ua(bias_ua)
            self._settle()
            if any(still := self._read_latched()):
                channels = [n for n, bad in enumerate(still, 1) if bad]
                raise DeviceError(f"{self.device.name}: channels {channels} latch at {bias_ua} uA")

    def make_safe(self) -> None:
        """Turn the bias off."""
        self.disable()

    def status(self) -> Status:
        """Return one snapshot."""
        with self.device.reading():
            enabled, latched = self._read_enabled(), self._read_latched()
            states = tuple(
                DetectorState.LATCHED if bad else DetectorState.BIASED if enabled else DetectorState.OFF
                for bad in latched
            )
            return DetectorStatus(
                time=now(),
                quality=Quality.FAULTED if any(latched) else Quality.GOOD,
                problems=tuple(f"channel {n} is latched" for n, bad in enumerate(latched, 1) if bad),
                states=states,
                bias_ua=self._read_bias_ua(),
                trigger_mv=self._read_trigger_mv(),
                temperature_k=self._read_temperature_k(),
            )

    def _switch(self, on: bool, channel: int | None = None) -> None:
        with self.device.changing("enable" if on else "disable", channel):
            self._write_enabled(on)
            if self._read_enabled() != on:
                raise DeviceError(f"{self.device.name}: the bias did not turn {'on' if on else 'off'}")
            self.device.note_settings(enabled=on)

    def _checked(
        self, what: str, values: Sequence[float], low: float, high: float, unit: str
    ) -> tuple[float, ...]:
        if len(values) != self.capabilities.channels:
            raise OutOfRange(
                f"{self.device.name}: {len(values)} values of {what} for {self.capabilities.channels} channels"
            )
        return tuple(
            check_range(self.device, f"{what} of channel {n}", value, low, high, unit)
            for n, value in enumerate(values, 1)
        )

    def _compare(self, what: str, wanted: tuple[float, ...], achieved: tuple[float, ...]) -> None:
        if any(abs(a - w) > 0.01 + 1e-3 * abs(w) for a, w in zip(achieved, wanted, strict=True)):
            raise DeviceError(f"{self.device.name}: {what} is {achieved} after setting {wanted}")

    @abstractmethod
    def _write_bias_ua(self, bias_ua: tuple[float, ...]) -> None:
        """Send all bias currents."""

    @abstractmethod
    def _read_bias_ua(self) -> tuple[float, ...]:
        """Ask for all bias currents."""

    @abstractmethod
    def _write_trigger_mv(self, trigger_mv: tuple[float, ...]) -> None:
        """Send all trigger levels."""

    @abstractmethod
    def _read_trigger_mv(self) -> tuple[float, ...]:
        """Ask for all trigger levels."""

    @abstractmethod
    def _write_enabled(self, on: bool) -> None:
        """Turn the bias on or off."""

    @abstractmethod
    def _read_enabled(self) -> bool:
        """Ask whether the bias is on."""

    @abstractmethod
    def _read_latched(self) -> tuple[bool, ...]:
        """Ask which channels are latched."""

    @abstractmethod
    def _read_counts(self, period_s: float) -> CountReading:
        """Count for a period that begins now."""

    @abstractmethod
    def _read_temperature_k(self) -> float | None:
        """Ask for the temperature of the cold stage; None where the unit does not know it."""

    @abstractmethod
    def _settle(self) -> None:
        """Wait until a change of bias has taken effect."""
