"""Tags of gated detectors in steady light, folded on the period of the gates.

Gates and tagger may have clocks of their own: the period is found from the tags, and what the clocks drift by within a
recording is followed.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from qhal.calibration.fitting.clock_phase import Array, Phases, block_sums, phases
from qhal.link.link_errors import NotEnoughCounts
from qhal.tags.batch import TagBatch

_BLOCKS = 20
_RAYLEIGH = 40.0
"""Power of a sum of phases over their number that chance practically never gives (exp(-40))."""
_MULTIPLES = range(2, 9)
_CELLS = 1024
_LEAST_TAGS = 1000


class Folded(NamedTuple):
    """``counts`` (channels, bins) over a period with an arbitrary start; ``period_ps``: the measured one.

    ``sums`` (channels, blocks, 5): see :func:`block_sums`; of ``folded_period_ps``, in blocks of ``block_s``.
    """

    counts: NDArray[np.int64]
    period_ps: float
    sums: Array
    folded_period_ps: float
    block_s: float


def fold_gates(
    batch: TagBatch, channels: int, nominal_ps: float, tolerance: float, bins: int, resolution_ps: int
) -> Folded:
    """Fold a recording on the period of its gates, which is within ``tolerance`` (relative) of the nominal one.

    Raises NotEnoughCounts with the reason: too few tags; no gates, or a channel without; gates of several times
    the period; gates at few positions in the tagger's bins.
    """
    tags = np.bincount(batch.channels, minlength=channels + 1)[1 : channels + 1]
    if tags.min() < _LEAST_TAGS:
        raise NotEnoughCounts(
            f"{tags.tolist()} tags of channels 1 to {channels}: {_LEAST_TAGS} of each are needed in a recording"
        )
    busiest = int(np.argmax(tags)) + 1
    first_ps = _find_period_ps(batch.select((busiest,)), nominal_ps, tolerance)
    block_s = (batch.stop_ps - batch.start_ps) * 1e-12 / _BLOCKS
    sums = block_sums(batch, channels, first_ps, block_s)
    found = gate_phases(sums, first_ps, block_s)
    t_ps = (np.arange(len(found.delay_ps)) + 0.5) * block_s * 1e12
    delay = np.polynomial.Polynomial.fit(t_ps, found.delay_ps, 2, w=1 / found.sigma_ps)
    since = (batch.times_ps - batch.start_ps).astype(np.float64)
    cycles = (since - delay(since)) / first_ps
    _refuse_multiples(cycles[batch.channels == busiest], nominal_ps)
    _refuse_steps((cycles - np.floor(cycles)) * (first_ps / resolution_ps), nominal_ps, resolution_ps)
    drift = float(delay(t_ps[-1]) - delay(t_ps[0])) / float(t_ps[-1] - t_ps[0])
    counts = histogram(batch.channels, cycles, channels, bins)
    return Folded(
        counts=counts, period_ps=first_ps / (1 - drift), sums=sums, folded_period_ps=first_ps, block_s=block_s
    )


def histogram(inputs: NDArray[np.uint8], cycles: Array, channels: int, bins: int) -> NDArray[np.int64]:
    """Return counts (channels, bins) of tags over a period."""
    place = np.minimum(((cycles - np.floor(cycles)) * bins).astype(np.int64), bins - 1)
    cell = (inputs.astype(np.int64) - 1) * bins + place
    counts: NDArray[np.int64] = np.bincount(cell[inputs <= channels], minlength=channels * bins)
    return counts.reshape(channels, bins)


def gate_phases(sums: Array, period_ps: float, block_s: float) -> Phases:
    """Return the phases of a recording, for any positions of the channels' gates in the period.

    Channels are rotated onto the busiest before, because gates opposite to each other would cancel. Raises
    NotEnoughCounts naming channels without gates.
    """
    clicks = sums[..., 0].sum(axis=1)
    first, twice = sums[..., 1] + 1j * sums[..., 2], sums[..., 3] + 1j * sums[..., 4]
    onto = first[int(np.argmax(clicks))]
    resultant = (first * np.exp(-1j * np.angle(onto))).sum(axis=1)
    bad = np.flatnonzero(np.abs(resultant) ** 2 < _RAYLEIGH * np.maximum(clicks, 1)) + 1
    if len(bad):
        raise NotEnoughCounts(f"channels {bad.tolist()} click at all times alike: they have no such gates")
    back = np.exp(-1j * np.angle(resultant))[:, None]
    first, twice = first * back, twice * back**2
    rotated = np.stack([sums[..., 0], first.real, first.imag, twice.real, twice.imag], axis=-1)
    return phases(rotated, period_ps, block_s)


def _find_period_ps(batch: TagBatch, nominal_ps: float, tolerance: float) -> float:
    """Return the period of one channel's gates by the tagger's clock, near enough for a recording."""
    length_ps = batch.stop_ps - batch.start_ps
    # In a block, gates at the limit of the tolerance move by a quarter of a period.
    blocks = max(int(length_ps * 4 * tolerance / nominal_ps), _BLOCKS)
    since = (batch.times_ps - batch.start_ps).astype(np.float64)
    block = np.minimum((since * (blocks / length_ps)).astype(np.int64), blocks - 1)
    cycles = since / nominal_ps
    angle = 2 * np.pi * (cycles - np.floor(cycles))
    phasors = np.bincount(block, np.cos(angle), blocks) + 1j * np.bincount(block, np.sin(angle), blocks)
    size = fft.next_fast_len(4 * blocks)
    power = np.abs(fft.fft(phasors, size)) ** 2
    offset = fft.fftfreq(size, length_ps / blocks) * nominal_ps
    power[np.abs(offset) > tolerance] = 0.0
    peak = int(np.argmax(power))
    if power[peak] < _RAYLEIGH * len(since):
        raise NotEnoughCounts(
            f"{len(since)} tags show no gates with a period of {nominal_ps:g} ps +- {tolerance:g} of it:"
            " the detectors run freely, or gate_period_ps is wrong"
        )
    return float(nominal_ps * (1 + offset[peak]))


def _refuse_multiples(cycles: Array, nominal_ps: float) -> None:
    """Refuse gates that come in some of the periods only."""
    for multiple in _MULTIPLES:
        phasor = np.exp(2j * np.pi / multiple * cycles).sum()
        if np.abs(phasor) ** 2 > _RAYLEIGH * len(cycles):
            raise NotEnoughCounts(
                f"gates do not come every {nominal_ps:g} ps: set gate_period_ps to {multiple} times that"
            )


def _refuse_steps(steps: Array, nominal_ps: float, resolution_ps: int) -> None:
    """Refuse gates at fixed positions in the tagger's bins. ``steps``: since the beginning of a period, in bins.

    For any gates, a tagger that does not follow them rounds alike at all positions in its bins.
    """
    within = ((steps - np.floor(steps)) * _CELLS).astype(np.int64) % _CELLS
    power = np.abs(fft.rfft(np.bincount(within, minlength=_CELLS).astype(np.float64))[1:]) ** 2
    if power.max() > _RAYLEIGH * len(steps):
        raise NotEnoughCounts(
            f"gates of {nominal_ps:g} ps keep to the same positions in the tagger's bins of {resolution_ps} ps, which"
            " then hide their edges: let gates and tagger run on clocks of their own, or change the period a little"
        )
