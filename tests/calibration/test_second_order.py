"""Fits with an unknown that matters in second order only."""

import numpy as np

from qhal.calibration.fitting.fit import fit_values
from qhal.calibration.fitting.second_order import means


def test_mean_of_what_an_unknown_angle_costs():
    rng, found, modes, truth, spread = np.random.default_rng(3), [], [], 0.9, 0.2
    sigma = np.array([0.003, spread])

    def model(p):
        return np.array([p[0] * np.cos(p[1]), p[1]])

    for _ in range(600):
        measured = truth * np.cos(rng.normal(0, spread)) + rng.normal(0, 0.003)
        fitted = fit_values(
            "data", "contrast", model, [measured, 0.0], sigma, {"contrast": 1.0, "angle": 0.01}
        )
        modes.append(fitted.values[0].nominal_value)
        found.append(means(fitted, model, sigma)[0].nominal_value)
    error = np.std(found) / np.sqrt(600)
    assert abs(np.mean(found) - truth) < 4 * error
    # What is most likely is the contrast itself, too low by 2 % on average.
    assert np.mean(modes) < truth - 10 * error
