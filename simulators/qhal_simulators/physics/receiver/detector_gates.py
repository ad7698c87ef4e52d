"""Gated detectors: how sensitive they are over a turn of the gate."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_STEPS = 2048
_RISE_PER_SIGMA = 2.5631031310892007  # 10 to 90 % of an error function


def sensitivity(
    delays_ps: Sequence[float], period_ps: float, width_ps: float, rise_ps: float, leak: float = 0.0
) -> NDArray[np.float64]:
    """Return the relative efficiency of each detector at steps of a turn, 1 on the gate's top.

    A gate is a rectangle of ``width_ps`` about its delay, smoothed by a Gaussian whose edge rises within ``rise_ps``
    from 10 to 90 %; outside of it ``leak`` is left. Without a period there is one step, always sensitive.
    """
    if period_ps == 0:
        return np.ones((len(delays_ps), 1))
    sigma = rise_ps / _RISE_PER_SIGMA * math.sqrt(2)
    middle = (np.arange(_STEPS) + 0.5) / _STEPS * period_ps
    rows = []
    for delay in delays_ps:
        away = np.mod(middle - delay + period_ps / 2, period_ps) - period_ps / 2
        rows.append(
            [(math.erf((x + width_ps / 2) / sigma) - math.erf((x - width_ps / 2) / sigma)) / 2 for x in away]
        )
    return leak + (1 - leak) * np.array(rows)
