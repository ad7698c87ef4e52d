"""Afterpulse probability and lifetime of detectors from the intervals between their clicks in weak light.

Without afterpulses the hazard of an interval is flat once the detector has recovered. An afterpulse follows a click
with a probability, at an exponential time after the dead time; so the excess of the hazard, while intervals
survive, is the distribution of afterpulses, and its area their probability. (ETSI GS QKD 011 finds it in the empty
gates behind lit ones; steady light needs no pulses.) In weak light hardly any other click comes between.
"""

from typing import Annotated, Any

import numpy as np
from pydantic import Field
from scipy.optimize import minimize

from qhal.calibration.figures.hazard import draw_hazard
from qhal.calibration.figures.labels import channels_of, in_unit
from qhal.calibration.figures.style import data_and_residuals
from qhal.calibration.fitting.fit import Array, Fitted, Model, fit_counts, numbered
from qhal.calibration.fitting.intervals import (
    TABLE,
    Intervals,
    cumulated_decay,
    cumulated_edge,
    read,
    smearing_ns,
)
from qhal.calibration.framework.calibration import Calibration
from qhal.calibration.framework.data import Data, Evaluation
from qhal.calibration.framework.plan import Positive
from qhal.calibration.inputs import detector_records
from qhal.calibration.optics.count_rate import SETTINGS
from qhal.calibration.optics.interval_recording import IntervalPlan, measure_intervals
from qhal.calibration.optics.setups import TaggedSetup
from qhal.records.record import Quantity, Record
from qhal.records.uncertain import values_of

FORMULA = (
    "hazard of light, rate (1 - exp(-t / recovery)), and of an afterpulse, exponential, after the dead time"
)
_JITTER_FWHM_PS = 60.0
"""Smears the first bin only: the area of the excess does not depend on it."""
_TOO_LITTLE = 1e-12
"""Counts expected where there can be none: a likelihood needs some."""
_SHAPE = 3


class AfterpulsePlan(IntervalPlan):
    """Light of ``rate_hz`` clicks on the mean input, recorded ``repetitions`` times for ``period_s``.

    Intervals up to ``range_ns`` are binned, longer ones give the rate. ``recovery_time_ns`` and its standard
    uncertainty (see ``dead-time``): for the light that a recovering detector misses.
    """

    rate_hz: Positive = 2e4
    repetitions: Annotated[int, Field(ge=1)] = 20
    period_s: Positive = 4.0
    recovery_time_ns: Positive
    recovery_uncertainty_ns: Annotated[float, Field(ge=0)]


def evaluate(data: Data, plan: AfterpulsePlan) -> Evaluation:
    """Fit each channel's hazard."""
    table, quantities, fits = data[TABLE], [], []
    sigma_ns = smearing_ns(table, _JITTER_FWHM_PS)
    for column in range(table["counts"].shape[1]):
        intervals, channel = read(table, column), column + 1
        fitted = _fit(intervals, sigma_ns, plan.recovery_time_ns)
        slower = _fit(intervals, sigma_ns, plan.recovery_time_ns + plan.recovery_uncertainty_ns)
        fits.append(fitted.fit_at(channel=channel))
        shift = values_of(slower.values) - values_of(fitted.values)
        common = plan.unit_error("recovery_time_ns", "recovery time")
        probability, lifetime = (fitted.values[n] + float(shift[n]) * common for n in (1, 2))
        quantities += [
            Quantity.of("afterpulse_probability", "1", probability, channel=channel),
            Quantity.of("afterpulse_lifetime", "ns", lifetime, channel=channel),
        ]
    return Evaluation(quantities, fits, settings={"detectors": SETTINGS})


