"""Clicks and tags, drawn by the compiled kernels over segments in which nothing changes."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from math import erf

import numpy as np
from numpy.typing import NDArray

from qhal_simulators.physics.readings import Tags
from qhal_simulators.physics.readout.background_chain import MIDDLE, NEVER_S, BackgroundChain
from qhal_simulators.physics.readout.click_kernels import (
    PENDING_FULL,
    Clock,
    Detectors,
    Events,
    Inputs,
    Memory,
    detect_and_tag,
)
from qhal_simulators.physics.readout.draw_kernels import QUANTILES, frame_exponential
from qhal_simulators.physics.readout.event_kernels import FRAME_S, Analysers, Light, Slots, signal_events
from qhal_simulators.physics.sender.light_pattern import LightPattern

_BUFFER_EVENTS = 1 << 16
_PENDING_AFTERPULSES = 64


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Segment:
    """A span of true time at the receiver in which nothing changes.

    ``scale``: detected events per second of full light, for the best detector. ``axes`` (2, 4): analysers of the two
    bases seen from the sender. ``weights`` (4): efficiency times fraction of the light, relative to the best.
    ``background_hz`` (4): dark counts and stray light. ``slots``: when the sender's slots arrive; ``clock``: of the
    tagger. ``played_s``: when the sender began to play the pattern, by which each playing is another draw.
    """

    pattern: LightPattern
    scale: float
    axes: NDArray[np.float64]
    weights: NDArray[np.float64]
    background_hz: NDArray[np.float64]
    slots: Slots
    clock: Clock
    played_s: float

    @property
    def frame_slots(self) -> int:
        """Slots in a frame of the signal's draws."""
        return max(1, int(FRAME_S / self.pattern.slot_s))

    def position(self, true_s: float) -> float:
        """Return the sender's position, in slots since the pattern began, at a true time."""
        return self.slots.origin_position + (true_s - self.slots.origin_s) / self.slots.slot_s

    def true_s(self, position: float) -> float:
        """Return the true time of a position."""
        return self.slots.origin_s + (position - self.slots.origin_position) * self.slots.slot_s


