"""A click generator for the tests of this folder: plain numpy, and nothing of qhal.link but the pattern.

Only clicks are drawn. Detector d of a symbol of intensity k and state s sees a Poisson number of photons of
mean ``mu_k * efficiency_d / 2 * response[s, d]``; background is uniform in time; each detector is then dead
for a fixed time after each click.
"""

from dataclasses import dataclass, replace
from itertools import pairwise
from math import erf, sqrt

import numpy as np

from qhal.link.pattern import SymbolPattern
from qhal.tags.batch import Gap, TagBatch


def ideal_response(optical_error: float = 0.012) -> np.ndarray:
    """State x detector: share of the light in the detector's basis that goes to this detector."""
    right, wrong = 1 - optical_error, optical_error
    response = np.full((4, 4), 0.5)
    for s in range(4):
        response[s, s], response[s, s ^ 1] = right, wrong
    return response


@dataclass(frozen=True)
class Link:
    pattern: SymbolPattern
    response: np.ndarray
    transmission: float = 0.0759
    efficiencies: tuple[float, ...] = (0.82, 0.78, 0.80, 0.76)
    background_hz: float = 100.0  # per detector
    dead_time_ps: float = 35_000.0
    pulse_sigma_ps: float = 680.0
    skews_ps: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    frequency_offset: float = 0.0
    first_symbol: float = 0.0  # symbol coordinate at time 0 of the tagger
    resolution_ps: int = 100

    def photons(self) -> np.ndarray:
        """Mean detected photons, (3, 4, 4) by intensity, state, detector."""
        mu = np.array(self.pattern.mean_photon_numbers)[:, None, None]
        return mu * self.transmission * np.array(self.efficiencies) / 2 * self.response

    def batch(
        self, rng: np.random.Generator, duration_ps: int, start_ps: int = 0, epoch: int = 0
    ) -> TagBatch:
        p, period = self.pattern, self.pattern.period_ps / (1 + self.frequency_offset)
        n = len(p)
        rates = self.photons()[p.intensity, p.states]  # symbol, detector
        first = int(np.floor(self.first_symbol + start_ps / period)) // n - 1
        turns = int(duration_ps / (n * period)) + 3
        times, channels = [], []
        for d in range(4):
            cumulative = np.cumsum(rates[:, d])
            count = rng.poisson(cumulative[-1] * turns)
            symbol = np.searchsorted(cumulative, rng.uniform(0, cumulative[-1], count))
            symbol = symbol + n * (first + rng.integers(0, turns, count))
            t = (symbol - self.first_symbol) * period + rng.normal(0, self.pulse_sigma_ps, count)
            noise = rng.uniform(
                start_ps, start_ps + duration_ps, rng.poisson(self.background_hz * duration_ps * 1e-12)
            )
            t = self._alive(np.sort(np.concatenate([t, noise]))) + self.skews_ps[d]
            times.append(t[(t >= start_ps) & (t < start_ps + duration_ps)])
            channels.append(np.full(len(times[-1]), d + 1, np.uint8))
        t, c = np.concatenate(times), np.concatenate(channels)
        order = np.argsort(t, kind="stable")
        ticks = np.floor(t[order] / self.resolution_ps).astype(np.int64) * self.resolution_ps
        return TagBatch(np.maximum(ticks, start_ps), c[order], start_ps, start_ps + duration_ps, epoch)

    def _alive(self, t: np.ndarray) -> np.ndarray:
        """Drop what falls into the dead time after a kept click."""
        while True:
            early = np.concatenate([[False], np.diff(t) < self.dead_time_ps])
            drop = early & ~np.concatenate([[False], early[:-1]])  # its predecessor is certainly kept
            if not drop.any():
                return t
            t = t[~drop]

    def truth(self, window_ps: float) -> dict[str, np.ndarray]:
        """Gain and QBER by intensity for live symbols, by enumerating the 16 sets of clicked detectors."""
        inside = erf(window_ps / (2 * sqrt(2) * self.pulse_sigma_ps))
        quiet = np.exp(-(self.photons() * inside + self.background_hz * window_ps * 1e-12))
        gain, sifted, wrong = np.zeros(3), np.zeros(3), np.zeros(3)
        for k in range(3):
            for s in range(4):
                for mask in range(1, 16):
                    on = np.array([mask >> d & 1 for d in range(4)], bool)
                    p = np.prod(np.where(on, 1 - quiet[k, s], quiet[k, s])) / 4
                    gain[k] += p
                    bases = {d // 2 for d in range(4) if on[d]}
                    if bases == {s // 2}:
                        sifted[k] += p
                        wrong[k] += p * on[s ^ 1] * (0.5 if on[s] else 1.0)
        return {"gain": gain, "qber": wrong / sifted}


def cut(batch: TagBatch, edges: list[int]) -> list[TagBatch]:
    """Cut a batch at times."""
    bounds = [batch.start_ps, *sorted(edges), batch.stop_ps]
    parts = []
    for a, b in pairwise(bounds):
        i, j = np.searchsorted(batch.times_ps, [a, b])
        gaps = tuple(g for g in batch.gaps if a <= g.start_ps < b)
        parts.append(TagBatch(batch.times_ps[i:j], batch.channels[i:j], a, b, batch.epoch, gaps))
    return parts


def with_gap(batch: TagBatch, gap: Gap) -> TagBatch:
    """Take the tags of a gap out."""
    keep = (batch.times_ps < gap.start_ps) | (batch.times_ps >= gap.stop_ps)
    return replace(
        batch, times_ps=batch.times_ps[keep], channels=batch.channels[keep], gaps=(*batch.gaps, gap)
    )
