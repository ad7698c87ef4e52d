"""Draws the clicks and tags of a link, one stretch in which nothing changes after the other."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qhal_simulators.physics.readings import Tags
from qhal_simulators.physics.readout.click_kernels import Detectors, Inputs
from qhal_simulators.physics.readout.click_sampler import ClickSampler, Segment
from qhal_simulators.physics.readout.electronic_noise import ElectronicNoise
from qhal_simulators.physics.receiver.pulse_thresholds import Thresholds


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Stretch:
    """Everything that tags are drawn from, constant from ``start_s`` of world time until the next change."""

    start_s: float
    segment: Segment
    inputs: Inputs
    thresholds: Thresholds


class Drawing:
    """Clicks, electronic noise, and the tags of both.

    What is drawn of a stretch does not depend on whether those before it were, but for the first millisecond at most.
    """

    def __init__(self, seed: int, detectors: Detectors, intensity_noise: float) -> None:
        self._sampler = ClickSampler(seed, detectors, intensity_noise)
        self._noise = ElectronicNoise(seed)
        self._stretch: Stretch | None = None

    @property
    def clicks(self) -> NDArray[np.int64]:
        """What the detectors' own counter counted of all that was drawn."""
        return self._sampler.clicks + self._noise.counted

    @property
    def tags(self) -> NDArray[np.int64]:
        """Tags of each input of all that was drawn."""
        return self._sampler.tags + self._noise.tagged

    @property
    def has_noise(self) -> bool:
        """Whether there were tags of electronic noise."""
        return bool(self._noise.tagged.any())

    def start(self, stretch: Stretch, at_s: float) -> None:
        """Begin to draw within a stretch, with nothing drawn before."""
        self._stretch = stretch
        self._sampler.begin(stretch.segment, at_s, afresh=True)
        self._noise.begin(stretch.thresholds, at_s, afresh=True)

    def go_on(self, stretch: Stretch) -> None:
        """Begin the next stretch, where the one before ended."""
        self._stretch = stretch
        self._sampler.begin(stretch.segment, max(stretch.start_s, self._sampler.ended_s))
        self._noise.begin(stretch.thresholds, stretch.start_s, afresh=False)

    def advance(self, until_s: float) -> Iterator[Tags]:
        """Yield the tags before ``until_s``."""
        stretch = self._stretch
        assert stretch is not None
        yield from self._sampler.advance(until_s, stretch.inputs)
        yield from self._noise.advance(until_s, stretch.segment.clock, stretch.inputs)

    def end(self, stop_s: float) -> Iterator[Tags]:
        """Yield the tags up to the end of the stretch."""
        stretch = self._stretch
        assert stretch is not None
        yield from self._sampler.end(stop_s, stretch.inputs)
        yield from self._noise.advance(stop_s, stretch.segment.clock, stretch.inputs)
        self._noise.end(stop_s)
