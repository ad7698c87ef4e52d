"""Staircases: all levels of a modulator's voltage within a millisecond, repeated, and located in the clicks.

What drifts more slowly (laser, fibre, attenuator) then changes all levels alike. The levels are in an order without
symmetry, so that the clicks alone show where the staircase begins: no marker and no common clock are needed.
"""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from qhal.calibration.framework.plan import CHANNELS, CountingPlan, Extent
from qhal.calibration.framework.points import Run
from qhal.calibration.optics.played_light import OneOutputPlan
from qhal.calibration.optics.tag_recording import record_tags
from qhal.devices.pattern_generator import PatternGenerator
from qhal.devices.time_tagger import TimeTagger
from qhal.link.link_errors import NotEnoughCounts
from qhal.tags.batch import TagBatch

Array = NDArray[np.float64]
BINS = 10
"""Bins of a level. One contains the step, one on either side of it is left out: for clock offset and settling."""
_KEPT = slice(2, BINS - 1)
_STAIRCASES = 2
"""A calibration plays two at most."""
_CLEAR = 5.0
"""Minimum chi2 per degree of freedom of the levels against a constant, for a staircase."""


@dataclass(frozen=True, eq=False, slots=True)
class Staircase:
    """Levels in the order played, each for ``dwell_s``."""

    levels_v: Array
    dwell_s: float

    @classmethod
    def over(cls, low_v: float, high_v: float, levels: int, dwell_s: float) -> "Staircase":
        """Return evenly spaced levels in an order without symmetry."""
        order = np.random.default_rng(levels).permutation(levels)
        return cls(np.linspace(low_v, high_v, levels)[order], dwell_s)

    @property
    def period_ps(self) -> int:
        """Duration of one staircase."""
        return round(self.dwell_s * 1e12) * len(self.levels_v)

    def play(self, generator: PatternGenerator, channel: int, held_v: dict[int, float]) -> None:
        """Play it on a channel, as slowly as the generator can, and constant volts on others."""
        rate_hz = generator.capabilities.min_sample_rate_hz
        points = round(self.dwell_s * rate_hz)
        rate_hz = points / self.dwell_s
        waveform = np.repeat(self.levels_v, points)
        volts = {other: np.full(len(waveform), level) for other, level in held_v.items()}
        generator.play(volts | {channel: waveform}, rate_hz)


class StaircasePlan(OneOutputPlan, CountingPlan):
    """Staircases from ``low_v`` to ``high_v`` at the generator's connector, of ``levels`` of ``dwell_s`` each.

    Each is recorded ``repetitions`` times for ``row_s``.
    """

    low_v: float = -2.25
    high_v: float = 2.25
    levels: Annotated[int, Field(ge=12, le=200)] = 25
    dwell_s: Annotated[float, Field(ge=5e-6, le=1e-3)] = 40e-6
    repetitions: Annotated[int, Field(ge=2)] = 5
    row_s: Annotated[float, Field(gt=0, le=2)] = 2.0

    @model_validator(mode="after")
    def _ascends(self) -> "StaircasePlan":
        if self.high_v <= self.low_v:
            raise ValueError("high_v must be above low_v")
        return self

    def extent(self) -> Extent:
        """Return how large the measurement is."""
        numbers = _STAIRCASES * self.repetitions * self.levels * BINS * CHANNELS
        seconds = _STAIRCASES * self.repetitions * self.row_s + self.dark_s
        return Extent(_STAIRCASES * self.repetitions, seconds, numbers, CHANNELS * self.rate_hz * self.row_s)

    def staircase(self) -> Staircase:
        """Return the staircase over the range."""
        return Staircase.over(self.low_v, self.high_v, self.levels, self.dwell_s)


def record(
    run: Run, table: str, plan: StaircasePlan, steps: Staircase, channels: int, tagger: TimeTagger
) -> None:
    """Record a staircase that plays; keep its counts as a table, a row at a time."""
    for point in run.points(table, [{"repetition": n + 1} for n in range(plan.repetitions)]):
        batch = record_tags(tagger, plan.row_s)
        folded, bin_s = fold(batch, channels, steps.period_ps, len(steps.levels_v))
        run.store(table, **point, played_v=steps.levels_v.tolist(), counts=folded.tolist(), bin_s=bin_s)


