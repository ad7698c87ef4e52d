"""Tags and counts of electronic noise: Poisson chains at the tagger's inputs and at the detectors' own counter."""

from collections.abc import Iterator

import numpy as np

from qhal_simulators.physics.readings import Tags
from qhal_simulators.physics.readout.background_chain import BackgroundChain, pieces
from qhal_simulators.physics.readout.click_kernels import Clock, Events, Inputs, tag_at_once
from qhal_simulators.physics.readout.click_sampler import key_of
from qhal_simulators.physics.receiver.pulse_thresholds import Thresholds

_BUFFER_EVENTS = 1 << 15
_TAGGER_NOISE, _COUNTER_NOISE = 5, 6


class ElectronicNoise:
    """Draws the noise at tagger and counter; ``tagged`` and ``counted``: totals of each input."""

    def __init__(self, seed: int) -> None:
        self.tagged, self.counted = np.zeros(4, np.int64), np.zeros(4, np.int64)
        self._inputs = BackgroundChain(key_of(seed, _TAGGER_NOISE))
        self._counter = BackgroundChain(key_of(seed, _COUNTER_NOISE))

    def begin(self, thresholds: Thresholds, start_s: float, *, afresh: bool) -> None:
        """Begin a stretch of equal rates."""
        self._inputs.begin(thresholds.noise_hz, start_s, afresh=afresh)
        self._counter.begin(thresholds.counter_noise_hz, start_s, afresh=afresh)

    def advance(self, until_s: float, clock: Clock, inputs: Inputs) -> Iterator[Tags]:
        """Yield the tags of noise before ``until_s``."""
        for _, marks, filled in pieces(self._counter, until_s, _BUFFER_EVENTS):
            self.counted += np.bincount(marks[:filled] & 3, minlength=4)
        for times_s, marks, filled in pieces(self._inputs, until_s, _BUFFER_EVENTS):
            self.tagged += np.bincount(marks[:filled] & 3, minlength=4)
            times, channels = np.empty(filled, np.int64), np.empty(filled, np.uint8)
            tag_at_once(Events(times_s, marks, filled), clock, inputs, times, channels)
            yield times, channels

    def end(self, stop_s: float) -> None:
        """End a stretch; the remaining wait for each next event is carried over."""
        self._inputs.end(stop_s)
        self._counter.end(stop_s)
