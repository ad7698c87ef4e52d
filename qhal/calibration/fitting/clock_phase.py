"""The phase of a pulse train in a receiver's tags, block by block, and what two clocks make of it.

Pulses that a sender's clock makes every ``period`` arrive at ``x(t) = x0 - y t + W(t)`` within the period of the
receiver's clock: ``y`` is the relative frequency offset, ``W`` the random walk that white frequency noise is, with
variance ``q t``; then the Allan deviation is ``sqrt(q / tau)`` (IEEE Std 1139). What is measured is the mean over a
block of length h: differences of following blocks have the variance ``2 q h / 3 + s^2 + s'^2`` and the covariance
``q h / 6 - s^2`` with the next one, s being the uncertainty of a block's phase from its clicks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize, special
from uncertainties import UFloat

from qhal.link.link_errors import NotEnoughCounts
from qhal.records.record import Fit
from qhal.records.uncertain import statistical
from qhal.tags.batch import TagBatch

Array = NDArray[np.float64]
SUMS = ("clicks", "cosine", "sine", "cosine of twice", "sine of twice")
"""What is summed over the clicks of a block; the phase is that within the period, a turn."""
_COARSE_S = 5e-4
_LEAST_RAYLEIGH = 25.0
_TERMS = 3
_UNLIKELY = 16.0
_STEPS = 40


def find_period_ps(batch: TagBatch, period_ps: float) -> float:
    """Return the period of the pulses by the tagger's clock, near enough for a recording; nominally ``period_ps``.

    Raises NotEnoughCounts when there are no pulses within half a turn in 0.5 ms of it (2e-5 at 20 ns).
    """
    blocks = int((batch.stop_ps - batch.start_ps) * 1e-12 / _COARSE_S)
    if blocks < 1:
        raise NotEnoughCounts(f"a recording is shorter than {_COARSE_S:g} s")
    since = (batch.times_ps - batch.start_ps).astype(np.float64)
    block = (since * (1e-12 / _COARSE_S)).astype(np.int64)
    turns = since / period_ps
    angle = 2 * np.pi * (turns - np.floor(turns))
    phasors = np.bincount(block, np.cos(angle), blocks) + 1j * np.bincount(block, np.sin(angle), blocks)
    spectrum = np.fft.fft(phasors[:blocks], 4 * blocks)
    peak = int(np.argmax(np.abs(spectrum)))
    if np.abs(spectrum[peak]) ** 2 < _LEAST_RAYLEIGH * max(len(since), 1):
        raise NotEnoughCounts(f"{len(since)} tags show no pulses of period {period_ps:g} ps")
    turns_per_s = np.fft.fftfreq(4 * blocks, _COARSE_S)[peak]
    return float(period_ps * (1 + turns_per_s * period_ps * 1e-12))


def block_sums(batch: TagBatch, channels: int, period_ps: float, block_s: float) -> Array:
    """Return :data:`SUMS` (channels, blocks, 5) of whole blocks from the beginning of a recording on."""
    blocks = int((batch.stop_ps - batch.start_ps) * 1e-12 / block_s + 1e-9)
    since = (batch.times_ps - batch.start_ps).astype(np.float64)
    block = (since * (1e-12 / block_s)).astype(np.int64)
    turns = since / period_ps
    angle = 2 * np.pi * (turns - np.floor(turns))
    row = (batch.channels.astype(np.int64) - 1) * blocks + block
    inside = (block < blocks) & (batch.channels <= channels)
    cosine, sine = np.cos(angle), np.sin(angle)
    weights = (None, cosine, sine, cosine**2 - sine**2, 2 * cosine * sine)
    sums = [
        np.bincount(row[inside], None if w is None else w[inside], channels * blocks).reshape(
            channels, blocks
        )
        for w in weights
    ]
    return np.stack(sums, axis=-1).astype(np.float64)


@dataclass(frozen=True, eq=False, slots=True)
class Phases:
    """Phases of one recording.

    ``delay_ps`` and ``sigma_ps`` (blocks): when pulses came, all detectors together, less ``period_ps`` each.
    ``skew_ps`` and ``skew_sigma_ps`` (channels): how much later than that each detector's clicks are, up to a common
    constant; ``width_ps`` (channels): standard deviation of a click's time.
    """

    period_ps: float
    block_s: float
    delay_ps: Array
    sigma_ps: Array
    skew_ps: Array
    skew_sigma_ps: Array
    width_ps: Array
    clicks: Array


def phases(sums: Array, period_ps: float, block_s: float) -> Phases:
    """Return the phases of a recording from its :func:`block_sums`.

    Raises NotEnoughCounts without clear pulses, and where detectors fell silent.
    """
    clicks = sums[..., 0]
    if len(silent := np.flatnonzero(clicks.sum(axis=0) == 0)):
        blocks, since_s = clicks.shape[1], silent[0] * block_s
        raise NotEnoughCounts(f"no clicks in {len(silent)} of {blocks} blocks, from {since_s:.3g} s on")
    first, twice = sums[..., 1] + 1j * sums[..., 2], sums[..., 3] + 1j * sums[..., 4]
    turn = np.zeros(len(sums))
    for _ in range(4):  # each detector against all of them, with their skews taken off
        common = (first * np.exp(-1j * turn)[:, None]).sum(axis=0)
        turn = np.angle((first * np.exp(-1j * np.angle(common))).sum(axis=1))
    aligned = np.exp(-1j * (np.angle(common)[None, :] + turn[:, None]))
    along, second = (first * aligned).real, (twice * aligned**2).real
    total = clicks.sum(axis=1)
    if (along.sum(axis=1) ** 2 < _LEAST_RAYLEIGH * np.maximum(total, 1)).any():
        bad = [n + 1 for n in range(len(sums)) if along[n].sum() ** 2 < _LEAST_RAYLEIGH * max(total[n], 1)]
        raise NotEnoughCounts(f"channels {bad} show no pulses of period {period_ps:g} ps")
    # Squared sine across the mean direction, from what the recording has on average.
    across = ((total - second.sum(axis=1)) / (2 * total))[:, None]
    scale = period_ps / (2 * np.pi)
    resultant = np.maximum(along.sum(axis=0), 1e-9)
    block_clicks = np.maximum(clicks, 0)
    sigma = np.sqrt((block_clicks * across).sum(axis=0)) / resultant
    mean = along.sum(axis=1) / total
    return Phases(
        period_ps=period_ps,
        block_s=block_s,
        delay_ps=np.unwrap(np.angle(common)) * scale,
        sigma_ps=sigma * scale,
        skew_ps=turn * scale,
        skew_sigma_ps=np.sqrt(across[:, 0] / total) / mean * scale,
        width_ps=np.sqrt(across[:, 0]) / mean * scale,
        clicks=total,
    )


@dataclass(frozen=True, eq=False, slots=True)
class ClockFit:
    """``frequency_offset``: of the sender over the receiver. ``walk_ps``: square root of q, ps in a second.

    ``fit``: whether all recordings have one frequency, and no more in them than white noise.
    """

    frequency_offset: UFloat
    walk_ps: UFloat
    fit: Fit


def fit_clock(recordings: Sequence[Phases], nominal_ps: float) -> ClockFit:
    """Find frequency offset and white frequency noise of two clocks.

    The noise is estimated by restricted maximum likelihood beside a frequency, a drift and a curvature of each
    recording, so that what is not noise does not pass for it; how much better these describe the data than one
    frequency is the fit's chi2. Because few blocks do not determine the noise well, what follows from it (the chi2 by
    its probability) is averaged over its likelihood, times an even prior of ``walk_ps``. Raises NotEnoughCounts for
    fewer than 8 blocks in a recording.
    """
    parts = [_Differences(recording, nominal_ps) for recording in recordings]
    walks_ps, likelihood = _likelihood(parts)
    walk_ps = float(likelihood @ walks_ps)
    spread_ps = float(np.sqrt(likelihood @ (walks_ps - walk_ps) ** 2))
    solved = [[part.solve(walk**2) for part in parts] for walk in walks_ps]
    weights = np.array([sum(each.weight for each in row) for row in solved])
    slopes = np.array([sum(each.weight * each.slope for each in row) for row in solved]) / weights
    slope = float(likelihood @ slopes)
    freedom = _TERMS * len(parts) - 1
    squares = np.array(
        [sum(each.weight * (each.slope - slope) ** 2 + each.further for each in row) for row in solved]
    )
    p_value = max(float(likelihood @ special.gammaincc(freedom / 2, squares / 2)), 1e-300)
    chi2 = float(2 * special.gammainccinv(freedom / 2, p_value))
    fit = Fit(model="x = x0 - y t + white frequency noise", chi2=chi2, degrees_of_freedom=freedom)
    variance = float(likelihood @ (1 / weights + (slopes - slope) ** 2))
    if fit.poor:
        variance *= chi2 / fit.degrees_of_freedom
        fit = fit.model_copy(update={"scaled": True})
    clicks = min(1 / sum(part.solve(0.0).weight for part in parts), variance)
    offset = statistical("times of the clicks", -slope * 1e-12, clicks**0.5 * 1e-12) + statistical(
        "noise of the clocks", 0.0, (variance - clicks) ** 0.5 * 1e-12
    )
    return ClockFit(offset, statistical("noise of the clocks", walk_ps, spread_ps), fit)


def _likelihood(parts: Sequence["_Differences"]) -> tuple[Array, Array]:
    """Return values of the walk (ps in a second) and their likelihood, with the sum 1."""

    def loss(walk_ps: float) -> float:
        return sum(part.restricted_loss(walk_ps**2) for part in parts)

    most_ps = 3 * max(part.rough_walk_ps for part in parts)
    best_ps = float(optimize.minimize_scalar(loss, bounds=(0, most_ps), method="bounded").x)
    least = loss(best_ps)
    high_ps = low_ps = best_ps
    step_ps = max(best_ps, 0.01 * most_ps) / 20
    while loss(high_ps) - least < _UNLIKELY:
        high_ps += step_ps
        step_ps *= 1.3
    step_ps = best_ps / 40
    while low_ps > 0 and loss(low_ps) - least < _UNLIKELY:
        low_ps = max(low_ps - step_ps, 0.0)
    walks_ps = low_ps + (high_ps - low_ps) * (np.arange(_STEPS) + 0.5) / _STEPS
    likelihood = np.exp([(least - loss(float(walk))) / 2 for walk in walks_ps])
    return walks_ps, likelihood / likelihood.sum()


class _Solved(NamedTuple):
    """Weight and value of a slope (ps/s) alone, and by how much further terms lessen the squares."""

    weight: float
    slope: float
    further: float


class _Differences:
    """Differences of following phases of one recording, ps, with what is known of their covariance.

    They are kept in the basis in which the covariance is ``q walk + 1``, diagonal for every q.
    """

    def __init__(self, recording: Phases, nominal_ps: float) -> None:
        count = len(recording.delay_ps) - 1
        if count < 2 * _TERMS + 1:
            raise NotEnoughCounts(f"{count + 1} blocks in a recording, {2 * _TERMS + 2} are needed")
        h, s2 = recording.block_s, recording.sigma_ps**2
        # The fold's own period differs from the nominal one; that is part of the slope.
        folded = recording.period_ps / nominal_ps - 1
        d = np.diff(recording.delay_ps) + folded / (1 + folded) * h * 1e12
        clicks = np.diag(s2[1:] + s2[:-1]) - np.diag(s2[1:-1], 1) - np.diag(s2[1:-1], -1)
        near = np.full(count - 1, h / 6)
        walk = np.diag(np.full(count, h * 2 / 3)) + np.diag(near, 1) + np.diag(near, -1)
        place = np.linspace(-1, 1, count)
        self.rough_walk_ps = float(np.std(d) / np.sqrt(h))
        self._walk, basis = linalg.eigh(walk, clicks)
        self._d = basis.T @ d
        self._terms = basis.T @ (h * np.polynomial.legendre.legvander(place, _TERMS - 1))

    def restricted_loss(self, q: float) -> float:
        variance = q * self._walk + 1
        terms = self._terms / np.sqrt(variance)[:, None]
        d = self._d / np.sqrt(variance)
        orthogonal, triangle = np.linalg.qr(terms)
        rest = d @ d - ((orthogonal.T @ d) ** 2).sum()
        return float(np.log(variance).sum() + 2 * np.log(np.abs(np.diag(triangle))).sum() + rest)

    def solve(self, q: float) -> _Solved:
        sigma = np.sqrt(q * self._walk + 1)
        d, terms = self._d / sigma, self._terms / sigma[:, None]
        weight = float(terms[:, 0] @ terms[:, 0])
        slope = float(terms[:, 0] @ d) / weight
        rest = d - slope * terms[:, 0]
        orthogonal = np.linalg.qr(terms)[0]
        return _Solved(weight, slope, float(((orthogonal.T @ rest) ** 2).sum()))
