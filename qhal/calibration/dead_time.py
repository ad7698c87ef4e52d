"""Dead time and recovery of detectors from the intervals between their clicks in steady light.

After a click a detector is blind for the dead time, then its efficiency comes back exponentially,
``eta0 (1 - exp(-(t - dead) / recovery))``: so for avalanche diodes (Krause and Walenta, arXiv:2507.10361) and, with the
current that returns to a nanowire by its kinetic inductance, nearly so for these. The dead time is that of ETSI GS QKD
011, where the first intervals are; its partial recovery time is when a share of the efficiency is back.
"""

from typing import Annotated, Any

import numpy as np
from pydantic import Field
from scipy.optimize import minimize
from uncertainties import UFloat

from qhal.calibration.calibrate import Calibration
from qhal.calibration.data import Data, Evaluation
from qhal.calibration.draw import channels_of, data_and_residuals
from qhal.calibration.fit import Array, Fitted, fit_counts
from qhal.calibration.intervals import (
    TABLE,
    Intervals,
    cumulated_decay,
    cumulated_edge,
    draw_hazard,
    keep_intervals,
    read,
    smearing_ns,
)
from qhal.calibration.light import present
from qhal.calibration.plan import Plan, Positive
from qhal.calibration.run import Run
from qhal.calibration.steady_light import shine
from qhal.devices.attenuator import Attenuator
from qhal.devices.detector import Detector
from qhal.devices.polarization_controller import PolarizationController
from qhal.devices.source import Source
from qhal.devices.time_tagger import TimeTagger
from qhal.records.record import Quantity, Record, Table
from qhal.records.uncertain import systematic, values_of

FORMULA = "hazard = rate (1 - exp(-(t - dead) / recovery)) + after exp(-(t - dead) / lifetime)"
_TOO_LITTLE = 1e-12
"""Counts expected where there can be none: a likelihood needs some."""


class DeadTimePlan(Plan):
    """Light of ``rate_hz`` clicks on the mean input, recorded ``repetitions`` times for ``period_s``.

    Intervals up to ``range_ns`` are binned, longer ones give the rate. ``bias_ua`` None: as they are set.
    ``threshold_v``: of the tagger's inputs. ``jitter_fwhm_ps`` of detector and tagger together and its standard
    uncertainty smear the edge. Afterpulses fade with ``afterpulse_lifetime_ns`` (a second fit parameter is
    not determined by so few); how many there are is fitted. ``share``: of the efficiency, for the partial
    recovery time.
    """

    rate_hz: Positive = 1e6
    repetitions: Annotated[int, Field(ge=1)] = 10
    period_s: Positive = 0.4
    range_ns: Positive = 500.0
    bias_ua: tuple[float, ...] | None = None
    threshold_v: float = 0.2
    jitter_fwhm_ps: Positive = 60.0
    jitter_uncertainty_ps: Annotated[float, Field(ge=0)] = 20.0
    afterpulse_lifetime_ns: Positive = 40.0
    afterpulse_lifetime_uncertainty_ns: Annotated[float, Field(ge=0)] = 4.0
    share: Annotated[float, Field(gt=0, lt=1)] = 0.9


def measure(
    run: Run,
    plan: DeadTimePlan,
    *,
    source: Source,
    attenuator: Attenuator,
    second_attenuator: Attenuator | None = None,
    polarization: PolarizationController | None = None,
    detectors: Detector,
    tagger: TimeTagger,
) -> None:
    """Light all detectors and record their tags."""
    shine(
        plan.rate_hz,
        plan.threshold_v,
        source,
        present(attenuator, second_attenuator),
        detectors,
        tagger,
        polarization,
        plan.bias_ua,
    )
    keep_intervals(run, tagger, plan.repetitions, plan.period_s, plan.range_ns)


def evaluate(data: Data, plan: DeadTimePlan) -> Evaluation:
    """Fit each channel's hazard."""
    table, quantities, fits, remarks = data[TABLE], [], [], []
    sigma_ns = smearing_ns(table, plan.jitter_fwhm_ps)
    wider_ns = smearing_ns(table, plan.jitter_fwhm_ps + plan.jitter_uncertainty_ps)
    lifetime_ns, lifetime_off_ns = plan.afterpulse_lifetime_ns, plan.afterpulse_lifetime_uncertainty_ns
    for column in range(table["counts"].shape[1]):
        channel = column + 1
        intervals, fitted = _fit_channel(table, column, sigma_ns, lifetime_ns)
        fits.append(fitted.fit.model_copy(update={"model": f"{FORMULA}, channel {channel}"}))
        dead, recovery = fitted.values[:2]
        for name, other in (
            ("jitter", _fit(intervals, wider_ns, lifetime_ns, fitted)),
            ("afterpulse lifetime", _fit(intervals, sigma_ns, lifetime_ns + lifetime_off_ns, fitted)),
        ):
            common = systematic(name, 0.0, 1.0)
            dead += (other.values[0].nominal_value - fitted.values[0].nominal_value) * common
            recovery += (other.values[1].nominal_value - fitted.values[1].nominal_value) * common
        partial: UFloat = dead - float(np.log1p(-plan.share)) * recovery
        rate = fitted.values[3] * 1e9
        quantities += [
            Quantity.of("dead_time", "ns", dead, channel=channel),
            Quantity.of("recovery_time", "ns", recovery, channel=channel),
            Quantity.of("partial_recovery_time", "ns", partial, channel=channel, share=plan.share),
            Quantity.of("click_rate", "1/s", rate, channel=channel),
        ]
        after = fitted.values[2] * lifetime_ns
        if abs(after.nominal_value) > 3 * after.std_dev:
            remarks.append(
                f"channel {channel}: about {after.nominal_value:.2%} of the clicks have an afterpulse"
            )
    return Evaluation(
        quantities, fits, remarks, {"detectors": ("bias_ua", "trigger_mv"), "tagger": _inputs(table)}
    )


