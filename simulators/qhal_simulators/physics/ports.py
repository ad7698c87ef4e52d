"""What an instrument simulator may touch of the world: its own port, and nothing else.

A port holds the settings that the instrument applies to the light. Without a world it is a plain
record, so that a single instrument can be simulated alone; inside a world ``on_change`` is set, is
called after every change, and the light downstream changes at that moment of world time.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


def _nothing() -> None:
    return None


@dataclass(slots=True)
class Port:
    """Settings of one part of the world; ``update`` changes them and tells the world."""

    on_change: Callable[[], None] = field(default=_nothing, repr=False, kw_only=True)

    @property
    def alone(self) -> bool:
        """Whether no world is wired to it."""
        return self.on_change is _nothing

    def update(self, **settings: object) -> None:
        """Set the named fields together, then tell the world once. Raises AttributeError for a wrong name."""
        for name, value in settings.items():
            setattr(self, name, value)
        self.on_change()


@dataclass(slots=True)
class LaserPort(Port):
    """A continuous laser: optical output, power at its connector and optical frequency."""

    enabled: bool = False
    power_dbm: float = 10.0
    frequency_thz: float = 193.4


@dataclass(slots=True)
class AttenuatorPort(Port):
    """A variable attenuator: its total loss now (insertion loss included)."""

    attenuation_db: float = 60.0


@dataclass(slots=True)
class SwitchPort(Port):
    """An optical switch: the pairs that are connected, and the ports whose light is still interrupted.

    ``size``: numbers of ingress and egress ports; egress ports count on after the ingress ones. ``pairs`` maps ingress
    to egress. ``moving`` holds the ingress ports in transition; they carry no light. ``moves``: how often each ingress
    was steered. ``read_power_dbm`` tells the optical power that enters at an ingress or leaves at an egress, None where
    no light can be.
    """

    size: tuple[int, int] = (16, 16)
    pairs: Mapping[int, int] = field(default_factory=dict)
    moving: frozenset[int] = frozenset()
    moves: Mapping[int, int] = field(default_factory=dict)
    read_power_dbm: Callable[[int], float | None] = field(default=lambda port: None, repr=False)


@dataclass(slots=True)
class PaddlePort(Port):
    """A paddle polarization controller: the angle of every paddle, radians."""

    angles_rad: tuple[float, ...] = (0.0, 0.0, 0.0)


@dataclass(slots=True)
class WaveformPort(Port):
    """A pattern generator: what each analog output plays, over and over, from sample 0 at ``started_s``.

    ``volts`` maps a channel with its output on to one period of samples at the connector (float32);
    an absent channel gives 0 V. ``started_s`` is world time.
    """

    running: bool = False
    started_s: float = 0.0
    sample_rate_hz: float = 1.2e9
    volts: Mapping[int, NDArray[np.float32]] = field(default_factory=dict)


@dataclass(slots=True)
class DetectorPort(Port):
    """Superconducting detectors: bias on or off for all, bias current and trigger level of each.

    Clicks are drawn only while ``counting``, or the tagger records or counts.
    The callables read the world as it is now: total clicks of each detector that were drawn since the start
    (integers), voltage over each bias line in volts, whether each is latched, and the temperatures
    of the cold stage and the 40 K stage.
    """

    enabled: bool = False
    bias_ua: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    trigger_mv: tuple[float, ...] = (100.0, 100.0, 100.0, 100.0)
    counting: bool = False
    read_clicks: Callable[[], tuple[int, ...]] = field(default=lambda: (0, 0, 0, 0), repr=False)
    read_voltages_v: Callable[[], tuple[float, ...]] = field(default=lambda: (0.0,) * 4, repr=False)
    read_latched: Callable[[], tuple[bool, ...]] = field(default=lambda: (False,) * 4, repr=False)
    read_temperatures_k: Callable[[], tuple[float, float]] = field(default=lambda: (2.5, 40.0), repr=False)


def _no_tags() -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    return np.empty(0, np.int64), np.empty(0, np.uint8)


@dataclass(slots=True)
class TaggerPort(Port):
    """A time tagger's inputs and its time base.

    Settings are by input 1..N: enabled, threshold in volts, delay in picoseconds. ``resolution_ps``
    is the bin width. The callables read the world: ``take_tags`` returns all tags since its last
    call as (times in ps of the tagger's own clock since world time 0, inputs), ascending, up to now;
    ``read_clicks`` the total of each input of what was drawn since the start; ``clock_ps`` converts world seconds to
    picoseconds of the tagger's clock. Tags are kept for ``take_tags`` only while ``recording``.
    Clicks are drawn only while ``recording`` or ``counting``: without a pause since ``read_drawn_since_s()`` (inf: not
    now). ``count_past(start_s, stop_s)`` returns the tags of each input in a span of the past that was not drawn, not
    earlier than ``counts_past_s`` ago.
    ``read_overflows``: how often the buffer overflowed since the start, apart from what rates do.
    ``interpolator_bins``: so many bins are a tick of its clock, at which the tagger itself begins things.
    """

    enabled: tuple[bool, ...] = (False, False, False, False)
    threshold_v: tuple[float, ...] = (0.1, 0.1, 0.1, 0.1)
    delay_ps: tuple[int, ...] = (0, 0, 0, 0)
    resolution_ps: int = 100
    interpolator_bins: int = 1
    recording: bool = False
    counting: bool = False
    counts_past_s: float = 0.0
    take_tags: Callable[[], tuple[NDArray[np.int64], NDArray[np.uint8]]] = field(default=_no_tags, repr=False)
    read_clicks: Callable[[], tuple[int, ...]] = field(default=lambda: (0, 0, 0, 0), repr=False)
    clock_ps: Callable[[float], int] = field(default=lambda world_s: round(world_s * 1e12), repr=False)
    read_overflows: Callable[[], int] = field(default=lambda: 0, repr=False)
    read_drawn_since_s: Callable[[], float] = field(default=lambda: 0.0, repr=False)
    count_past: Callable[[float, float], tuple[int, ...]] = field(
        default=lambda a, b: (0, 0, 0, 0), repr=False
    )
