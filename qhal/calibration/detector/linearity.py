"""Linearity of detectors: counts against light, the effective dead time, and where counts are compressed.

Light that is weakened by known factors is counted. A detector that is blind for a dead time and then recovers
exponentially counts ``1 / <interval>`` per second, with the mean interval of the renewal process,
``dead + recovery e^x x^-x gamma(x, x)`` for ``x = rate recovery``: the integral of the survival of an interval. In weak
light that is ``1 / rate + dead + recovery``, the law of the non-paralysed dead time ``effective = dead + recovery``.
"""

from typing import Annotated, Any

import numpy as np
from pydantic import Field
from scipy.optimize import brentq
from uncertainties import UFloat

from qhal.calibration.figures.labels import channels_of, in_unit
from qhal.calibration.figures.style import data_and_residuals, line, points
from qhal.calibration.fitting.linearity_fit import (
    FORMULA,
    Levels,
    LinearityFit,
    LinearityModel,
    fit_levels,
    rate_counted,
)
from qhal.calibration.framework.calibration import Calibration
from qhal.calibration.framework.data import Data, Evaluation
from qhal.calibration.framework.plan import CHANNELS, Extent, Positive, steps_between
from qhal.calibration.framework.points import Run
from qhal.calibration.inputs import detector_records
from qhal.calibration.inputs.attenuator_model import attenuator_model
from qhal.calibration.optics.attenuators import close_attenuators, set_attenuators, turn_on_source
from qhal.calibration.optics.count_rate import SETTINGS, approach_rate, bias_detectors
from qhal.calibration.optics.power import connect_path
from qhal.calibration.optics.setups import SwitchedSetup
from qhal.calibration.optics.steady_light import SteadyLightPlan, balance_channels
from qhal.devices.attenuator import Attenuator
from qhal.link.link_errors import NotEnoughCounts
from qhal.records.record import Quantity, Record
from qhal.records.uncertain import nominal

DARK, SEARCH, COUNTS = "dark", "search", "counts"
_COUNT_S = 0.1
_MARGIN_DB = 2.0
"""Above the insertion loss of the attenuator that makes the steps, at the brightest level."""
_LEAST_DB = 1e-3
"""Repeatability that is taken at least, so that a curve measured without scatter can be used."""


class LinearityPlan(SteadyLightPlan):
    """Levels ``step_db`` apart over ``span_db``, down from where a detector would count ``brightest_hz`` unhindered.

    Each level is visited ``repetitions`` times, in an order that looks random so that a drift shows as scatter; there
    it counts as long as ``most_counts`` take, but from ``least_s`` to ``most_s``. Dark counts: ``dark_s``.
    ``attenuator_uncertainty_db``: standard uncertainty of each set point, without a record of
    ``attenuator-curve``; ``repeatability_db`` of each move. ``fraction_stability``: relative standard deviation of each
    detector's fraction of the light, which drifts with the polarization. ``recovery_time_ns`` and its uncertainty: see
    ``dead-time``. ``compression_db``: compression at which the count rate is reported.
    """

    brightest_hz: Positive = 1e7
    span_db: Positive = 28.0
    step_db: Positive = 2.0
    repetitions: Annotated[int, Field(ge=2)] = 2
    most_counts: Positive = 2e5
    least_s: Positive = 0.05
    most_s: Positive = 1.0
    dark_s: Positive = 4.0
    attenuator_uncertainty_db: Positive = 0.05
    repeatability_db: Positive = 0.02
    fraction_stability: Positive = 0.005
    recovery_time_ns: Annotated[float, Field(ge=0)]
    recovery_uncertainty_ns: Annotated[float, Field(ge=0)]
    compression_db: Positive = 1.0
    settle_s: Positive = 0.05

    def extent(self) -> Extent:
        """Return how large the measurement is."""
        rows = self.repetitions * steps_between(0.0, self.span_db, self.step_db)
        return Extent(rows, rows * (self.most_s + self.settle_s) + self.dark_s, rows * CHANNELS)


