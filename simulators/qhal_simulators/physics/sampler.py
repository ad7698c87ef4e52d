"""Runs the click kernels over segments in which nothing changes."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import erf

import numpy as np
from numpy.typing import NDArray

from qhal_simulators.physics import kernels
from qhal_simulators.physics.waveform import LightPattern

_BUFFER_EVENTS = 1 << 16
_NEVER_S = 1e300
_PENDING_AFTERPULSES = 64

Tags = tuple[NDArray[np.int64], NDArray[np.uint8]]


@dataclass(frozen=True, eq=False, slots=True)
class Segment:
    """A span of true time at the receiver in which nothing changes.

    ``scale``: detected events per second of full light, for the best detector. ``axes`` (2, 3): analysers of the
    two bases seen from the sender, times their contrast. ``weights`` (4): efficiencies relative to the best.
    ``background_hz`` (4): darks and stray light. A position on the sender's clock (slots since the pattern
    began) is at ``origin_s + (position - origin_position) * slot_s``; true time t reads
    ``clock_ps + (t - origin_s) * clock_rate * 1e12`` on the tagger.
    """

    pattern: LightPattern
    scale: float
    axes: NDArray[np.float64]
    weights: NDArray[np.float64]
    background_hz: NDArray[np.float64]
    dead_time_s: NDArray[np.float64]
    origin_s: float
    origin_position: float
    slot_s: float
    clock_ps: float
    clock_rate: float

    def position(self, true_s: float) -> float:
        """Return the sender's position at a true time."""
        return self.origin_position + (true_s - self.origin_s) / self.slot_s

    def true_s(self, position: float) -> float:
        """Return the true time of a position."""
        return self.origin_s + (position - self.origin_position) * self.slot_s


@dataclass(slots=True)
class TaggerInputs:
    """The tagger's inputs as the kernels need them: delay, whether pulses pass, resolution, edges of unequal bins."""

    delay_ps: NDArray[np.float64]
    passes: NDArray[np.bool_]
    resolution_ps: int
    edges_ps: NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class Memory:
    """When a detector is sensitive, and what a click does to its later ones, beside its dead time.

    ``gate`` (4, n), ``gate_turn_ps``: relative efficiency over a turn of the gates, 0: free running.
    ``recovery_s``: time constant with which the efficiency comes back after the dead time. ``probability``: of an
    afterpulse per click, afterpulses included; it follows the dead time by an exponential time of one of
    ``lifetimes_s``, chosen with ``shares``.
    """

    gate: NDArray[np.float64]
    gate_turn_ps: float
    recovery_s: float
    probability: float
    shares: NDArray[np.float64]
    lifetimes_s: NDArray[np.float64]