def _fit(intervals: Intervals, sigma_ns: float, recovery_ns: float) -> Fitted:
    """Fit dead time (ns), probability, lifetime (ns) and each repetition's rate (1/ns)."""
    model = _model(intervals, sigma_ns, recovery_ns)
    rates = intervals.tail_counts / intervals.tail_ns
    counts = np.concatenate((intervals.counts, intervals.tail_counts))
    start = _guess(intervals)

    def unlikeliness(p: Array) -> float:
        expected = model(np.concatenate((np.abs(p), rates)))
        return float(np.sum(expected - counts * np.log(expected)))

    # Where nothing was counted, a step along the slope leads astray: a simplex goes to the bottom first.
    found = minimize(unlikeliness, start, method="Nelder-Mead", options={"xatol": 1e-5, "fatol": 1e-3})
    low = [0.0, 0.0, 1e-3 * start[2], *[0.0] * len(rates)]
    high = [np.inf, 0.999, np.inf, *[np.inf] * len(rates)]
    begin = np.clip([*np.abs(found.x), *rates], np.array(low) + 1e-12, high)
    names = ("dead_time_ns", "probability", "lifetime_ns")
    named = {**dict(zip(names, begin.tolist(), strict=False)), **numbered("rate_per_ns", begin[_SHAPE:])}
    return fit_counts("counts", FORMULA, model, counts, named, (low, high))


def _model(intervals: Intervals, sigma_ns: float, recovery_ns: float) -> Model:
    """Return the counts expected of all bins, and of the longer intervals of each repetition."""
    tails = intervals.tail_ns / intervals.tail_ns.sum()

    def expected(p: Array) -> Array:
        dead, probability, lifetime, rates = p[0], p[1], p[2], p[_SHAPE:]
        past = intervals.edges_ns - dead
        light = cumulated_edge(past, sigma_ns) - cumulated_decay(past, recovery_ns, sigma_ns)
        happened = np.minimum(probability * cumulated_decay(past, lifetime, sigma_ns) / lifetime, 1 - 1e-9)
        cumulated = (rates @ tails) * light - np.log1p(-happened)
        counts = np.concatenate((intervals.expected(cumulated), rates * intervals.tail_ns))
        return np.maximum(counts, _TOO_LITTLE)

    return expected


def _guess(intervals: Intervals) -> Array:
    """Return about the dead time, the probability and the lifetime: beginning, area and mean of the excess."""
    first = int(np.argmax(intervals.counts > 0))
    widths = np.diff(intervals.edges_ns)
    excess = np.maximum((intervals.hazard_per_ns - intervals.rate_per_ns) * widths, 0.0)[first:]
    since_ns = intervals.middle_ns[first:] - intervals.edges_ns[first]
    area = max(float(excess.sum()), 1e-6)
    return np.array([intervals.middle_ns[first], area, max(float(excess @ since_ns) / area, widths[first])])


def draw(figure: Any, record: Record) -> None:
    """Show the hazards, their models and the residuals."""
    plan, table = AfterpulsePlan(**record.inputs), record.tables[TABLE]
    upper, lower = data_and_residuals(
        figure, "time since the last click / ns", "clicks per µs, of those to come"
    )
    sigma_ns = smearing_ns(table, _JITTER_FWHM_PS)
    for n, channel in enumerate(channels_of(record, "afterpulse_probability")):
        intervals = read(table, n)
        fit = record.fit(FORMULA, channel=channel)
        expected = _model(intervals, sigma_ns, plan.recovery_time_ns)(fit.values)[: len(intervals.counts)]
        probability = record.quantity("afterpulse_probability", channel=channel)
        lifetime = record.quantity("afterpulse_lifetime", channel=channel)
        label = f"channel {channel}: ({in_unit(probability, 100, '').strip()}) %, {in_unit(lifetime)}"
        draw_hazard(upper, lower, intervals, expected, n, label)
    upper.set_xlim(0, plan.range_ns)
    upper.set_ylim(0, None)
    upper.legend(frameon=False, fontsize=8)


CALIBRATION = Calibration(
    name="afterpulse",
    title="Afterpulse probability and lifetime of the detectors",
    method="excess of the hazard of intervals between clicks in weak steady light; exponential, maximum likelihood",
    plan=AfterpulsePlan,
    setup=TaggedSetup,
    measure=measure_intervals,
    evaluate=evaluate,
    draw=draw,
    from_node=(detector_records.recovery,),
    uses=(detector_records.DEAD_TIME,),
)
