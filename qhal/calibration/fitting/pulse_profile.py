"""Histograms of clicks over the period of a pulse train, and the width of what they show."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qhal.calibration.fitting.clock_phase import Array, block_sums, find_period_ps, phases
from qhal.link.link_errors import NotEnoughCounts
from qhal.records.uncertain import correlated, statistical
from qhal.tags.batch import TagBatch

_BLOCK_S = 0.02
_LEAST_BINS = 6
_SMOOTH = 5
_REFINEMENTS = 4


def fold(batch: TagBatch, channels: int, nominal_ps: float, bins: int, span_ps: float) -> NDArray[np.int64]:
    """Return counts (channels, bins) over the period of the pulses, with the pulses in the middle.

    The pulses' own period is found; all detectors share one zero, so that their skews show. Clicks within ``span_ps``
    about a detector's pulse locate it: those that are further away, background, would add nothing but noise.
    Raises NotEnoughCounts without clear pulses.
    """
    period_ps = find_period_ps(batch, nominal_ps)
    block_s = min(_BLOCK_S, (batch.stop_ps - batch.start_ps) * 1e-12 / 10)
    found = phases(block_sums(batch, channels, period_ps, block_s), period_ps, block_s)
    t_ps = (np.arange(len(found.delay_ps)) + 0.5) * block_s * 1e12
    drift, delay_ps = np.polyfit(t_ps, found.delay_ps, 1, w=1 / found.sigma_ps)
    inside = batch.channels <= channels
    column = batch.channels[inside].astype(np.int64) - 1
    since = (batch.times_ps[inside] - batch.start_ps).astype(np.float64)
    # Arrivals of a detector are at k * period + its delay + drift * t.
    delays_ps = delay_ps + found.skew_ps
    for _ in range(_REFINEMENTS):
        turns = (since * (1 - drift) - delays_ps[column]) / period_ps
        late_ps = (turns - np.rint(turns)) * period_ps
        near = np.abs(late_ps) < span_ps / 2
        t, late_ps, of = since[near] - since.mean(), late_ps[near], column[near]
        clicks = np.bincount(of, minlength=channels)
        mean_ps = np.bincount(of, late_ps, channels) / np.maximum(clicks, 1)
        change = float(t @ (late_ps - mean_ps[of]) / (t @ t))
        delays_ps, drift = delays_ps + mean_ps - change * since.mean(), drift + change
    turns = (since * (1 - drift) - delays_ps.mean()) / period_ps + 0.5
    place = np.minimum(((turns - np.floor(turns)) * bins).astype(np.int64), bins - 1)
    counts: NDArray[np.int64] = np.bincount(column * bins + place, minlength=channels * bins)
    return counts.reshape(channels, bins)


@dataclass(frozen=True, eq=False, slots=True)
class Profile:
    """One detector's histogram, turned so that the pulse is in the middle: ``time_ps`` about the pulse's mean.

    ``background`` is expected in each bin, known to ``background_sigma``, from the bins that are not ``near``.
    """

    time_ps: Array
    counts: Array
    near: NDArray[np.bool_]
    background: float
    background_sigma: float

    @classmethod
    def of(cls, counts: NDArray[np.int64], period_ps: float, span_ps: float) -> "Profile":
        """Take the bins within ``span_ps`` about the pulse for it, all others for background.

        Raises NotEnoughCounts when no pulse stands out.
        """
        bins = len(counts)
        angle = 2 * np.pi * (np.arange(bins) + 0.5) / bins
        middle = float(np.angle((counts * np.exp(1j * angle)).sum()))
        shift = round(bins / 2 - middle / (2 * np.pi) * bins)
        for _ in range(3):  # a mean over the whole turn is drawn aside by the background
            turned = np.roll(counts, shift).astype(np.float64)
            time_ps = (np.arange(bins) - bins // 2 + 0.5) * (period_ps / bins)
            near = np.abs(time_ps) < span_ps / 2
            background = float(turned[~near].mean())
            light = turned[near] - background
            if light.sum() < 10 * np.sqrt(turned[near].sum() + 1):
                raise NotEnoughCounts(f"{counts.sum():.0f} clicks show no pulse above the background")
            mean_ps = float((light * time_ps[near]).sum() / light.sum())
            shift -= round(mean_ps / (period_ps / bins))
        sigma = float(np.sqrt(max(background, 1 / (~near).sum()) / (~near).sum()))
        return cls(np.asarray(time_ps, np.float64), turned, near, background, sigma)

    def flatness(self, least: float = 20.0) -> tuple[float, int]:
        """Return chi2 and degrees of freedom of a flat background; bins are merged until ``least`` are expected."""
        far = np.concatenate((self.counts[self.time_ps > 0], self.counts[self.time_ps <= 0]))
        far = far[~np.concatenate((self.near[self.time_ps > 0], self.near[self.time_ps <= 0]))]
        merged = max(1, int(np.ceil(least / max(self.background, 1e-9))))
        whole = len(far) // merged
        if whole < _LEAST_BINS:
            return 0.0, 0
        counts = far[: whole * merged].reshape(whole, merged).sum(axis=1)
        return float(((counts - counts.mean()) ** 2).sum() / counts.mean()), whole - 1

    def variance_ps2(self) -> Any:
        """Return the variance of the clicks' times in the pulse, with its statistical uncertainty."""
        t, n = self.time_ps[self.near], self.counts[self.near]
        light = n - self.background
        total = light.sum()
        mean = (light * t).sum() / total
        value = float((light * (t - mean) ** 2).sum() / total)
        pull = ((t - mean) ** 2 - value) / total
        sigma = np.hypot(np.sqrt((n * pull**2).sum()), self.background_sigma * pull.sum())
        return statistical("counts", value, float(sigma))

    def log_height(self) -> Any:
        """Return the logarithm of the clicks in the highest bin above the background: the top of a Gaussian.

        Through the bins above 0.7 of it. Raises NotEnoughCounts where there are too few.
        """
        light = self._smooth()
        return self._curve(light > 0.7 * light.max(), "the top").top()

    def edges_ps(self, log_level: Any, smear_ps2: float = 0.0) -> tuple[Any, Any]:
        """Return when the clicks above the background rise to a level and fall below it (logarithm, in a bin).

        Read from Gaussians through the bins between 0.4 and 3 times the level. By how much the width of the bins, and
        what else smears them (variance ``smear_ps2``), moves an edge is taken off. Raises NotEnoughCounts where there
        are too few clicks.
        """
        light, level = self._smooth(), float(np.exp(log_level.nominal_value))
        peak, bins = int(np.argmax(light)), np.arange(len(light))
        smear_ps2 += float(self.time_ps[1] - self.time_ps[0]) ** 2 / 12
        found = []
        for side in (-1, 1):
            outwards = bins[(bins - peak) * side > 0][::side]
            first = int(np.argmax(light[outwards] < min(3 * level, 0.85 * light.max())))
            count = int(np.argmax(light[outwards[first:]] < 0.4 * level))
            edge = np.isin(bins, outwards[first : first + max(count, _LEAST_BINS)])
            curve = self._curve(edge, f"the edge at {level / light.max():.3g} of the height")
            found.append(curve.crossing(log_level, side, smear_ps2))
        return found[0], found[1]

    def full_width_ps(self, fraction: float) -> Any:
        """Return the width at a fraction of the greatest height, with its statistical uncertainty."""
        left, right = self.edges_ps(self.log_height() + float(np.log(fraction)))
        return right - left

    def _smooth(self) -> Array:
        smooth = np.convolve(self.counts, np.full(_SMOOTH, 1 / _SMOOTH), "same") - self.background
        light: Array = np.where(self.near, smooth, 0.0)
        return light

    def _curve(self, chosen: NDArray[np.bool_], what: str) -> "_Curve":
        t, n = self.time_ps[chosen], self.counts[chosen]
        if len(t) < _LEAST_BINS or n.sum() < 10 * _LEAST_BINS:
            raise NotEnoughCounts(f"{n.sum():.0f} clicks in {len(t)} bins on {what} are too few")
        return _Curve.through(t, n, self.background)


