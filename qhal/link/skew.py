"""Detector skews: estimation from the phase of each detector, and correction of a tag stream."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qhal.errors import OutOfRange
from qhal.link.link_errors import NotEnoughCounts
from qhal.link.symbol_kernels import NO_DETECTOR, deskew
from qhal.tags.batch import Loss, TagBatch

MINIMUM_RAYLEIGH = 25.0
"""Minimum of ``|sum of unit phasors|^2 / count`` for a phase; chance exceeds it with probability e^-25."""


@dataclass(frozen=True)
class Receiver:
    """Tagger inputs of the four detectors, and their skews.

    Attributes
    ----------
    channels
        Input of the detector for state ``2 * basis + bit``, in this order.
    skews_ps
        Delay of each detector's tags after the light; only differences matter.

    Raises
    ------
    OutOfRange
        For equal channels, or channels outside 0..255.
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
    """Estimate the skew of each detector relative to their mean, and its standard uncertainty, both in ps.

    Phases of the detectors within a symbol are compared in each block and averaged over the batch, so that the
    sender's frequency may be off by some ppm. A skew is known modulo the symbol period.

    Parameters
    ----------
    batch
        Tags of a pattern; 50 ms are enough.
    channels
        Input of each detector.
    period_ps
        Symbol period.
    block_ps
        Length of a block.

    Raises
    ------
    NotEnoughCounts
        If a detector shows no pulses.

    Examples
    --------
    >>> import numpy as np
    >>> from qhal.tags import TagBatch
    >>> pulses = np.arange(0, 10**9, 10_000)
    >>> times = np.concatenate([pulses + delay for delay in (0, 100, 200, 300)])
    >>> channels = np.repeat(np.array([1, 2, 3, 4], np.uint8), len(pulses))
    >>> order = np.argsort(times, kind="stable")
    >>> skews, _ = estimate_skews_ps(TagBatch(times[order], channels[order], 0, 10**9), (1, 2, 3, 4), 10_000.0)
    >>> skews
    (-150, -50, 50, 150)
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

    Attributes
    ----------
    times_ps, detectors
        Tags corrected for skew, ascending, and their detectors, ``2 * basis + bit``.
    start_ps, stop_ps
        The span.
    follows
        Whether the piece begins where the last one ends.
    trusted
        Whether the time base is that of the last piece; not after a gap of unknown size or in a new epoch.
    same_epoch
        Whether times have the origin of the last piece.
    """

    times_ps: NDArray[np.int64]
    detectors: NDArray[np.uint8]
    start_ps: int
    stop_ps: int
    follows: bool
    trusted: bool
    same_epoch: bool


class Deskewer:
    """Corrects a stream for skew and cuts it at its gaps.

    Tags near the end of a batch wait for the next one, in which a detector with a smaller skew may have earlier tags;
    the result does not depend on how the stream is cut into batches.
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
        # Flags of the next piece.
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
        carried = len(waiting_times) if self._follows else 0
        out_times = np.empty(carried + len(times), np.int64)
        out_detectors = np.empty(carried + len(times), np.uint8)
        out_times[:carried], out_detectors[:carried] = waiting_times[:carried], waiting_detectors[:carried]
        filled = deskew(times, channels, self._detector_of, self._skews, carried, out_times, out_detectors)
        begin = self._covered_to if self._follows else start_ps - int(self._skews.min())
        end = max(begin, stop_ps - int(self._skews.max()))
        first, last = np.searchsorted(out_times[:filled], [begin, end])
        self._waiting = (out_times[last:filled].copy(), out_detectors[last:filled].copy())
        self._covered_to = end
        piece = Piece(
            times_ps=out_times[first:last],
            detectors=out_detectors[first:last],
            start_ps=begin,
            stop_ps=end,
            follows=self._follows,
            trusted=self._trusted,
            same_epoch=self._same_epoch,
        )
        self._follows = self._trusted = self._same_epoch = True
        return piece