def measure(run: Run, plan: LinearityPlan, setup: SwitchedSetup) -> None:
    """Count in the dark, look for a level, and count at all levels; the first attenuator makes the steps."""
    attenuators = setup.attenuators
    steps = round(plan.span_db / plan.step_db)
    clock = setup.detectors.device.clock

    def count() -> tuple[float, float]:
        reading = setup.detectors.read_counts(_COUNT_S)
        return float(sum(reading.counts)) / len(reading.counts), reading.period_s

    setup.source.disable()
    close_attenuators(attenuators)
    bias_detectors(setup.detectors, plan.bias_ua)
    for point in run.points(DARK, [{"repetition": 1}]):
        reading = setup.detectors.read_counts(plan.dark_s)
        run.store(DARK, **point, counts=list(reading.counts), period_s=reading.period_s)
    turn_on_source(setup.source, None, attenuators)
    if setup.switch is not None:
        connect_path(setup.switch, plan.ingress, plan.egress)
    # Bright enough for a quick look, weak enough that dead times hardly matter.
    looked_hz = plan.brightest_hz * 10 ** (-plan.span_db / 20)
    for point in run.points(SEARCH, [{"rate_hz": looked_hz}]):
        angles_deg: tuple[float, ...] = ()
        if setup.polarization is not None:
            approach_rate(attenuators, count, looked_hz)
            balance_channels(setup.polarization, setup.detectors)
            angles_deg = setup.polarization.read_angles_deg()
        attenuation_db = approach_rate(attenuators, count, looked_hz)
        run.store(SEARCH, **point, attenuation_db=attenuation_db, angles_deg=list(angles_deg))
    if setup.polarization is not None:
        # After an interruption they are where they were before.
        setup.polarization.set_angles_deg(run.rows(SEARCH)[0]["angles_deg"])
    brightest_db = run.rows(SEARCH)[0]["attenuation_db"] - plan.span_db / 2
    held_db, first_db = _shared(brightest_db, attenuators)
    if first_db + plan.span_db > setup.attenuator.capabilities.max_attenuation_db:
        raise NotEnoughCounts(
            f"{setup.attenuator.device.name}: {first_db:g} to {first_db + plan.span_db:g} dB wanted, it does "
            f"{setup.attenuator.capabilities.max_attenuation_db:g} dB: less span_db, or more light"
        )
    order = [
        (repetition, int(level))
        for repetition in range(1, plan.repetitions + 1)
        for level in np.random.default_rng((2, repetition)).permutation(steps + 1)
    ]
    for point in run.points(COUNTS, [{"repetition": r, "level": level} for r, level in order]):
        set_db = round(first_db + point["level"] * plan.step_db, 2)
        set_attenuators(attenuators, (set_db, *held_db))
        clock.sleep_s(plan.settle_s)
        expected_hz = plan.brightest_hz * 10 ** (-point["level"] * plan.step_db / 10)
        period_s = round(min(max(plan.most_counts / expected_hz, plan.least_s), plan.most_s), 3)
        reading = setup.detectors.read_counts(period_s)
        run.store(
            COUNTS,
            **point,
            attenuator=setup.attenuator.device.name,
            set_db=set_db,
            counts=list(reading.counts),
            period_s=reading.period_s,
        )


def _shared(brightest_db: float, attenuators: tuple[Attenuator, ...]) -> tuple[tuple[float, ...], float]:
    """Return what the attenuators behind the first one hold, and what the first one has at the brightest level."""
    least_db = attenuators[0].capabilities.min_attenuation_db + _MARGIN_DB
    if len(attenuators) == 1:
        return (), round(brightest_db, 2)
    limits = attenuators[1].capabilities
    held_db = min(max(brightest_db - least_db, limits.min_attenuation_db), limits.max_attenuation_db)
    return (round(held_db, 2),), round(brightest_db - held_db, 2)


def evaluate(data: Data, plan: LinearityPlan) -> Evaluation:
    """Fit all channels together, because they see the same light."""
    fitted = _fit(data, plan)
    quantities = []
    for n, (effective, recovery) in enumerate(zip(fitted.effective_ns, fitted.recovery_ns, strict=True), 1):
        compressed = _compressed_hz(effective, recovery, plan.compression_db)
        quantities += [
            Quantity.of("effective_dead_time", "ns", effective, channel=n),
            Quantity.of("count_rate", "1/s", compressed, channel=n, compression_db=plan.compression_db),
        ]
    return Evaluation(quantities, [fitted.fit], settings={"detectors": SETTINGS})


