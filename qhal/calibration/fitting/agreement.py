"""Several values of one quantity: their mean, and whether they agree within their uncertainties."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from uncertainties import UFloat, covariance_matrix

from qhal.records.record import Fit
from qhal.records.uncertain import statistical, values_of


def weighted_mean(formula: str, values: Sequence[UFloat]) -> tuple[UFloat, Fit]:
    """Return the mean, weighted by what is not common to the values, and how well they agree.

    chi2 is that of their differences, so what is common does not enter. Values that disagree beyond chance have a mean
    that is as uncertain as they scatter.
    """
    if len(values) == 1:
        return values[0], Fit(model=formula, chi2=0.0, degrees_of_freedom=0)
    even: Any = sum(values) / len(values)
    weights = 1 / np.array([(value - even).std_dev ** 2 for value in values])
    mean: Any = sum(w * value for w, value in zip(weights / weights.sum(), values, strict=True))
    differences = [value - values[0] for value in values[1:]]
    off = values_of(differences)
    covariance = np.array(covariance_matrix(differences))
    fit = Fit(
        model=formula,
        chi2=float(off @ np.linalg.solve(covariance, off)),
        degrees_of_freedom=len(differences),
    )
    if fit.poor:
        scatter = float(np.std(values_of(values), ddof=1))
        mean, fit = mean + statistical("disagreement", 0.0, scatter), fit.model_copy(update={"scaled": True})
    return mean, fit