def agreement(each: Sequence[Profile], together: Profile) -> tuple[float, int]:
    """Return chi2 and degrees of freedom of recordings' variances against their mean, and of a flat background."""
    variances = [profile.variance_ps2() for profile in each]
    value = np.array([variance.nominal_value for variance in variances])
    weight = np.array([variance.std_dev for variance in variances]) ** -2.0
    mean = (value * weight).sum() / weight.sum()
    chi2, freedom = together.flatness()
    return chi2 + float((weight * (value - mean) ** 2).sum()), freedom + len(value) - 1


def widened(value: Any, factor: float) -> Any:
    """Return a number with its uncertainty enlarged: where a model does not describe the data."""
    return value.nominal_value + (value - value.nominal_value) * factor


@dataclass(frozen=True, eq=False, slots=True)
class _Curve:
    """``exp(c0 + c1 u + c2 u^2)`` of the light with ``u = (t - middle) / scale``, from the counts of a few bins."""

    middle_ps: float
    scale_ps: float
    c: tuple[Any, ...]

    @classmethod
    def through(cls, t: Array, n: Array, background: float) -> "_Curve":
        """Fit by maximum likelihood (iteratively weighted least squares)."""
        middle, scale = float(t.mean()), float(np.ptp(t)) / 2
        design = np.vander((t - middle) / scale, 3, increasing=True)
        c = np.linalg.lstsq(design, np.log(np.maximum(n - background, 0.5)))[0]
        for _ in range(30):
            light = np.exp(np.clip(design @ c, -20, 30))
            weight = light**2 / (light + background)
            covariance = np.linalg.inv((design.T * weight) @ design)
            step = covariance @ (design.T * weight) @ ((n - background - light) / light)
            c = c + np.clip(step, -1, 1)
        return cls(middle, scale, correlated("counts", c, covariance))

    def top(self) -> Any:
        """Return the logarithm of the greatest height within the bins."""
        place = (
            -self.c[1].nominal_value / (2 * self.c[2].nominal_value) if self.c[2].nominal_value < 0 else 0.0
        )
        u = float(np.clip(place, -1, 1))
        return self.c[0] + self.c[1] * u + self.c[2] * u**2

    def crossing(self, log_level: Any, side: int, smear_ps2: float) -> Any:
        """Return when the height is at a level; ``side`` +1 where it falls, -1 where it rises.

        Smeared by a small variance v a height f becomes f + v f'' / 2, which moves its edge by -v f'' / (2 f').
        """
        c0, c1, c2 = (value.nominal_value for value in self.c)
        roots = np.roots([c2, c1, c0 - log_level.nominal_value])
        roots = roots[np.abs(roots.imag) < 1e-9].real
        roots = roots[(np.abs(roots) < 1.5) & ((c1 + 2 * c2 * roots) * side < 0)]
        if len(roots) == 0:
            raise NotEnoughCounts("an edge of the pulse is not clear")
        u = float(roots[np.argmin(np.abs(roots))])
        here = self.c[0] + self.c[1] * u + self.c[2] * u**2
        slope = c1 + 2 * c2 * u
        moved = smear_ps2 / 2 * (slope**2 + 2 * c2) / slope / self.scale_ps
        return self.middle_ps + moved + self.scale_ps * (u + (log_level - here) / slope)