def _fit(data: Data, plan: LinearityPlan) -> LinearityFit:
    table, dark = data[COUNTS], data[DARK]
    known = attenuator_model(
        data, str(table["attenuator"][0]), plan.attenuator_uncertainty_db, plan.repeatability_db
    )
    set_db, level = np.unique(table["set_db"], return_inverse=True)
    levels = Levels(
        counts=table["counts"].astype(np.float64),
        period_s=table["period_s"],
        level=level,
        dark_counts=dark["counts"].sum(axis=0).astype(np.float64),
        dark_s=float(dark["period_s"].sum()),
        attenuation_db=[known.mean_attenuation_db(float(each)) for each in set_db],
        repeatability_db=max(known.repeatability_db, _LEAST_DB),
        fraction_stability=plan.fraction_stability,
    )
    recovery_ns = plan.number(
        "recovery_time_ns", plan.recovery_time_ns, plan.recovery_uncertainty_ns, "recovery time"
    )
    return fit_levels(levels, recovery_ns)


def _compressed_hz(effective_ns: UFloat, recovery_ns: UFloat, compression_db: float) -> UFloat:
    """Return the count rate that is lower by a compression than it would be without dead time."""
    left = 10 ** (-compression_db / 10)

    def solved(effective: float, recovery: float) -> float:
        # With the non-paralysed law light and dead time have the product 1 / left - 1; recovery changes it little.
        about_hz = (1 / left - 1) / (effective * 1e-9)
        light_hz = brentq(
            lambda rate: float(rate_counted(rate, effective, recovery)) - left * rate,
            about_hz / 5,
            about_hz * 5,
        )
        return float(light_hz) * left

    effective, recovery = effective_ns.nominal_value, nominal(recovery_ns)
    step = 1e-4 * effective
    by_effective = (solved(effective + step, recovery) - solved(effective - step, recovery)) / (2 * step)
    by_recovery = (solved(effective, recovery + step) - solved(effective, recovery)) / step
    value: UFloat = (
        solved(effective, recovery)
        + by_effective * (effective_ns - effective)
        + by_recovery * (recovery_ns - recovery)
    )
    return value


def draw(figure: Any, record: Record) -> None:
    """Show how many of the counts are left, against the light, and the residuals."""
    plan = LinearityPlan(**record.inputs)
    table, fit = record.tables[COUNTS], record.fit(FORMULA)
    levels = np.unique(table["set_db"])
    model = LinearityModel(
        channels=table["counts"].shape[1],
        attenuation_db=np.array([fit.constants[f"attenuation_db {n}"] for n in range(1, len(levels) + 1)]),
        level=np.searchsorted(levels, table["set_db"]),
        period_s=table["period_s"],
        recovery_ns=fit.constants["recovery_time_ns"],
        fraction_stability=plan.fraction_stability,
    )
    p = fit.values
    expected, sigma = model.counts(p), model.sigma(p)
    upper, lower = data_and_residuals(
        figure, "light: clicks per second without dead time", "counts over light"
    )
    counted_hz = table["counts"] / table["period_s"][:, None]
    for n, channel in enumerate(channels_of(record, "effective_dead_time")):
        light_hz = model.strength(p) * model.light_hz(p)[n]
        sigma_hz = sigma[:, n] / table["period_s"]
        quantity = record.quantity("effective_dead_time", channel=channel)
        label = f"channel {channel}: {in_unit(quantity)}"
        points(
            upper,
            light_hz,
            (counted_hz[:, n] - model.dark_hz(p)[n]) / light_hz,
            sigma_hz / light_hz,
            n,
            label,
        )
        fine = np.geomspace(light_hz.min(), light_hz.max(), 200)
        line(upper, fine, rate_counted(fine, p[n], model.recovery_ns) / fine, n)
        residual = (table["counts"][:, n] - expected[:, n]) / sigma[:, n]
        points(lower, light_hz, residual, None, n)
    upper.axhline(
        10 ** (-plan.compression_db / 10),
        color="0.5",
        linewidth=0.8,
        linestyle=":",
        label=f"{plan.compression_db:g} dB less",
    )
    upper.set_xscale("log")
    upper.legend(frameon=False, fontsize=8, loc="lower left")


CALIBRATION = Calibration(
    name="linearity",
    title="Linearity of the detectors, and effective dead time",
    method="counts against attenuation; renewal process of dead time and exponential recovery; least squares",
    plan=LinearityPlan,
    setup=SwitchedSetup,
    measure=measure,
    evaluate=evaluate,
    draw=draw,
    uses=("attenuator-curve", detector_records.DEAD_TIME),
    from_node=(detector_records.recovery,),
)
