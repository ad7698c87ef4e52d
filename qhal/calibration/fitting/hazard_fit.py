"""Fit the hazard of intervals: dead time, exponential recovery, afterpulses.

A dead time is an onset, so its likelihood is not a parabola: it falls slowly towards shorter dead times and
like a wall behind the first counts. Values and covariance are therefore the mean and the scatter over the likelihood
along the dead time (Pitman's estimator of a location), not the maximum and its curvature.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from qhal.calibration.fitting.fit import Array, Fitted, fit_counts, numbered
from qhal.calibration.fitting.intervals import Intervals, cumulated_decay, cumulated_edge
from qhal.records.uncertain import correlated, values_of

FORMULA = "hazard = rate (1 - exp(-(t - dead) / recovery)) + after exp(-(t - dead) / lifetime)"
_TOO_LITTLE = 1e-12
"""Counts expected where there can be none: a likelihood needs some."""
_FAR = 8.0
"""Logarithm of the likelihood ratio at which a dead time is out of the question."""
_PLACES = 25
_SHAPE = 3


class HazardFit:
    """The hazard of one channel: ``sigma_ns`` smears its edge, afterpulses fade with ``lifetime_ns``."""

    def __init__(self, intervals: Intervals, sigma_ns: float, lifetime_ns: float) -> None:
        self._intervals = intervals
        self._sigma_ns = sigma_ns
        self._lifetime_ns = lifetime_ns
        self._tails = intervals.tail_ns / intervals.tail_ns.sum()
        self._rates = intervals.tail_counts / intervals.tail_ns
        self._counts = np.concatenate((intervals.counts, intervals.tail_counts))

    def model(self, p: Array) -> Array:
        """Return the counts expected for dead time, recovery (ns), afterpulses and rates by repetition (1/ns)."""
        dead, recovery, after, rates = p[0], p[1], p[2], p[_SHAPE:]
        past, sigma = self._intervals.edges_ns - dead, self._sigma_ns
        cumulated = (rates @ self._tails) * (
            cumulated_edge(past, sigma) - cumulated_decay(past, recovery, sigma)
        )
        cumulated += after * cumulated_decay(past, self._lifetime_ns, sigma)
        expected = np.concatenate((self._intervals.expected(cumulated), rates * self._intervals.tail_ns))
        return np.maximum(expected, _TOO_LITTLE)

    def best(self, near: Array | None = None) -> Fitted:
        """Return the most likely parameters, looked for near some, or where the first counts are."""
        # Where nothing was counted, a step along the slope leads astray: a simplex goes to the bottom first.
        guesses = self._guesses() if near is None else [near[:_SHAPE]]
        found = [self._descend(guess) for guess in guesses]
        shape = min(found, key=lambda each: each[1])[0]
        low = [0.0, self._sigma_ns / 100, *[0.0] * (1 + len(self._rates))]
        start = np.maximum([*shape, *self._rates], np.array(low) + 1e-12)
        bounds = (low, [np.inf] * len(start))
        names = ("dead_time_ns", "recovery_time_ns", "afterpulses_per_ns")
        named = {
            **dict(zip(names, start.tolist(), strict=False)),
            **numbered("rate_per_ns", start[_SHAPE:]),
        }
        return fit_counts("counts", FORMULA, self.model, self._counts, named, bounds)

    def typical(self, best: Fitted) -> Fitted:
        """Return the best fit with mean and scatter of its parameters over the likelihood along the dead time."""
        shape = values_of(best.values[:_SHAPE])
        joint = best.covariance
        scale = best.fit.chi2 / best.fit.degrees_of_freedom if best.fit.scaled else 1.0
        step_ns = float(np.sqrt(joint[0, 0] / scale))
        floor = self._descend(shape[1:], float(shape[0]))[1]
        low_ns, high_ns = (self._bound(shape, side * step_ns, floor) for side in (-1, 1))
        places = np.linspace(low_ns, high_ns, _PLACES)
        along, depths = [], []
        near = shape[1:]
        for dead_ns in places:
            near, depth = self._descend(near, float(dead_ns))
            along.append([dead_ns, *near])
            depths.append(depth)
        weights = np.exp(-(np.array(depths) - min(depths)))
        weights /= weights.sum()
        means = weights @ np.array(along)
        off = np.array(along) - means
        scatter = (off * weights[:, None]).T @ off
        scatter[1:, 1:] += np.linalg.inv(np.linalg.inv(joint[:_SHAPE, :_SHAPE] / scale)[1:, 1:])
        joint[:_SHAPE, :_SHAPE] = scatter * scale
        joint[:_SHAPE, _SHAPE:] = joint[_SHAPE:, :_SHAPE] = 0.0
        values = np.concatenate((means, values_of(best.values[_SHAPE:])))
        typical = replace(best, values=correlated("counts", values, joint))
        return typical.described(list(best.fit.parameters))

    def _bound(self, shape: Array, step_ns: float, floor: float) -> float:
        """Return a dead time on one side that is out of the question."""
        near, at_ns = shape[1:], float(shape[0])
        while True:
            at_ns += step_ns
            near, depth = self._descend(near, at_ns)
            if depth > floor + _FAR or at_ns <= 0:
                return max(at_ns, 0.0)
            step_ns *= 1.5

    def _descend(self, guess: Array, dead_ns: float | None = None) -> tuple[NDArray[np.float64], float]:
        """Return the most likely shape, or recovery and afterpulses at a given dead time, and the unlikeliness."""
        known = [] if dead_ns is None else [dead_ns]
        units = self._units()[len(known) :]

        def unlikeliness(p: Array) -> float:
            expected = self.model(np.concatenate((known, np.abs(p * units), self._rates)))
            return float(np.sum(expected - self._counts * np.log(expected)))

        start = guess / units
        simplex = np.vstack((start, start + np.diag(0.3 + 0.1 * start)))
        options = {"xatol": 1e-3, "fatol": 1e-3, "initial_simplex": simplex}
        found = minimize(unlikeliness, start, method="Nelder-Mead", options=options)
        return np.abs(found.x * units), float(found.fun)

    def _units(self) -> Array:
        """Return by how much the parameters differ, more or less."""
        return np.array([0.1, 1.0, 0.02 * self._intervals.rate_per_ns])

    def _guesses(self) -> list[Array]:
        """Return where to look: it begins at the first counts and rises to 63 % of its late value, more or less."""
        intervals = self._intervals
        first = int(np.argmax(intervals.counts > 0))
        risen = int(np.argmax(intervals.hazard_per_ns > 0.63 * intervals.rate_per_ns))
        start_ns = float(intervals.middle_ns[first])
        recovery_ns = max(float(intervals.middle_ns[risen]) - start_ns, 0.1)
        return [
            np.array([start_ns, recovery_ns * more, intervals.rate_per_ns * fraction])
            for more, fraction in ((0.7, 0.02), (1.5, 0.2))
        ]
