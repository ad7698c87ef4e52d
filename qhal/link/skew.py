"""Detector skews: estimate them from the phase of each detector, and take them off a tag stream."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qhal.errors import OutOfRange
from qhal.link.link_errors import NotEnoughCounts
from qhal.link.symbol_kernels import NO_DETECTOR, deskew
from qhal.tags.batch import Loss, TagBatch

MINIMUM_RAYLEIGH = 25.0
"""Least ``|sum of unit phasors|^2 / count`` of a phase that is not chance; e^-25 is its probability."""


@dataclass(frozen=True)
class Receiver:
    """The tagger channels of the four detectors, and their skews.

    ``channels``: of the detectors for state ``2 * basis + bit``, in this order. ``skews_ps``: how much later
    each detector's tags are than the light; only differences matter.
    """

    channels: tuple[int, int, int, int] = (1, 2, 3, 4)
    skews_ps: tuple[int, int, int, int] = (0, 0, 0, 0)

    def __post_init__(self) -> None:
        if len(set(self.channels)) != 4 or not all(0 <= channel < 256 for channel in self.channels):
            raise OutOfRange(f"channels {self.channels} are not four different ones within 0..255")


def estimate_skews_ps(
    batch: TagBatch,
    channels: Sequence[int],
    period_ps: float,
    *,
    block_ps: int = 500_000_000,
) -> tuple[tuple[int, int, int, int], tuple[float, float, float, float]]:
    """Estimate the skew of each detector against their mean, in ps, and its standard uncertainty.

    In each block the phases of the detectors within a symbol are compared, so the frequency of the sender
    may be off by some ppm; the comparison is averaged over the batch (50 ms of it are plenty). A skew is
    known modulo the symbol period: those beyond half a period come out wrong by whole periods.
    Raises NotEnoughCounts when a detector shows no pulses.
    """
    phasors = np.stack([_block_phasors(batch, channel, period_ps, block_ps) for channel in channels])
    reference = np.sum(phasors[:, 0], axis=0)
    turns, sigmas = [], []
    for channel, (sums, counts) in zip(channels, phasors, strict=True):
        total = float(counts.real.sum())
        relative = np.sum(sums * np.conj(reference / np.maximum(np.abs(reference), 1e-300)))
        if total == 0 or abs(relative) ** 2 / total < MINIMUM_RAYLEIGH:
            raise NotEnoughCounts(
                f"channel {channel}: {total:.0f} tags show no pulses of period {period_ps} ps"
            )
        turns.append(float(np.angle(relative)))
        sigmas.append(np.sqrt(total / 2) / abs(relative))
    middle = float(np.mean(turns))
    scale = period_ps / (2 * np.pi)
    first, second, third, fourth = (round((turn - middle) * scale) for turn in turns)
    s1, s2, s3, s4 = (float(sigma * scale) for sigma in sigmas)
    return (first, second, third, fourth), (s1, s2, s3, s4)


def _block_phasors(batch: TagBatch, channel: int, period_ps: float, block_ps: int) -> NDArray[np.complex128]:
    """Return the sum of phasors and the number of tags per block, shape (2, blocks)."""
    since = batch.times_ps[batch.channels == channel] - batch.start_ps
    block = since // block_ps
    blocks = max(1, -(-(batch.stop_ps - batch.start_ps) // block_ps))
    angle = since % block_ps * (2 * np.pi / period_ps)
    sums = np.bincount(block, np.cos(angle), blocks) + 1j * np.bincount(block, np.sin(angle), blocks)
    return np.stack([sums, np.bincount(block, minlength=blocks).astype(np.complex128)])


@dataclass(frozen=True, eq=False)
class Piece:
    """Tags of the four detectors on one time base, complete over ``[start_ps, stop_ps)``.

    ``follows``: no time is missing since the last piece. ``trusted``: the time base is the one of the last
    piece (False after a gap of unknown size, and in a new epoch). ``same_epoch``: it has the same origin.
    """

    times_ps: NDArray[np.int64]
    detectors: NDArray[np.uint8]
    start_ps: int
    stop_ps: int
    follows: bool
    trusted: bool
    same_epoch: bool


class Deskewer:
    """Turns batches into pieces without gaps, tags less their skew and ascending.

    Tags near the end of a batch wait for the next one, because a detector with less skew may still
    deliver earlier ones; how a stream is cut into batches does not change the tags.
    """

    def __init__(self, receiver: Receiver) -> None:
        self._detector_of = np.full(256, NO_DETECTOR, np.uint8)
        self._detector_of[list(receiver.channels)] = np.arange(4)
        self._channels = receiver.channels
        self._skews = np.array(receiver.skews_ps, np.int64)
        self._waiting = (np.empty(0, np.int64), np.empty(0, np.uint8))
        self._epoch: int | None = None
        self._raw_stop = 0
        self._covered_to = 0
        # What the next piece will be called.
        self._follows = self._trusted = self._same_epoch = False

    def push(self, batch: TagBatch) -> list[Piece]:
        """Return the pieces that this batch completes.

        Raises OutOfRange when the batch begins before the end of the last one of its epoch.
        """
        if batch.epoch != self._epoch:
            self._follows = self._trusted = self._same_epoch = False
        elif batch.start_ps < self._raw_stop:
            raise OutOfRange(
                f"batch starts at {batch.start_ps} ps, before the end of the last one, {self._raw_stop} ps"
            )
        elif batch.start_ps > self._raw_stop:
            self._follows = False
        self._epoch, self._raw_stop = batch.epoch, batch.stop_ps
        pieces = []
        start = batch.start_ps
        gaps = [gap for gap in batch.gaps if any(gap.concerns(channel) for channel in self._channels)]
        for gap in sorted(gaps, key=lambda gap: gap.start_ps):
            if gap.start_ps > start:
                pieces.append(self._piece(batch, start, gap.start_ps))
            self._follows = False
            self._trusted = self._trusted and gap.loss is not Loss.UNKNOWN
            start = max(start, gap.stop_ps)
        if batch.stop_ps > start:
            pieces.append(self._piece(batch, start, batch.stop_ps))
        return pieces

    def _piece(self, batch: TagBatch, start_ps: int, stop_ps: int) -> Piece:
        times, channels = batch.times_ps, batch.channels
        if start_ps > batch.start_ps or stop_ps < batch.stop_ps:
            first, last = np.searchsorted(times, [start_ps, stop_ps])
            times, channels = times[first:last], channels[first:last]
        waiting_times, waiting_detectors = self._waiting
        kept = len(waiting_times) if self._follows else 0
        out_times = np.empty(kept + len(times), np.int64)
        out_detectors = np.empty(kept + len(times), np.uint8)
        out_times[:kept], out_detectors[:kept] = waiting_times[:kept], waiting_detectors[:kept]
        filled = deskew(times, channels, self._detector_of, self._skews, kept, out_times, out_detectors)
        begin = self._covered_to if self._follows else start_ps - int(self._skews.min())
        end = max(begin, stop_ps - int(self._skews.max()))
        first, last = np.searchsorted(out_times[:filled], [begin, end])
        self._waiting = (out_times[last:filled].copy(), out_detectors[last:filled].copy())
        self._covered_to = end
        piece = Piece(
            out_times[first:last],
            out_detectors[first:last],
            begin,
            end,
            self._follows,
            self._trusted,
            self._same_epoch,
        )
        self._follows = self._trusted = self._same_epoch = True
        return piece
