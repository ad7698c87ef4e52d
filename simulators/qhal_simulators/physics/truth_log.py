"""The world's log of what was true, for checks; no driver and no analysis can read it."""

from bisect import bisect_left
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from qhal_simulators.physics.sender.light_pattern import LightPattern


@dataclass(frozen=True, eq=False, slots=True)
class Truth:
    """What held from ``start_s`` to ``stop_s`` of world time at the receiver.

    ``detected_per_light_s``: photons at the detectors' face per second of full light (before efficiency);
    ``photons_per_light_s`` the same at the sender's output. ``rotation``: from the sender's Stokes vectors to the
    receiver's. ``raman_hz`` and ``leak_hz``: Raman photons, and leaked ones with room light, per second at the
    receiver's four outputs together. ``classical_w``: classical power launched into the fibre. ``tagged_fraction`` (4):
    fraction of each detector's clicks that exceed the threshold of the tagger's input; ``noise_hz`` (4): tags that are
    not clicks.
    """

    start_s: float
    stop_s: float
    pattern: LightPattern
    photons_per_light_s: float
    detected_per_light_s: float
    rotation: NDArray[np.float64]
    efficiency: NDArray[np.float64]
    dark_count_rate_hz: NDArray[np.float64]
    dead_time_s: NDArray[np.float64]
    raman_hz: float
    leak_hz: float
    classical_w: float
    attenuation_db: float
    slot_s: float
    tagged_fraction: NDArray[np.float64]
    noise_hz: NDArray[np.float64]


class TruthLog:
    """The latest truths in order of time: ``kept`` entries at least, for a simulator may run for weeks.

    While no light arrives what turns only the light is left out, so that a dark link takes no memory.
    """

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._entries: list[Truth] = []

    def add(self, truth: Truth) -> None:
        """Append what held last; it begins where the one before ended."""
        if truth.stop_s <= truth.start_s:
            return
        if self._entries and _are_dark_alike(self._entries[-1], truth):
            self._entries[-1] = replace(truth, start_s=self._entries[-1].start_s)
            return
        self._entries.append(truth)
        if len(self._entries) > 2 * self._kept:
            del self._entries[: self._kept]

    def interval(self, start_s: float, stop_s: float) -> list[tuple[float, Truth]]:
        """Return what held in an interval, each with its duration in it. Raises ValueError when it is not there."""
        if (
            not self._entries
            or start_s < self._entries[0].start_s
            or stop_s > self._entries[-1].stop_s + 1e-6
        ):
            raise ValueError(f"{start_s} s to {stop_s} s is not in the log")
        first = bisect_left(self._entries, start_s, key=lambda truth: truth.stop_s)
        found = []
        for truth in self._entries[first:]:
            if truth.start_s >= stop_s:
                break
            found.append((min(stop_s, truth.stop_s) - max(start_s, truth.start_s), truth))
        return [(duration, truth) for duration, truth in found if duration > 0]


def _are_dark_alike(one: Truth, other: Truth) -> bool:
    """Tell whether two truths differ by the polarization and the sender's clock alone, without light to have either."""
    return (
        one.detected_per_light_s == other.detected_per_light_s == 0
        and one.photons_per_light_s == other.photons_per_light_s
        and one.pattern is other.pattern
        and one.dark_count_rate_hz is other.dark_count_rate_hz
        and one.efficiency is other.efficiency
        and one.tagged_fraction is other.tagged_fraction
        and one.noise_hz is other.noise_hz
        and (one.raman_hz, one.leak_hz, one.classical_w, one.attenuation_db)
        == (other.raman_hz, other.leak_hz, other.classical_w, other.attenuation_db)
    )
