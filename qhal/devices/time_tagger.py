"""Time taggers: inputs with thresholds and delays, counters, and streams of time tags."""

from abc import abstractmethod
from collections.abc import Mapping
from enum import StrEnum
from functools import partial
from typing import Any

from pydantic import ConfigDict

from qhal.devices.declaration import Capabilities
from qhal.devices.interface import (
    Interface,
    SafeState,
    check_channel,
    check_choice,
    check_counts,
    check_flag,
    check_range,
    check_read,
    now,
)
from qhal.devices.same_settings import same_setting
from qhal.devices.status import Quality, Snapshot, Status
from qhal.errors import Busy, DeviceError, OutOfRange
from qhal.tags.pump import TagPump, TagSource
from qhal.tags.stream import DEFAULT_WAITING_TAGS, TagStream
from qhal.words import Worded

_BUSY_SHARE = 0.8
"""Streaming starts only below this fraction of the unit's limit: beyond it real units stop until restarted."""
_RATE_PERIOD_S = 0.1


class Edge(StrEnum):
    """The slope of a pulse on which it is tagged."""

    RISING = "rising"
    FALLING = "falling"


class Coupling(StrEnum):
    """How a pulse reaches the discriminator."""

    DC = "dc"
    AC = "ac"


class ClockReference(StrEnum):
    """What the tagger's time base is locked to."""

    INTERNAL = "internal"
    EXTERNAL = "external"


class TimeTaggerCapabilities(Capabilities):
    """Inputs 1..N, time resolution, limits of thresholds, delays, counting periods and the tag rate."""

    channels: int
    resolution_ps: int
    min_threshold_v: float
    max_threshold_v: float
    threshold_step_v: float
    max_delay_ps: int
    min_period_s: float
    max_period_s: float
    max_tag_rate_hz: float


class InputSettings(Worded):
    """How one input is set."""

    model_config = ConfigDict(frozen=True)

    enabled: bool
    threshold_v: float
    edge: Edge
    coupling: Coupling
    delay_ps: int

    def named(self, channel: int) -> dict[str, object]:
        """Return each setting by a name with the number of the input."""
        return {f"input_{channel}_{name}": value for name, value in self}


class InputCounts(Status):
    """Pulses on each input in one period that began after the request."""

    period_s: float
    counts: tuple[int, ...]

    @property
    def rates_hz(self) -> tuple[float, ...]:
        """Pulses per second on each input."""
        return tuple(count / self.period_s for count in self.counts)


class TimeTaggerStatus(Status):
    """Settings of every input (None: unknown), clock reference, and whether tags are being recorded."""

    inputs: tuple[InputSettings | None, ...]
    clock_reference: ClockReference | None
    streaming: bool


