"""Assign tags to symbols: acquire the pattern once, then track the sender's clock block by block."""

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from qhal.errors import OutOfRange
from qhal.link.acquisition import MINIMUM_SIGNIFICANCE, PatternFinder, phase_sigma
from qhal.link.clock_filter import ClockFilter, ClockNoise
from qhal.link.link_errors import SynchronisationFailed
from qhal.link.pattern import SymbolPattern
from qhal.link.skew import MINIMUM_RAYLEIGH, Deskewer, Piece, Receiver
from qhal.link.symbol_kernels import PHASE_BINS, fold_block, measure_block
from qhal.link.symbol_tags import ClockEvent, ClockEventKind, SymbolTags
from qhal.tags.batch import TagBatch

SETTLED_SYMBOLS = 0.01
"""Largest uncertainty of the position at which tags are given out."""
LOST_SYMBOLS = 0.03
"""Uncertainty of the position at which the pattern is searched again."""
TRACKED_BLOCKS = 4
"""Number of blocks measured together once the clock is settled."""
STEP_SIGMAS = 8.0
"""A phase further than this from the prediction is a step of a time base, not noise."""
DECISIVE_SIGMAS = 12.0
"""Tags are gathered until the pattern's match is expected at this height; half of it is required."""

_TURN = 2 * np.pi * ((np.arange(PHASE_BINS) + 0.5) / PHASE_BINS - 0.5)
_COSINES, _SINES = np.cos(_TURN), np.sin(_TURN)


