"""Bins of a tagger's interpolator: their widths differ, which a code-density calibration finds."""

import numpy as np
from numpy.typing import NDArray

_NARROWEST = 0.1


def edges(generator: np.random.Generator, bins: int, dnl: float) -> NDArray[np.float64]:
    """Return the edges of one turn of the interpolator in units of the mean width; none when all are equal.

    ``dnl``: standard deviation of the widths over their mean (differential non-linearity). No bin is narrower than a
    tenth of the mean, so that each has a code.
    """
    if dnl == 0:
        return np.empty(0)
    widths = np.maximum(generator.normal(1.0, dnl, bins), _NARROWEST)
    cumulated: NDArray[np.float64] = np.concatenate(([0.0], np.cumsum(widths)))
    cumulated *= bins / cumulated[-1]
    return cumulated