class TimeTagger(Interface[TimeTaggerCapabilities, TimeTaggerStatus]):
    """A multi-channel time tagger."""

    pump: TagPump

    def __init__(self) -> None:
        super().__init__()
        self._recording = self._make_recording()
        self.pump = TagPump(self.device.name, self._recording, self.device.clock)
        """The pump that reads the tags in a thread of its own."""

    def set_enabled(self, channel: int, on: bool) -> None:
        """Turn an input on or off. Raises Unsupported for an input that the unit does not have."""
        self._set(channel, "enabled", check_flag(self.device, "enabled", on))

    def set_threshold_v(self, channel: int, threshold_v: float) -> float:
        """Set the discriminator level of an input and return the level reached, volts."""
        limits = self.capabilities
        target = check_range(
            self.device, "threshold", threshold_v, limits.min_threshold_v, limits.max_threshold_v, "V"
        )
        return self._set(channel, "threshold_v", target).threshold_v

    def set_edge(self, channel: int, edge: Edge) -> None:
        """Set the slope on which an input is tagged."""
        self._set(channel, "edge", check_choice(self.device, "edge", edge, Edge))

    def set_coupling(self, channel: int, coupling: Coupling) -> None:
        """Set the coupling of an input."""
        self._set(channel, "coupling", check_choice(self.device, "coupling", coupling, Coupling))

    def set_delay_ps(self, channel: int, delay_ps: int) -> int:
        """Delay the pulses of an input and return the delay reached, picoseconds."""
        check_range(self.device, "delay", delay_ps, 0, self.capabilities.max_delay_ps, "ps")
        if delay_ps != int(delay_ps):
            raise OutOfRange(f"{self.device.name}: delay {delay_ps} is not a whole number of picoseconds")
        return self._set(channel, "delay_ps", int(delay_ps)).delay_ps

    def set_clock_reference(self, reference: ClockReference) -> None:
        """Lock the time base to a reference. Raises Busy while tags are recorded."""
        target = check_choice(self.device, "clock reference", reference, ClockReference)
        with self.device.exclusive("set_clock_reference", target.value):
            self._refuse_while_streaming("the clock reference")
            self._write_clock_reference(target)
            if self._read_clock_reference() is not target:
                raise DeviceError(f"{self.device.name}: the clock reference is not {target.value}")
            self.device.note_settings(clock_reference=target)

    def read_counts(self, period_s: float) -> InputCounts:
        """Count the pulses of all inputs for one period that begins after this call.

        Other verbs do not wait for it. Raises OutOfRange for a period that the unit cannot count, DeviceError when
        another thread changes a setting during the count.
        """
        limits = self.capabilities
        check_range(self.device, "period", period_s, limits.min_period_s, limits.max_period_s, "s")
        with self.device.counting():
            counts, counted_s = self._read_counts(period_s)
            with self.device.locked():
                check_counts(self.device, counts, limits.channels, counted_s)
        return InputCounts(time=now(), period_s=counted_s, counts=counts)

    def stream(self, waiting_tags: int = DEFAULT_WAITING_TAGS) -> TagStream:
        """Return a stream of the tags of all enabled inputs; use it in a ``with`` block.

        The first reader starts the recording, the last one that closes ends it. ``waiting_tags`` is how many
        may wait for this reader before batches are dropped for it (reported as gaps). Raises Busy when the inputs
        count more than 80 % of what the unit can stream.
        """
        check_range(self.device, "waiting_tags", waiting_tags, 1, 2**40, "tags")
        if not self.pump.running:
            self._refuse_high_rate()
        return TagStream(self.pump, waiting_tags)

    def _make_safe(self) -> SafeState:
        """Do nothing: a time tagger harms nothing behind it."""
        return SafeState.UNTOUCHED

    def status(self) -> TimeTaggerStatus:
        """Return one snapshot."""
        with self.device.locked():
            snapshot = Snapshot()
            for problem in snapshot.read(self._read_problems) or ():
                snapshot.note(problem, Quality.DEGRADED)
            return snapshot.taken(
                TimeTaggerStatus,
                inputs=tuple(snapshot.read(self._input, n) for n in range(1, self.capabilities.channels + 1)),
                clock_reference=snapshot.read(self._read_clock_reference),
                streaming=self.pump.running,
            )

    @property
    def setting_tolerances(self) -> Mapping[str, float]:
        """The resolution of the unit, by name of the setting."""
        step_v, inputs = self.capabilities.threshold_step_v, range(1, self.capabilities.channels + 1)
        return {f"input_{channel}_threshold_v": step_v for channel in inputs}

    def _read_settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = {"clock_reference": self.device.known(self._read_clock_reference)}
        for channel in range(1, self.capabilities.channels + 1):
            values = self.device.known(partial(self._input, channel))
            for name in InputSettings.model_fields:
                settings[f"input_{channel}_{name}"] = getattr(values, name, None)
        return settings

    def _input(self, channel: int) -> InputSettings:
        """Read all settings of an input. Raises ProtocolError for one that cannot be."""
        limits, values = self.capabilities, self._read_input(channel)
        for what, value, low, high, unit in (
            ("threshold", values.threshold_v, limits.min_threshold_v, limits.max_threshold_v, "V"),
            ("delay", values.delay_ps, 0, limits.max_delay_ps, "ps"),
        ):
            check_read(self.device, f"{what} of input {channel}", value, low, high, unit)
        return values

    def _refuse_high_rate(self) -> None:
        limit_hz = self.capabilities.max_tag_rate_hz
        rates = self.read_counts(_RATE_PERIOD_S).rates_hz
        if sum(rates) > _BUSY_SHARE * limit_hz:
            each = ", ".join(f"{rate:.4g}" for rate in rates)
            raise Busy(
                f"{self.device.name}: the inputs count {sum(rates):.4g} /s ({each}); "
                f"streaming starts below {_BUSY_SHARE:.0%} of the limit of {limit_hz:.4g} /s"
            )

    def _refuse_while_streaming(self, what: str) -> None:
        if self.pump.running:
            raise Busy(f"{self.device.name}: {what} cannot be changed while tags are recorded")

    def _set(self, channel: int, name: str, value: object) -> InputSettings:
        check_channel(self.device, channel, self.capabilities.channels, "input")
        with self.device.exclusive(f"set_{name}", (channel, value)):
            self._write_input(channel, name, value)
            readback = self._input(channel)
            self.device.note_settings(**readback.named(channel))
            reached = getattr(readback, name)
            tolerance = self.setting_tolerances.get(f"input_{channel}_{name}", 0.0)
            if not same_setting(value, reached, tolerance):
                raise DeviceError(
                    f"{self.device.name}: {name} of input {channel} is {reached}, {value} was set"
                )
        return readback

    @abstractmethod
    def _write_input(self, channel: int, name: str, value: object) -> None:
        """Send one setting of an input; ``name`` is a field of :class:`InputSettings`."""

    @abstractmethod
    def _read_input(self, channel: int) -> InputSettings:
        """Read all settings of an input."""

    @abstractmethod
    def _write_clock_reference(self, reference: ClockReference) -> None:
        """Send the clock reference."""

    @abstractmethod
    def _read_clock_reference(self) -> ClockReference:
        """Read the clock reference."""

    @abstractmethod
    def _read_counts(self, period_s: float) -> tuple[tuple[int, ...], float]:
        """Count for a period that begins now; return counts and the period counted in."""

    @abstractmethod
    def _read_problems(self) -> tuple[str, ...]:
        """Read the problems, in words."""

    @abstractmethod
    def _make_recording(self) -> TagSource:
        """Return what starts, reads and stops the recording of this tagger, for its pump."""
