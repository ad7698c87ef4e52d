"""What is second order in unknowns of a fit, and does not average out.

A paddle that stops beside the best angle, to whichever side, costs contrast. In a fit where such an angle is known to
be 0 with some spread, 0 is the most likely value, and the loss goes to other parameters. Their means differ from their
most likely values by ``-1/2 C J' W tr(C H)``: covariance C, slopes J, weights W, curvatures H of the model (Laplace's
method, the term that is leading where what is known of the angles comes from elsewhere).
"""

import numpy as np
from uncertainties import UFloat

from qhal.calibration.fitting.fit import Array, Fitted, Model


def means(fitted: Fitted, model: Model, sigma: Array) -> tuple[UFloat, ...]:
    """Return the parameters' means instead of their most likely values, with the same covariance.

    ``model`` and ``sigma``: those of the fit (:func:`qhal.calibration.fitting.fit.fit_values`).
    """
    best = np.array([value.nominal_value for value in fitted.values])
    root = np.linalg.cholesky(fitted.covariance)
    above, below = (np.array([model(best + sign * step) for step in root.T]) for sign in (1, -1))
    curvature = (above + below - 2 * model(best)).sum(axis=0)
    slopes = (above - below) / 2
    shift = -0.5 * root @ (slopes @ (curvature / sigma**2))
    return tuple(value + float(moved) for value, moved in zip(fitted.values, shift, strict=True))