class ClickSampler:
    """The two chains of events, the detectors' dead times and the tags that come of them."""

    def __init__(
        self,
        seed: int,
        jitter_sigma_ps: NDArray[np.float64],
        common_hold_off: bool,
        memory: Memory,
        intensity_noise: float = 0.0,
    ) -> None:
        self._noise_key, self._brightness = _key(seed, 4), _brightness(intensity_noise)
        self._brightest = float(self._brightness[-1]) if intensity_noise else 1.0
        self._memory, self._after_key = memory, _key(seed, 3)
        self._after_shares = np.cumsum(memory.shares)
        self._pending_s = np.full((4, _PENDING_AFTERPULSES), _NEVER_S)
        self._pending_count = np.zeros(4, np.int64)
        self._signal_key, self._background_key = (_key(seed, part) for part in (1, 2))
        self._signal_count = np.zeros(2, np.int64)
        self._signal_energy = np.zeros(1)
        self._background_count = np.zeros(1, np.int64)
        self._background_time = np.zeros(1)
        self._signal_left = _exponential(self._signal_key, 0)
        self._background_left = _exponential(self._background_key, 0)
        self._jitter_ps = jitter_sigma_ps[:, None] * _normal_quantiles(kernels.JITTER_STEPS)
        self._common_hold_off = common_hold_off
        self._last_s = np.full(4, -_NEVER_S)
        self.clicks = np.zeros(4, np.int64)
        self.tags = np.zeros(4, np.int64)
        self._segment: Segment | None = None
        self.ended_s = 0.0
        self._next_slot = 0
        self._buffers = [
            (np.empty(_BUFFER_EVENTS), np.empty(_BUFFER_EVENTS, np.int32)) for _ in ("signal", "background")
        ]

    def begin(self, segment: Segment, start_s: float) -> None:
        """Start a segment at the end of what was drawn; what is left of each chain's way is carried over."""
        # Candidates are drawn as if every pulse were the brightest.
        self._segment = segment = replace(segment, scale=segment.scale * self._brightest)
        # A start that is a slot's start up to rounding must not skip that slot.
        slot = max(0, int(np.ceil(segment.position(start_s) - 1e-6)))
        period, within = divmod(slot, len(segment.pattern))
        self._next_slot = slot
        self._signal_count[1] = period
        reach = self._signal_left / segment.scale if segment.scale > 0 else 0.0
        self._signal_energy[0] = segment.pattern.cumulative_s[within] + reach
        total = float(segment.background_hz.sum())
        self._background_time[0] = start_s + self._background_left / total if total > 0 else _NEVER_S

    def advance(self, until_s: float, inputs: TaggerInputs) -> Iterator[Tags]:
        """Yield the tags of all slots that end before ``until_s``."""
        segment = self._segment
        assert segment is not None
        yield from self._advance(segment, int(np.floor(segment.position(until_s))), inputs)

    def end(self, stop_s: float, inputs: TaggerInputs) -> Iterator[Tags]:
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
            ahead = (int(self._signal_count[1]) - period) * segment.pattern.cumulative_s[-1]
            ahead += self._signal_energy[0] - segment.pattern.cumulative_s[within]
            self._signal_left = max(0.0, ahead * segment.scale)
        total = float(segment.background_hz.sum())
        if total > 0:
            self._background_left = max(0.0, (self._background_time[0] - self.ended_s) * total)

    def _advance(self, segment: Segment, stop_slot: int, inputs: TaggerInputs) -> Iterator[Tags]:
        brightest = segment.scale * float(segment.pattern.energy_s.max())
        mean = brightest + float(segment.background_hz.sum()) * segment.slot_s
        piece = max(1, int(_BUFFER_EVENTS / 4 / max(mean, 1e-9)))
        # Pieces that surely fit the buffers; where they end changes nothing.
        while self._next_slot < stop_slot:
            stop = min(stop_slot, self._next_slot + piece)
            yield self._draw(segment, stop, inputs)
            self._next_slot = stop

    def _draw(self, segment: Segment, stop_slot: int, inputs: TaggerInputs) -> Tags:
        stop_s = segment.true_s(stop_slot)
        period, within = divmod(stop_slot, len(segment.pattern))
        pattern = segment.pattern
        (signal_s, signal_marks), (background_s, background_marks) = self._buffers
        signal = background = 0
        more = False
        if segment.scale > 0:
            signal, more = kernels.signal_events(
                self._signal_key, self._signal_count, self._signal_energy, period, within, segment.scale,
                pattern.cumulative_s, pattern.guide, pattern.shapes, pattern.kind, pattern.kinds, segment.axes,
                segment.weights, self._noise_key, self._brightness, segment.origin_s, segment.origin_position,
                segment.slot_s, signal_s, signal_marks,
            )  # fmt: skip
        edges = np.concatenate(([0.0], np.cumsum(segment.background_hz)))
        if edges[-1] > 0:
            background = kernels.background_events(
                self._background_key, self._background_count, self._background_time, stop_s, edges,
                background_s, background_marks,
            )  # fmt: skip
        if more or background == _BUFFER_EVENTS:
            raise OverflowError("more events than four times the mean in one piece")
        # An afterpulse can follow each click, and each afterpulse; what is pending may come, too.
        room = (
            2 * (signal + background) + 4 * _PENDING_AFTERPULSES
            if self._memory.probability
            else signal + background
        )
        times, channels = np.empty(room, np.int64), np.empty(room, np.uint8)
        filled = kernels.detect_and_tag(
            signal_s, signal_marks, signal, background_s, background_marks, background,
            stop_s, segment.dead_time_s, self._memory.recovery_s,
            self._memory.gate, self._memory.gate_turn_ps, self._common_hold_off, self._last_s, self.clicks,
            self._after_key, self._memory.probability, self._after_shares, self._memory.lifetimes_s,
            self._pending_s, self._pending_count, self._jitter_ps,
            segment.origin_s, segment.clock_ps, segment.clock_rate, inputs.delay_ps, inputs.passes,
            inputs.resolution_ps, inputs.edges_ps, self.tags, times, channels,
        )  # fmt: skip
        if filled < 0:
            raise OverflowError("more afterpulses than this sampler keeps")
        return times[:filled], channels[:filled]


def _key(seed: int, part: int) -> np.uint64:
    """Return the key of a part's draws."""
    low, high = np.random.SeedSequence((seed, part)).generate_state(2, np.uint32).tolist()
    return np.uint64(low | high << 32)


def _exponential(key: np.uint64, number: int) -> float:
    """Return draw ``number`` of a chain, as the kernels do."""
    mask = 2**64 - 1
    x = (int(key) + number * 0x9E3779B97F4A7C15) & mask
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
    x ^= x >> 31
    return float(-np.log(((x >> 11) + 0.5) / 2**53))


def _brightness(noise: float) -> NDArray[np.float64]:
    """Return ascending quantiles of a pulse's intensity over its mean; none without noise."""
    if noise == 0:
        return np.empty(0)
    found: NDArray[np.float64] = np.maximum(1 + noise * _normal_quantiles(kernels.JITTER_STEPS), 0.01)
    found /= found.mean()
    return found


def _normal_quantiles(steps: int) -> NDArray[np.float64]:
    """Return the standard normal quantiles at ``(i + 1/2) / steps``."""
    grid = np.linspace(-6, 6, 24001)
    cumulative = np.array([(1 + erf(x / np.sqrt(2))) / 2 for x in grid])
    quantiles: NDArray[np.float64] = np.interp((np.arange(steps) + 0.5) / steps, cumulative, grid)
    return quantiles
