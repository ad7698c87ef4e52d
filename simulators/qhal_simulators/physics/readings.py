"""What an instrument simulator can read of the world, by kind of instrument.

A world passes an object of these interfaces to the instrument at construction; an instrument that stands alone makes
its own.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Tags = tuple[NDArray[np.int64], NDArray[np.uint8]]
"""Times in ps of the tagger's clock, and inputs 1 to 4."""


class SwitchReadings(Protocol):
    """The power monitors of an optical switch."""

    def power_dbm(self, port: int) -> float | None:
        """Return the optical power that enters at an ingress or leaves at an egress; None where no light can be."""
        ...


class DetectorReadings(Protocol):
    """The read-out of superconducting detectors.

    ``counting``: clicks are counted. Clicks are drawn only while an instrument counts or records.
    """

    counting: bool

    def counts(self) -> tuple[int, ...]:
        """Return the clicks of each detector that were counted since the start."""
        ...

    def voltages_v(self) -> tuple[float, ...]:
        """Return the voltage over each bias line."""
        ...

    def latched(self) -> tuple[bool, ...]:
        """Return whether each detector is latched."""
        ...

    def temperatures_k(self) -> tuple[float, float]:
        """Return the temperatures of the cold stage and of the 40 K stage."""
        ...


class TaggerReadings(Protocol):
    """The tags and counts of a time tagger, and its clock.

    ``recording``: tags are stored until :meth:`take_tags`. ``counting``: tags are counted. Without either, and without
    counting detectors, no clicks are drawn. ``counts_past_s``: how far back :meth:`count_past` reaches.
    ``interpolator_bins``: bins in a tick of the clock, at which the tagger itself starts records and pulses.
    """

    recording: bool
    counting: bool
    counts_past_s: float
    interpolator_bins: int

    def take_tags(self) -> Tags:
        """Return all tags since the last call, ascending: times since world time 0 by the tagger's clock, inputs."""
        ...

    def counts(self) -> tuple[int, ...]:
        """Return the number of tags of each input that were drawn since the start."""
        ...

    def count_past(self, start_s: float, stop_s: float) -> tuple[int, ...]:
        """Return the number of tags of each input in a past span that was not drawn."""
        ...

    def drawn_since_s(self) -> float:
        """Return since when clicks are drawn without a pause; infinite while none are drawn."""
        ...

    def overflows(self) -> int:
        """Return how often the tagger's buffer overflowed since the start, apart from what rates do."""
        ...

    def clock_ps(self, world_s: float) -> int:
        """Return what the tagger's clock reads at a world time."""
        ...
