"""Pattern generators: volts, samples and markers, played over and over.

What the voltages do to a modulator is known above this interface, from the modulator's calibration.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qhal.devices.declaration import Capabilities
from qhal.devices.interface import Interface, SafeState, check_channel, check_flag, check_range, check_read
from qhal.devices.status import Quality, Snapshot, Status
from qhal.errors import DeviceError, OutOfRange


class PatternGeneratorCapabilities(Capabilities):
    """Limits of a generator. ``idle_v``: the level when stopped, None when it is not known."""

    channels: int
    min_sample_rate_hz: float
    max_sample_rate_hz: float
    min_points: int
    max_points: int
    max_amplitude_vpp: float
    max_offset_v: float
    resolution_bits: int
    idle_v: float | None


class PatternGeneratorStatus(Status):
    """What is set and whether it plays; None is unknown."""

    running: bool | None
    sample_rate_hz: float | None
    reference: str | None
    outputs: tuple[bool | None, ...]


class Played(NamedTuple):
    """The arguments of a :meth:`PatternGenerator.play`."""

    volts: Mapping[int, NDArray[np.floating]]
    sample_rate_hz: float
    reference: str


def _simply(reader: Callable[..., Any], *args: Any) -> Any:
    return reader(*args)


class PatternGenerator(Interface[PatternGeneratorCapabilities, PatternGeneratorStatus]):
    """Plays one waveform per channel, endlessly, all with one clock."""

    played: "Played | None"

    def __init__(self) -> None:
        super().__init__()
        self.played = None
        """What this object loaded last; None when something else may be loaded."""

    def play(
        self, volts: Mapping[int, NDArray[np.floating]], sample_rate_hz: float, *, reference: str = "internal"
    ) -> None:
        """Stop, load a waveform per channel, turn these outputs on and run.

        ``volts``: volts at the connector, one value a sample, the same number for every channel. ``reference``:
        "internal" or "external" (10 MHz). Raises OutOfRange and Unsupported for what does not fit (then nothing
        was sent), DeviceError when the generator refuses or does not run.
        """
        self._check(volts, sample_rate_hz, reference)
        with self.device.exclusive("play", f"{len(volts)} channels at {sample_rate_hz:g} Sa/s"):
            self.played = None
            self._stop()
            for channel in range(1, self.capabilities.channels + 1):
                self._write_output(channel, False)
            self._write_reference(reference)
            self._write_sample_rate_hz(sample_rate_hz)
            for channel, waveform in volts.items():
                self._load(channel, np.asarray(waveform, np.float64))
            for channel in volts:
                self._write_output(channel, True)
            self._run()
            if not self._read_running():
                raise DeviceError(f"{self.device.name}: does not run after starting")
            self.played = Played(volts, sample_rate_hz, reference)
            self.device.note_settings(**self._play_settings())

    def stop(self) -> None:
        """Stop playing. The outputs stay on, at the idle level."""
        with self.device.exclusive("stop"):
            self._stop()
            self.device.note_settings(**self._play_settings())

    def start(self) -> None:
        """Play again what is loaded. Raises DeviceError when nothing is, or it does not run."""
        with self.device.exclusive("start"):
            self._run()
            if not self._read_running():
                raise DeviceError(f"{self.device.name}: does not run after starting")
            self.device.note_settings(**self._play_settings())

    def set_output(self, channel: int, on: bool) -> None:
        """Turn one channel's output (with its markers) on or off. Raises Unsupported, DeviceError."""
        check_channel(self.device, channel, self.capabilities.channels)
        check_flag(self.device, "output", on)
        with self.device.exclusive("set_output", (channel, on)):
            self._write_output(channel, on)
            self.device.note_settings(**self._play_settings())

    def read_running(self) -> bool:
        """Return whether it plays."""
        with self.device.locked():
            return self._read_running()

    def _make_safe(self) -> SafeState:
        """Stop and turn all outputs off.

        Their 0 V are not a dark state of a biased modulator: close the attenuator or the laser too.
        """
        with self.device.exclusive("make_safe"):
            self._stop()
            for channel in range(1, self.capabilities.channels + 1):
                self._write_output(channel, False)
            settings = self._play_settings()
            self.device.note_settings(**settings)
            if settings["running"] or any(settings["outputs"]):
                raise DeviceError(
                    f"{self.device.name}: running {settings['running']}, outputs {settings['outputs']} after stopping"
                )
        return SafeState.VERIFIED

    def status(self) -> PatternGeneratorStatus:
        """Return one snapshot."""
        with self.device.locked():
            snapshot = Snapshot()
            for problem in snapshot.read(self._read_problems) or ():
                snapshot.note(problem, Quality.DEGRADED)
            return snapshot.taken(PatternGeneratorStatus, **self._play_settings(snapshot.read))

    def _play_settings(self, read: Callable[..., Any] = _simply) -> dict[str, Any]:
        """Read the values of a status, each by ``read``."""
        channels = range(1, self.capabilities.channels + 1)
        return {
            "running": read(self._read_running),
            "sample_rate_hz": read(self._sample_rate_hz),
            "reference": read(self._read_reference),
            "outputs": tuple(read(self._read_output, channel) for channel in channels),
        }

    def _read_settings(self) -> dict[str, Any]:
        return self._play_settings(lambda reader, *args: self.device.known(partial(reader, *args)))

    def _sample_rate_hz(self) -> float:
        limits, rate_hz = self.capabilities, self._read_sample_rate_hz()
        return check_read(
            self.device, "sample rate", rate_hz, limits.min_sample_rate_hz, limits.max_sample_rate_hz, "Sa/s"
        )

    def _check(
        self, volts: Mapping[int, NDArray[np.floating]], sample_rate_hz: float, reference: str
    ) -> None:
        limits, name = self.capabilities, self.device.name
        check_range(
            self.device,
            "sample rate",
            sample_rate_hz,
            limits.min_sample_rate_hz,
            limits.max_sample_rate_hz,
            "Sa/s",
        )
        if not isinstance(reference, str) or reference not in ("internal", "external"):
            raise OutOfRange(f"{name}: reference {reference!r}, allowed are 'internal' and 'external'")
        if not isinstance(volts, Mapping) or not volts:
            raise OutOfRange(f"{name}: waveforms {volts!r}; a mapping of channel to volts is needed")
        if wrong := [channel for channel, waveform in volts.items() if not _is_waveform(waveform)]:
            raise OutOfRange(f"{name}: the waveform of channel {wrong[0]!r} is not a row of real numbers")
        lengths = {channel: len(waveform) for channel, waveform in volts.items()}
        for channel, waveform in volts.items():
            check_channel(self.device, channel, limits.channels)
            if not limits.min_points <= len(waveform) <= limits.max_points:
                raise OutOfRange(
                    f"{name}: {len(waveform)} points on channel {channel},"
                    f" allowed are {limits.min_points} to {limits.max_points}"
                )
            low, high = float(np.min(waveform)), float(np.max(waveform))
            reach = limits.max_amplitude_vpp / 2
            if not (np.isfinite(low) and np.isfinite(high)) or high - low > limits.max_amplitude_vpp:
                raise OutOfRange(
                    f"{name}: channel {channel} swings from {low:g} to {high:g} V,"
                    f" at most {limits.max_amplitude_vpp:g} Vpp fit"
                )
            if max(abs(low), abs(high)) > limits.max_offset_v + reach:
                raise OutOfRange(
                    f"{name}: channel {channel} reaches {low:g} to {high:g} V,"
                    f" offsets end at {limits.max_offset_v:g} V"
                )
        if len(set(lengths.values())) != 1:
            raise OutOfRange(f"{name}: waveforms of different lengths, by channel: {lengths}")

    @abstractmethod
    def _load(self, channel: int, volts: NDArray[np.float64]) -> None:
        """Send a waveform and assign it to a channel."""

    @abstractmethod
    def _write_output(self, channel: int, on: bool) -> None:
        """Turn an output on or off."""

    @abstractmethod
    def _write_sample_rate_hz(self, sample_rate_hz: float) -> None:
        """Set the sample clock and wait until it is stable."""

    @abstractmethod
    def _write_reference(self, reference: str) -> None:
        """Choose the internal or the external 10 MHz reference."""

    @abstractmethod
    def _run(self) -> None:
        """Start playing."""

    @abstractmethod
    def _stop(self) -> None:
        """Stop playing."""

    @abstractmethod
    def _read_running(self) -> bool:
        """Read whether it plays."""

    @abstractmethod
    def _read_sample_rate_hz(self) -> float:
        """Read the sample rate."""

    @abstractmethod
    def _read_reference(self) -> str:
        """Read the reference: "internal" or "external"."""

    @abstractmethod
    def _read_output(self, channel: int) -> bool:
        """Read whether an output is on."""

    @abstractmethod
    def _read_problems(self) -> tuple[str, ...]:
        """Read the errors, in words."""


def _is_waveform(values: object) -> bool:
    row = np.asarray(values)
    return row.ndim == 1 and row.dtype.kind in "iuf"