class ClickSampler:
    """The two chains of events, the detectors' dead times and the tags that come of them."""

    def __init__(
        self,
        seed: int,
        detectors: Detectors,
        intensity_noise: float = 0.0,
    ) -> None:
        self._signal_key, background_key, self._click_key, self._noise_key = (
            key_of(seed, part) for part in (1, 2, 3, 4)
        )
        self._background = BackgroundChain(background_key)
        self._detectors = detectors
        self._brightest, self._dimming = _dimming(intensity_noise)
        self._playing_key, self._playing_s = self._signal_key, 0.0
        self._signal = np.zeros(3, np.int64)
        self._signal_energy = np.zeros(1)
        self._signal_left = 0.0
        self._memory = Memory(
            last_s=np.full(4, -NEVER_S),
            clicks=np.zeros(4, np.int64),
            tags=np.zeros(4, np.int64),
            pending_s=np.full((4, _PENDING_AFTERPULSES), NEVER_S),
            pending_count=np.zeros(4, np.int64),
        )
        self._segment: Segment | None = None
        self.ended_s = 0.0
        self._next_slot = 0
        self._buffers: tuple[tuple[NDArray[np.float64], NDArray[np.int32]], ...] = ()

    @property
    def clicks(self) -> NDArray[np.int64]:
        """Clicks of each detector since the start that its electronics counted."""
        return self._memory.clicks

    @property
    def tags(self) -> NDArray[np.int64]:
        """Tags of each input since the start."""
        return self._memory.tags

    def begin(self, segment: Segment, start_s: float, *, afresh: bool = False) -> None:
        """Start a segment at the end of what was drawn; what is left of each chain's way is carried over.

        ``afresh``: nothing was drawn before, so that the detectors remember nothing. What is drawn is the same as if it
        had been, from the next frame on at the latest; so are the clicks as soon as such a memory has faded.
        """
        # Candidates are drawn as if every pulse were the brightest.
        self._segment = segment = replace(segment, scale=segment.scale * self._brightest)
        if afresh:
            self._memory.last_s[:] = -NEVER_S
            self._memory.pending_count[:] = 0
        # A start that is a slot's start up to rounding must not skip that slot.
        self._next_slot = max(0, int(np.ceil(segment.position(start_s) - 1e-6)))
        self._begin_signal(segment, self._next_slot, afresh=afresh)
        self._background.begin(segment.background_hz, start_s, afresh=afresh)

    def _begin_signal(self, segment: Segment, slot: int, *, afresh: bool) -> None:
        if segment.scale <= 0:
            self._signal[0] = -1
            return
        again = segment.played_s == self._playing_s
        if not again:
            (bits,) = struct.unpack("<Q", struct.pack("<d", segment.played_s))
            self._playing_s, self._playing_key = segment.played_s, key_of(int(self._signal_key), bits)
        frame, within_frame = divmod(slot, segment.frame_slots)
        period, within = divmod(slot, len(segment.pattern))
        carried = again and not afresh and self._signal[0] == frame
        if carried:
            left, number = self._signal_left, self._signal[1]
        else:
            number = MIDDLE + within_frame if within_frame else 0
            left = frame_exponential(self._playing_key, frame, number)
        self._signal[:] = frame, number, period
        self._signal_energy[0] = segment.pattern.cumulative_s[within] + left / segment.scale

    def advance(self, until_s: float, inputs: Inputs) -> Iterator[Tags]:
        """Yield the tags of all slots that end before ``until_s``."""
        segment = self._segment
        assert segment is not None
        yield from self._advance(segment, int(np.floor(segment.position(until_s))), inputs)

    def end(self, stop_s: float, inputs: Inputs) -> Iterator[Tags]:
        """Yield the tags up to the end of the slot that ``stop_s`` falls into, and leave the segment.

        Afterwards ``ended_s`` is the time at which the next one begins.
        """
        segment = self._segment
        assert segment is not None
        stop_slot = max(self._next_slot, int(np.ceil(segment.position(stop_s) - 1e-6)))
        yield from self._advance(segment, stop_slot, inputs)
        self.ended_s = max(stop_s, segment.true_s(stop_slot))
        if segment.scale > 0:
            period, within = divmod(stop_slot, len(segment.pattern))
            ahead = (int(self._signal[2]) - period) * segment.pattern.cumulative_s[-1]
            ahead += self._signal_energy[0] - segment.pattern.cumulative_s[within]
            self._signal_left = max(0.0, ahead * segment.scale)
        self._background.end(self.ended_s)

    def _advance(self, segment: Segment, stop_slot: int, inputs: Inputs) -> Iterator[Tags]:
        # Where the pieces end changes nothing.
        while self._next_slot < stop_slot:
            stop = min(stop_slot, self._piece_end(segment))
            yield self._draw(segment, stop, inputs)
            self._next_slot = stop

    def _piece_end(self, segment: Segment) -> int:
        """Return the end of a piece whose events surely fit the buffers: half of them are expected."""
        room = _BUFFER_EVENTS / 2
        ends = [self._next_slot + (1 << 40)]
        if segment.scale > 0:
            cumulative = segment.pattern.cumulative_s
            period, within = divmod(self._next_slot, len(segment.pattern))
            periods, energy = divmod(cumulative[within] + room / segment.scale, cumulative[-1])
            slot = int(np.searchsorted(cumulative, energy, side="right")) - 1
            ends.append((period + int(periods)) * len(segment.pattern) + slot)
        total = float(segment.background_hz.sum())
        if total > 0:
            ends.append(self._next_slot + int(room / total / segment.slots.slot_s))
        return max(self._next_slot + 1, min(ends))

    def _draw(self, segment: Segment, stop_slot: int, inputs: Inputs) -> Tags:
        stop_s = segment.true_s(stop_slot)
        if not self._buffers:
            self._buffers = tuple(
                (np.empty(_BUFFER_EVENTS), np.empty(_BUFFER_EVENTS, np.int32)) for _ in "12"
            )
        (signal_s, signal_marks), (background_s, background_marks) = self._buffers
        signal = 0
        more = False
        if segment.scale > 0:
            signal, more = signal_events(
                self._playing_key,
                self._signal,
                self._signal_energy,
                segment.frame_slots,
                stop_slot,
                segment.scale,
                _light_of(segment.pattern),
                Analysers(segment.axes, segment.weights, self._noise_key, self._dimming),
                segment.slots,
                signal_s,
                signal_marks,
            )
        background = self._background.draw(stop_s, background_s, background_marks)
        if more or background == _BUFFER_EVENTS:
            raise OverflowError("more events than twice the mean in one piece")
        # An afterpulse can follow each click, and each afterpulse; what is pending may come, too.
        room = signal + background
        if self._detectors.afterpulse_probability.any():
            room = 2 * room + 4 * _PENDING_AFTERPULSES
        times, channels = np.empty(room, np.int64), np.empty(room, np.uint8)
        filled = detect_and_tag(
            self._click_key,
            Events(signal_s, signal_marks, signal),
            Events(background_s, background_marks, background),
            stop_s,
            self._detectors,
            self._memory,
            segment.clock,
            inputs,
            times,
            channels,
        )
        if filled < 0:
            raise OverflowError(
                "more afterpulses than this sampler keeps"
                if filled == PENDING_FULL
                else "more tags than events"
            )
        return times[:filled], channels[:filled]


def _light_of(pattern: LightPattern) -> Light:
    return Light(
        cumulative=pattern.cumulative_s,
        guide=pattern.guide,
        shapes=pattern.shapes,
        kind_of_slot=pattern.kind,
        kinds=pattern.kinds,
    )


def key_of(seed: int, part: int) -> np.uint64:
    """Return the key of a part's draws."""
    low, high = np.random.SeedSequence((seed, part)).generate_state(2, np.uint32).tolist()
    return np.uint64(low | high << 32)


def _dimming(noise: float) -> tuple[float, NDArray[np.float64]]:
    """Return the brightest pulse's intensity over the mean, and quantiles of how many times dimmer a pulse is.

    None without noise.
    """
    if noise == 0:
        return 1.0, np.empty(0)
    intensity = np.maximum(1 + noise * normal_quantiles(), 0.01)
    intensity /= intensity.mean()
    return float(intensity[-1]), intensity[-1] / intensity


@cache
def normal_quantiles() -> NDArray[np.float64]:
    """Return the standard normal quantiles of ``QUANTILES`` equal steps."""
    grid = np.linspace(-6, 6, 24001)
    cumulative = np.array([(1 + erf(x / np.sqrt(2))) / 2 for x in grid])
    quantiles: NDArray[np.float64] = np.interp((np.arange(QUANTILES) + 0.5) / QUANTILES, cumulative, grid)
    return quantiles