def _inputs(table: Table) -> tuple[str, ...]:
    return tuple(f"input_{n}" for n in range(1, table["counts"].shape[1] + 1))


def _fit_channel(table: Table, column: int, sigma_ns: float, lifetime_ns: float) -> tuple[Intervals, Fitted]:
    """Fit a channel, its bins grouped about the dead time."""
    roughly = _fit(read(table, column), sigma_ns, lifetime_ns)
    intervals = read(table, column, roughly.values[0].nominal_value)
    return intervals, _fit(intervals, sigma_ns, lifetime_ns, roughly)


def _fit(intervals: Intervals, sigma_ns: float, lifetime_ns: float, near: Fitted | None = None) -> Fitted:
    """Fit dead time, recovery (ns), afterpulses (1/ns) and each repetition's rate (1/ns), beginning near other ones."""
    tails = intervals.tail_ns / intervals.tail_ns.sum()

    def model(p: Array) -> Array:
        dead, recovery, after, rates = p[0], p[1], p[2], p[3:]
        past = intervals.edges_ns - dead
        cumulated = (rates @ tails) * (
            cumulated_edge(past, sigma_ns) - cumulated_decay(past, recovery, sigma_ns)
        )
        cumulated += after * cumulated_decay(past, lifetime_ns, sigma_ns)
        expected = np.concatenate((intervals.expected(cumulated), rates * intervals.tail_ns))
        return np.maximum(expected, _TOO_LITTLE)

    rates = intervals.tail_counts / intervals.tail_ns
    counts = np.concatenate((intervals.counts, intervals.tail_counts))

    def unlikeliness(p: Array) -> float:
        expected = model(np.concatenate((np.abs(p), rates)))
        return float(np.sum(expected - counts * np.log(expected)))

    # Where nothing was counted, a step along the slope leads astray: a simplex goes to the bottom first.
    guesses = [values_of(near.values[:3])] if near else _guesses(intervals)
    found = [
        minimize(unlikeliness, guess, method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-3})
        for guess in guesses
    ]
    best = np.abs(min(found, key=lambda each: float(each.fun)).x)
    low = [0.0, sigma_ns / 100, *[0.0] * (1 + len(rates))]
    start = np.maximum([*best, *rates], np.array(low) + 1e-12)
    return fit_counts("counts", FORMULA, model, counts, start.tolist(), (low, [np.inf] * len(start)))


def _guesses(intervals: Intervals) -> list[Array]:
    """Return where to look: the hazard begins at the first counts and rises to 63 % of its late value, more or less."""
    first = int(np.argmax(intervals.counts > 0))
    risen = int(np.argmax(intervals.hazard_per_ns > 0.63 * intervals.rate_per_ns))
    start_ns = float(intervals.middle_ns[first])
    recovery_ns = max(float(intervals.middle_ns[risen]) - start_ns, 0.1)
    return [
        np.array([start_ns, recovery_ns * more, intervals.rate_per_ns * share])
        for more, share in ((0.7, 0.02), (1.5, 0.2))
    ]


def draw(figure: Any, record: Record) -> None:
    """Show the hazards, their models, and the residuals about the edge."""
    plan, table = DeadTimePlan(**record.inputs), record.tables[TABLE]
    upper, lower = data_and_residuals(
        figure, "time since the last click / ns", "clicks per µs, of those to come"
    )
    sigma_ns, last_ns = smearing_ns(table, plan.jitter_fwhm_ps), 0.0
    for n, channel in enumerate(channels_of(record, "dead_time")):
        intervals, fitted = _fit_channel(table, n, sigma_ns, plan.afterpulse_lifetime_ns)
        expected = fitted.expected[: len(intervals.counts)]
        dead, recovery = (record.quantity(name, channel=channel) for name in ("dead_time", "recovery_time"))
        label = f"channel {channel}: dead {dead.value:.2f} ns, recovery {recovery.value:.2f} ns"
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
    measure=measure,
    evaluate=evaluate,
    draw=draw,
)