class SymbolClock:
    """Tracks the sender's clock through an endless stream of batches and assigns its tags to symbols.

    No marker is used. A block is output after it and the next one are checked: phase against the prediction, counts
    against the pattern. A step of the tagger's time base, or a slip by whole symbols, costs the tags around it and a
    new acquisition, never wrong symbols. The result does not depend on how the stream is cut into batches.

    Parameters
    ----------
    pattern
        Pattern of the sender.
    receiver
        Tagger inputs and skews of the detectors.
    window_ps
        Detection window, centred on the pulse.
    block_ps
        Length of a block. The phase is measured once per block, and once in four when the clock has settled.
    frequency_range
        Maximum relative frequency offset; it must shift the phase by at most 0.1 symbol in a block.
    noise
        Noise of the two clocks.
    patience_blocks
        Consecutive blocks without the pattern after which synchronisation fails.
    minimum_significance
        Minimum correlation peak of an acquisition, in standard deviations.

    Raises
    ------
    OutOfRange
        For a window that does not fit a symbol.
    """

    def __init__(
        self,
        pattern: SymbolPattern,
        receiver: Receiver | None = None,
        *,
        window_ps: float = 3000.0,
        block_ps: int = 500_000_000,
        frequency_range: float = 2e-6,
        noise: ClockNoise | None = None,
        patience_blocks: int = 200,
        minimum_significance: float = MINIMUM_SIGNIFICANCE,
    ) -> None:
        if not 0 < window_ps <= pattern.period_ps:
            raise OutOfRange(f"a window of {window_ps} ps does not fit a symbol of {pattern.period_ps} ps")
        self._pattern, self._template = pattern, pattern.template
        self._window, self._lead = window_ps, window_ps / (2 * pattern.period_ps)
        self._block_ps, self._frequency_range, self._patience = block_ps, frequency_range, patience_blocks
        self._deskewer = Deskewer(receiver or Receiver())
        self._finder = PatternFinder(pattern, minimum_significance)
        self._filter = ClockFilter(pattern.period_ps, noise or ClockNoise())
        self._filter.loosen_frequency(frequency_range)
        self._times, self._detectors = np.empty(0, np.int64), np.empty(0, np.uint8)
        self._block_start = self._buffered_to = 0
        self._locked = self._predictable = False
        self._failures, self._contrast, self._match, self._match_tags = 0, 0.0, 0.0, 0
        self._next_symbol = 0
        self._joined = False  # the last block was given out or is held, and the next one continues it
        self._held: SymbolTags | None = None
        self._ready: list[SymbolTags] = []
        self._events: deque[ClockEvent] = deque(maxlen=1000)

    @property
    def locked(self) -> bool:
        """Whether the pattern is tracked."""
        return self._locked

    @property
    def frequency_offset(self) -> float:
        """Frequency of the sender's clock over that of the tagger, less one (latest estimate)."""
        return self._filter.frequency_offset

    @property
    def frequency_sigma(self) -> float:
        """Standard uncertainty of the frequency offset."""
        return self._filter.frequency_sigma

    @property
    def position_sigma_ps(self) -> float:
        """Standard uncertainty of the pulse position now."""
        return self._filter.position_sigma * self._pattern.period_ps

    @property
    def events(self) -> tuple[ClockEvent, ...]:
        """The latest thousand acquisitions, gaps, steps and slips."""
        return tuple(self._events)

    def push(self, batch: TagBatch) -> list[SymbolTags]:
        """Add the next batch; return the tags whose symbols are now certain, ascending.

        Raises SynchronisationFailed if ``patience_blocks`` consecutive blocks do not show the pattern (make a new
        clock then), OutOfRange for a batch that goes back in time.
        """
        for piece in self._deskewer.push(batch):
            if not piece.follows:
                self._cut(piece)
            self._times = np.concatenate((self._times, piece.times_ps))
            self._detectors = np.concatenate((self._detectors, piece.detectors))
            self._buffered_to = piece.stop_ps
            self._run_blocks()
        return self._take()

    def finish(self) -> list[SymbolTags]:
        """Return the remaining tags at the end of the stream."""
        self._run_tail()
        return self._take()

    def _take(self) -> list[SymbolTags]:
        runs: list[list[SymbolTags]] = []
        for part in self._ready:
            if runs and part.start == runs[-1][-1].stop:
                runs[-1].append(part)
            else:
                runs.append([part])
        self._ready = []
        return [SymbolTags.joined(run) for run in runs]

    def _run_blocks(self) -> None:
        whole = (self._buffered_to - self._block_start) // self._block_ps
        starts = self._block_start + self._block_ps * np.arange(whole + 1)
        edges = np.searchsorted(self._times, starts).tolist()
        done = 0
        while done + (span := TRACKED_BLOCKS if self._joined else 1) <= whole:
            first, last = edges[done], edges[done + span]
            start = self._block_start + done * self._block_ps
            self._block(
                self._times[first:last], self._detectors[first:last], start, start + span * self._block_ps
            )
            done += span
        self._block_start += done * self._block_ps
        self._times, self._detectors = self._times[edges[done] :], self._detectors[edges[done] :]

    def _run_tail(self) -> None:
        if self._buffered_to > self._block_start:
            self._block(self._times, self._detectors, self._block_start, self._buffered_to)
        self._release()
        self._times, self._detectors = self._times[:0], self._detectors[:0]
        self._block_start = self._buffered_to

    def _cut(self, piece: Piece) -> None:
        """End the run of blocks at a gap, and begin another after it."""
        self._run_tail()
        self._joined = False
        if self._locked:
            self._events.append(ClockEvent(ClockEventKind.GAP, piece.start_ps))
        self._block_start = self._buffered_to = piece.start_ps
        if not piece.same_epoch:
            self._predictable = False
            self._filter.loosen_frequency(self._frequency_range)
        if not piece.trusted or not self._predictable:
            self._locked = False
        elif self._predictable:
            self._filter.advance(piece.start_ps)
            self._locked = self._locked and self._filter.position_sigma < LOST_SYMBOLS

    def _block(self, times: NDArray[np.int64], detectors: NDArray[np.uint8], start: int, stop: int) -> None:
        clock = self._filter
        if self._locked:
            before = (clock.symbol, clock.fraction, clock.position_sigma)
            if not self._follow(times, start, stop):
                return
        else:
            if not self._acquire(times, start, stop):
                return
            before = (clock.symbol, clock.fraction, clock.position_sigma)
        clock.advance(stop)
        self._release()
        if max(before[2], clock.position_sigma) < SETTLED_SYMBOLS:
            self._hold(times, detectors, start, stop, before[0], before[1])
        else:
            self._joined = False

    def _acquire(self, times: NDArray[np.int64], start: int, stop: int) -> bool:
        clock, length = self._filter, len(self._pattern)
        try:
            found = self._finder.find(times, start, stop, clock.rate)
        except SynchronisationFailed as error:
            self._failures += 1
            if self._failures >= self._patience:
                raise SynchronisationFailed(
                    f"no pattern in {self._failures} blocks, the last: {error}"
                ) from error
            return False
        symbol, shift_ps = found.symbol, None
        if self._predictable:
            clock.advance(found.time_ps)
            slip = found.symbol - clock.symbol
            slip -= length * math.floor(slip / length + 0.5)
            symbol = clock.symbol + slip
            shift_ps = -(slip + found.fraction - clock.fraction) * self._pattern.period_ps
        # Symbol numbers never go back, whatever the time base did, but for noise across a short gap.
        first = symbol - (found.time_ps - start) * clock.rate
        symbol += length * max(0, math.ceil((self._next_symbol - 1 - first) / length))
        clock.place(found.time_ps, symbol, found.fraction, found.fraction_sigma)
        clock.advance(start)
        self._events.append(ClockEvent(ClockEventKind.ACQUIRED, found.time_ps, shift_ps))
        self._contrast = found.significance / math.sqrt(len(times))
        self._match, self._match_tags, self._failures = 0.0, 0, 0
        self._locked = self._predictable = True
        return True

    def _follow(self, times: NDArray[np.int64], start: int, stop: int) -> bool:
        """Correct the filter with a block that begins now; return whether the lock holds."""
        clock, count = self._filter, len(times)
        cosine, sine, match = measure_block(
            times, start, clock.symbol, clock.fraction, clock.rate, self._template, _COSINES, _SINES
        )
        resultant = math.hypot(cosine, sine)
        if count and resultant**2 / count > MINIMUM_RAYLEIGH:
            error, ahead = -math.atan2(sine, cosine) / (2 * math.pi), (stop - start) / 2
            sigma = phase_sigma(resultant, count)
            if abs(error) > STEP_SIGMAS * clock.innovation_sigma(ahead, sigma):
                return self._lose(ClockEventKind.STEP, start, -error * self._pattern.period_ps)
            clock.correct(error, ahead, sigma)
        self._match += match
        self._match_tags += count
        if self._match_tags * self._contrast**2 >= DECISIVE_SIGMAS**2:
            if self._match < self._contrast * self._match_tags / 2:
                return self._lose(ClockEventKind.SLIP, start)
            self._match, self._match_tags = 0.0, 0
        if clock.position_sigma > LOST_SYMBOLS:
            return self._lose(ClockEventKind.FADED, start)
        return True

    def _lose(self, kind: ClockEventKind, time_ps: int, shift_ps: float | None = None) -> bool:
        self._events.append(ClockEvent(kind, time_ps, shift_ps))
        self._locked = self._joined = False
        self._held = None
        # A step too small to be noticed at once may have been taken for a change of frequency.
        self._filter.loosen_frequency(self._frequency_range / 20)
        return False

    def _release(self) -> None:
        if self._held is not None:
            self._ready.append(self._held)
            self._held = None

    def _hold(
        self,
        times: NDArray[np.int64],
        detectors: NDArray[np.uint8],
        start: int,
        stop: int,
        symbol: int,
        fraction: float,
    ) -> None:
        """Fold a block along the straight line between its ends, so that blocks join without overlap."""
        clock = self._filter
        first = symbol + math.floor(fraction + self._lead)
        if not self._joined:  # leave out the slot that had begun, and at least one after what was given out
            first = max(first, self._next_symbol) + 1
        last = clock.symbol + math.floor(clock.fraction + self._lead)
        if last < first:  # a scrap between gaps, shorter than a symbol
            self._joined = False
            return
        advance = (clock.symbol - symbol) + (clock.fraction - fraction)
        symbols, offsets = np.empty(len(times), np.int64), np.empty(len(times), np.float32)
        fold_block(
            times,
            start,
            symbol,
            fraction,
            advance / (stop - start),
            self._lead,
            self._pattern.period_ps,
            symbols,
            offsets,
        )
        self._held = SymbolTags(
            symbols=symbols,
            detectors=detectors,
            offsets_ps=offsets,
            start=first,
            stop=last,
            window_ps=self._window,
        )
        self._joined, self._next_symbol = True, last