def fold(batch: TagBatch, channels: int, period_ps: int, levels: int) -> tuple[NDArray[np.int64], float]:
    """Return counts (channels, bins) over the staircase's period and the seconds in which each bin counted.

    Of each stretch between pauses whole periods count, so that all bins count equally long. Where the staircase begins
    is not known: bin 0 is the beginning of the batch. Input n of the tagger is row n - 1.
    """
    bins = levels * BINS
    counts, periods = np.zeros((channels, bins), np.int64), 0
    start = batch.start_ps
    for gap in (*sorted(batch.gaps, key=lambda gap: gap.start_ps), None):
        stop = batch.stop_ps if gap is None else gap.start_ps
        whole = max(0, (stop - start) // period_ps)
        first, last = np.searchsorted(batch.times_ps, (start, start + whole * period_ps))
        place = (batch.times_ps[first:last] - batch.start_ps) % period_ps * bins // period_ps
        row = batch.channels[first:last].astype(np.int64) - 1
        counts += np.bincount(row * bins + place, minlength=channels * bins).reshape(channels, bins)
        periods += whole
        start = stop if gap is None else gap.stop_ps
    return counts, periods * period_ps * 1e-12 / bins


def by_level(folded: NDArray[np.int64], by: int | None = None) -> NDArray[np.int64]:
    """Return counts (channels, levels) of :func:`fold` for the inner bins of each level, from an unknown one on.

    The step between two levels is where the counts change most: those of all channels, or of one row ``by`` where
    channels gain what others lose.
    """
    total = (folded.sum(axis=0) if by is None else folded[by]).astype(np.float64)
    change = (np.roll(total, -1) - np.roll(total, 1)) ** 2
    step = int(np.argmax(change.reshape(-1, BINS).sum(axis=0)))
    levels: NDArray[np.int64] = np.roll(folded, -step, axis=1).reshape(len(folded), -1, BINS)
    kept: NDArray[np.int64] = levels[:, :, _KEPT].sum(axis=2)
    return kept


def counted_s(bin_s: float) -> float:
    """Return the seconds in which a level of :func:`by_level` counted."""
    return bin_s * len(range(BINS)[_KEPT])


@dataclass(frozen=True, slots=True)
class Start:
    """Where a staircase begins and a first guess of the curve: ``offset + swing cos(pi (V - v0_v) / vpi_v)``."""

    shift: int
    v0_v: float
    vpi_v: float
    offset: float
    swing: float


def interference(levels_v: Array, v0_v: Any, vpi_v: float, log_floor: float) -> Array:
    """Return the transmission of an intensity modulator; ``log_floor``: natural logarithm of the least one."""
    floor = np.exp(log_floor)
    passed: Array = floor + (1 - floor) * np.cos(np.pi * (levels_v - v0_v) / (2 * vpi_v)) ** 2
    return passed


def find_start(counts: NDArray[np.int64], levels_v: Array, vpi_v: Array) -> Start:
    """Find at which level a staircase begins, by the sine through all of them that fits best.

    ``counts`` (levels) as they came, ``levels_v`` as they were played, ``vpi_v``: values to try. Raises NotEnoughCounts
    when the light does not follow the levels.
    """
    y = counts.astype(np.float64)
    freedom = len(y) - 1
    if y.sum() == 0 or ((y - y.mean()) ** 2).sum() / y.mean() < _CLEAR * freedom:
        raise NotEnoughCounts(
            f"{y.sum():.0f} clicks do not follow the staircase: is this the modulator's channel, and is there light?"
        )
    shifted = np.stack([np.roll(y, -shift) for shift in range(len(y))], axis=1)
    best: tuple[float, Start] | None = None
    for vpi in vpi_v:
        angle = np.pi * levels_v / vpi
        basis = np.stack((np.ones_like(angle), np.cos(angle), np.sin(angle)), axis=1)
        solved, *_ = np.linalg.lstsq(basis, shifted)
        misfit = ((basis @ solved - shifted) ** 2).sum(axis=0)
        shift = int(np.argmin(misfit))
        if best is None or misfit[shift] < best[0]:
            offset, along, across = solved[:, shift].tolist()
            v0 = float(vpi * np.arctan2(across, along) / np.pi)
            best = (
                float(misfit[shift]),
                Start(
                    shift=shift,
                    v0_v=v0,
                    vpi_v=float(vpi),
                    offset=offset,
                    swing=float(np.hypot(along, across)),
                ),
            )
    assert best is not None
    return best[1]
