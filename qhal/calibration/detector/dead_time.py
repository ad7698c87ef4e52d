"""Dead time and recovery of detectors from the intervals between their clicks in steady light.

After a click a detector is blind for the dead time, then its efficiency comes back exponentially,
``eta0 (1 - exp(-(t - dead) / recovery))``: so for avalanche diodes (Krause and Walenta, arXiv:2507.10361) and, with the
current that returns to a nanowire by its kinetic inductance, nearly so for these. The dead time is that of ETSI GS QKD
011, where the first intervals are; its partial recovery time is when a fraction of the efficiency is back.
"""

from typing import Annotated, Any

import numpy as np
from pydantic import Field
from uncertainties import UFloat

from qhal.calibration.figures.hazard import draw_hazard
from qhal.calibration.figures.labels import channels_of, in_unit
from qhal.calibration.figures.style import data_and_residuals
from qhal.calibration.fitting.hazard_fit import FORMULA, HazardFit
from qhal.calibration.fitting.intervals import TABLE, read, smearing_ns
from qhal.calibration.framework.calibration import Calibration
from qhal.calibration.framework.data import Data, Evaluation
from qhal.calibration.framework.plan import Positive
from qhal.calibration.optics.count_rate import SETTINGS
from qhal.calibration.optics.interval_recording import IntervalPlan, measure_intervals
from qhal.calibration.optics.setups import TaggedSetup
from qhal.records.record import Quantity, Record
from qhal.records.uncertain import systematic, values_of


class DeadTimePlan(IntervalPlan):
    """Light of ``rate_hz`` clicks on the mean input, recorded ``repetitions`` times for ``period_s``.

    Intervals up to ``range_ns`` are binned, longer ones give the rate. ``jitter_fwhm_ps`` of detector and tagger
    together and its standard uncertainty smear the edge. Afterpulses fade with ``afterpulse_lifetime_ns`` (give the
    result of ``afterpulse``, because these few do not determine it); their number is fitted. ``fraction``: of
    the efficiency, for the partial recovery time.
    """

    rate_hz: Positive = 1e6
    repetitions: Annotated[int, Field(ge=1)] = 10
    period_s: Positive = 0.4
    jitter_fwhm_ps: Positive = 60.0
    jitter_uncertainty_ps: Annotated[float, Field(ge=0)] = 20.0
    afterpulse_lifetime_ns: Positive = 40.0
    afterpulse_lifetime_uncertainty_ns: Annotated[float, Field(ge=0)] = 30.0
    fraction: Annotated[float, Field(gt=0, lt=1)] = 0.9


def evaluate(data: Data, plan: DeadTimePlan) -> Evaluation:
    """Fit each channel's hazard."""
    table, quantities, fits, remarks = data[TABLE], [], [], []
    sigma_ns = smearing_ns(table, plan.jitter_fwhm_ps)
    wider_ns = smearing_ns(table, plan.jitter_fwhm_ps + plan.jitter_uncertainty_ps)
    lifetime_ns, lifetime_off_ns = plan.afterpulse_lifetime_ns, plan.afterpulse_lifetime_uncertainty_ns
    for column in range(table["counts"].shape[1]):
        channel = column + 1
        intervals = read(table, column)
        best = HazardFit(intervals, sigma_ns, lifetime_ns).best()
        fitted = HazardFit(intervals, sigma_ns, lifetime_ns).typical(best)
        fits.append(fitted.fit_at(channel=channel))
        dead, recovery = fitted.values[:2]
        for name, other in (
            ("jitter", HazardFit(intervals, wider_ns, lifetime_ns)),
            ("afterpulse lifetime", HazardFit(intervals, sigma_ns, lifetime_ns + lifetime_off_ns)),
        ):
            shift = values_of(other.best(values_of(best.values)).values) - values_of(best.values)
            common = systematic(name, 0.0, 1.0)
            dead += float(shift[0]) * common
            recovery += float(shift[1]) * common
        partial: UFloat = dead - float(np.log1p(-plan.fraction)) * recovery
        rate = fitted.values[3] * 1e9
        quantities += [
            Quantity.of("dead_time", "ns", dead, channel=channel),
            Quantity.of("recovery_time", "ns", recovery, channel=channel),
            Quantity.of("partial_recovery_time", "ns", partial, channel=channel, fraction=plan.fraction),
            Quantity.of("click_rate", "1/s", rate, channel=channel),
        ]
        after = fitted.values[2] * lifetime_ns
        if abs(after.nominal_value) > 3 * after.std_dev:
            remarks.append(
                f"channel {channel}: about {after.nominal_value:.2%} of the clicks have an afterpulse"
            )
    return Evaluation(quantities, fits, remarks, {"detectors": SETTINGS})


def draw(figure: Any, record: Record) -> None:
    """Show the hazards, their models, and the residuals about the edge."""
    plan, table = DeadTimePlan(**record.inputs), record.tables[TABLE]
    upper, lower = data_and_residuals(
        figure, "time since the last click / ns", "clicks per µs, of those to come"
    )
    sigma_ns, last_ns = smearing_ns(table, plan.jitter_fwhm_ps), 0.0
    for n, channel in enumerate(channels_of(record, "dead_time")):
        intervals = read(table, n)
        model = HazardFit(intervals, sigma_ns, plan.afterpulse_lifetime_ns).model
        expected = model(record.fit(FORMULA, channel=channel).values)[: len(intervals.counts)]
        dead, recovery = (record.quantity(name, channel=channel) for name in ("dead_time", "recovery_time"))
        label = f"channel {channel}: dead {in_unit(dead)}, recovery {in_unit(recovery)}"
        draw_hazard(upper, lower, intervals, expected, n, label)
        last_ns = max(last_ns, dead.value + 8 * recovery.value + 20)
    upper.set_xlim(0, min(last_ns, plan.range_ns))
    upper.set_ylim(0, None)
    upper.legend(frameon=False, fontsize=8, loc="lower right")


CALIBRATION = Calibration(
    name="dead-time",
    title="Dead time and recovery time of the detectors",
    method="hazard of the intervals between clicks in steady light; dead time, exponential recovery and afterpulses, "
    "maximum likelihood",
    plan=DeadTimePlan,
    setup=TaggedSetup,
    measure=measure_intervals,
    evaluate=evaluate,
    draw=draw,
)
