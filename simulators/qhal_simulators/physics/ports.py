"""Settings that an instrument simulator applies to the light, by its own port and to nothing else.

A port holds the settings of one part of the world. Inside a world each change acts on the light downstream at that
moment of world time; without a world a port is a plain store. What an instrument reads of the world comes to it apart:
see :mod:`~qhal_simulators.physics.readings`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Base of the settings of a part of the world; a change makes a new object."""


@dataclass(frozen=True, kw_only=True)
class LaserSettings(Settings):
    """A continuous laser: optical output, power at its connector and optical frequency."""

    enabled: bool = False
    power_dbm: float = 10.0
    frequency_thz: float = 193.4


@dataclass(frozen=True, kw_only=True)
class AttenuatorSettings(Settings):
    """A variable attenuator: its total loss (insertion loss included)."""

    attenuation_db: float = 60.0


@dataclass(frozen=True, kw_only=True)
class SwitchSettings(Settings):
    """An optical switch: the connected pairs, and the ports whose light is interrupted.

    ``size``: numbers of ingress and egress ports; egress ports count on after the ingress ones. ``pairs`` maps ingress
    to egress. ``moving``: ingress ports in transition; they carry no light. ``moves``: how often each ingress was
    steered.
    """

    size: tuple[int, int] = (16, 16)
    pairs: Mapping[int, int] = field(default_factory=dict)
    moving: frozenset[int] = frozenset()
    moves: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PaddleSettings(Settings):
    """A paddle polarization controller: the angle of every paddle, radians."""

    angles_rad: tuple[float, ...] = (0.0, 0.0, 0.0)


@dataclass(frozen=True, kw_only=True)
class WaveformSettings(Settings):
    """A pattern generator: the waveform that each analog output repeats, from sample 0 at ``started_s``.

    ``volts`` maps a channel with its output on to one period of samples at the connector (float32); an absent channel
    gives 0 V. ``started_s`` is world time.
    """

    running: bool = False
    started_s: float = 0.0
    sample_rate_hz: float = 1.2e9
    volts: Mapping[int, NDArray[np.float32]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class DetectorSettings(Settings):
    """Superconducting detectors: bias on or off for all, bias current and trigger level of each."""

    enabled: bool = False
    bias_ua: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    trigger_mv: tuple[float, ...] = (100.0, 100.0, 100.0, 100.0)


@dataclass(frozen=True, kw_only=True)
class TaggerSettings(Settings):
    """A time tagger's inputs 1 to 4: enabled, threshold, delay of each; ``resolution_ps`` is the bin width."""

    enabled: tuple[bool, ...] = (False, False, False, False)
    threshold_v: tuple[float, ...] = (0.1, 0.1, 0.1, 0.1)
    delay_ps: tuple[int, ...] = (0, 0, 0, 0)
    resolution_ps: int = 100


SettingsT = TypeVar("SettingsT", bound=Settings)


def _nothing() -> None:
    return None


class Port(Generic[SettingsT]):
    """The settings of one part of the world. ``changed`` is called after every change."""

    def __init__(self, settings: SettingsT, changed: Callable[[], None] = _nothing) -> None:
        self.settings = settings
        self._changed = changed

    def apply(self, settings: SettingsT) -> None:
        """Replace all settings together."""
        self.settings = settings
        self._changed()

    def update(self, **changes: Any) -> None:
        """Replace the named settings together. Raises TypeError for an unknown name."""
        self.apply(replace(self.settings, **changes))


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the world as its instrument meets it: a port for settings, and readings (None: nothing to read)."""

    port: Port[Any]
    readings: Any = None
