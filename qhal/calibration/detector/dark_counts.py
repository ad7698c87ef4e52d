"""Dark count rate against bias current of superconducting detectors, where they latch, and a bias point.

The dark rate of a nanowire is a background of stray photons, constant once the efficiency is saturated, and a part
that grows exponentially with the bias current (reviewed by Engel et al., Supercond. Sci. Technol. 28, 114003 (2015)).
"""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from uncertainties import umath

from qhal.calibration.figures.labels import channels_of
from qhal.calibration.figures.style import COLOURS, data_and_residuals, line, points, spread
from qhal.calibration.fitting.fit import Array, Fitted, fit_counts
from qhal.calibration.framework.calibration import Calibration
from qhal.calibration.framework.data import Data, Evaluation
from qhal.calibration.framework.plan import CHANNELS, Extent, Plan, Positive, steps_between
from qhal.calibration.framework.points import Run
from qhal.calibration.framework.setup import Setup
from qhal.devices.detector import Detector, DetectorState
from qhal.link.link_errors import NotEnoughCounts
from qhal.records.record import Quantity, Record, Table
from qhal.records.uncertain import statistical, uniform

FORMULA = "rate = background + exp(height + slope (I - middle)) / s"
_SETTLE_S = 0.1


class DarkCountPlan(Plan):
    """Bias currents from ``first_ua`` to ``last_ua`` in ``step_ua``, the same for all channels.

    Each counts for ``period_s``. A channel that latches is left without bias for the rest. The bias point is where the
    exponential part and the background together are ``target_rate_hz``, or ``margin`` (fraction) below the current at
    which the channel latches if that is less. Rates above ``largest_rate_hz`` are left out of the fit, because dead
    time takes counts away there.
    """

    first_ua: Annotated[float, Field(ge=0)] = 24.0
    last_ua: Positive = 33.0
    step_ua: Positive = 0.1
    period_s: Positive = 2.0
    target_rate_hz: Positive = 100.0
    largest_rate_hz: Positive = 2e4
    margin: Annotated[float, Field(ge=0, lt=1)] = 0.03

    @model_validator(mode="after")
    def _ascends(self) -> "DarkCountPlan":
        if self.last_ua <= self.first_ua:
            raise ValueError("last_ua must be above first_ua")
        return self

    def extent(self) -> Extent:
        """Return how large the measurement is."""
        rows = steps_between(self.first_ua, self.last_ua, self.step_ua)
        return Extent(rows, rows * self.period_s, rows * CHANNELS)

    def currents_ua(self) -> list[float]:
        """Return the currents."""
        count = steps_between(self.first_ua, self.last_ua, self.step_ua)
        return [round(self.first_ua + n * self.step_ua, 6) for n in range(count)]


@dataclass(frozen=True, kw_only=True)
class DarkSetup(Setup):
    """Devices by role."""

    detectors: Detector


def measure(run: Run, plan: DarkCountPlan, setup: DarkSetup) -> None:
    """Count in the dark at every bias current. The caller sees to it that it is dark."""
    channels = range(setup.detectors.capabilities.channels)
    for point in run.points("dark", [{"bias_ua": current} for current in plan.currents_ua()]):
        out = [any(row["latched"][n] for row in run.rows("dark")) for n in channels]
        if all(out):
            return
        setup.detectors.set_bias_ua([0.0 if bad else point["bias_ua"] for bad in out])
        setup.detectors.enable()
        setup.detectors.device.clock.sleep_s(_SETTLE_S)
        reading = setup.detectors.read_counts(plan.period_s)
        states = setup.detectors.status().states
        latched = [out[n] or states[n] is DetectorState.LATCHED for n in channels]
        run.store("dark", **point, counts=list(reading.counts), period_s=reading.period_s, latched=latched)


def evaluate(data: Data, plan: DarkCountPlan) -> Evaluation:
    """Fit each channel's rate and choose its bias point."""
    table, quantities, fits, remarks = data["dark"], [], [], []
    for column in range(table["counts"].shape[1]):
        channel = column + 1
        good = ~table["latched"][:, column]
        fitted, middle_ua = _fit(table, column, _linear(table, column, plan.largest_rate_hz))
        background, height, slope = fitted.values
        # Without a single count of it, the background is still not known better than to one count.
        one_hz = 1 / float(table["period_s"][_linear(table, column, plan.largest_rate_hz)].sum())
        background = background + statistical("one count more", 0.0, one_hz)
        fits.append(fitted.fit_at({"middle_ua": middle_ua}, channel=channel))
        limit = None
        if not good.all() and good.any():
            last_good = float(table["bias_ua"][good].max())
            limit = uniform("step of the bias", last_good + plan.step_ua / 2, plan.step_ua / 2)
            quantities.append(Quantity.of("switch_current", "uA", limit, channel=channel))
        else:
            remarks.append(f"channel {channel} did not latch up to {table['bias_ua'].max():g} uA")
        wanted = plan.target_rate_hz - background
        if wanted.nominal_value <= 0:
            raise NotEnoughCounts(
                f"channel {channel}: the background alone is {background:.3g} /s, {plan.target_rate_hz:g} /s are wanted"
            )
        point: Any = middle_ua + (umath.log(wanted) - height) / slope
        if limit is not None and point.nominal_value > limit.nominal_value * (1 - plan.margin):
            point = limit * (1 - plan.margin)
            remarks.append(f"channel {channel}: the bias point is set by the current at which it latches")
        rate = background + umath.exp(height + slope * (point.nominal_value - middle_ua))
        quantities += [
            Quantity.of("bias_point", "uA", point, channel=channel),
            Quantity.of("dark_count_rate", "1/s", rate, channel=channel, bias_ua=point.nominal_value),
            Quantity.of("dark_count_slope", "1/uA", slope, channel=channel),
            Quantity.of("dark_count_background", "1/s", background, channel=channel),
        ]
    return Evaluation(quantities, fits, remarks, {"detectors": ("trigger_mv",)})


def _linear(table: Table, column: int, largest_rate_hz: float) -> NDArray[np.bool_]:
    """Return which rows of a channel are below the switching current and linear in the counts."""
    rates = table["counts"][:, column] / table["period_s"]
    kept: NDArray[np.bool_] = ~table["latched"][:, column] & (rates <= largest_rate_hz)
    return kept


def _fit(table: Table, column: int, good: NDArray[np.bool_]) -> tuple[Fitted, float]:
    """Fit one channel; the height is the logarithm of the exponential part at the middle current, to decorrelate."""
    bias, counts, period = (table[name][good] for name in ("bias_ua", "counts", "period_s"))
    counts = counts[:, column]
    if len(bias) < 4:
        raise NotEnoughCounts(
            f"channel {column + 1}: {len(bias)} bias currents below the switching current, 4 are needed"
        )
    # The middle is where most of the counts are: there the height and the slope are nearly independent.
    middle_ua = float(np.average(bias, weights=counts + 1.0))

    def model(p: Array) -> Array:
        return period * _rate_hz(bias - middle_ua, *p)

    rates = (counts + 0.5) / period
    low = float(np.median(np.sort(rates)[: max(3, len(rates) // 3)]))
    steep = np.polyfit(bias[-4:], np.log(rates[-4:]), 1)
    start = {
        "background_hz": low,
        "height": float(np.polyval(steep, middle_ua)),
        "slope_per_ua": max(float(steep[0]), 0.1),
    }
    bounds = ([0.0, -np.inf, -np.inf], [np.inf] * 3)
    return fit_counts("counts", FORMULA, model, counts, start, bounds), middle_ua


def _rate_hz(above_ua: Array, background_hz: float, height: float, slope_per_ua: float) -> Array:
    """Return the dark count rate at bias currents, by how far they are above the middle one."""
    rate_hz: Array = background_hz + np.exp(np.clip(height + slope_per_ua * above_ua, -50, 50))
    return rate_hz


def draw(figure: Any, record: Record) -> None:
    """Show rates over bias, the fits and the bias points."""
    upper, lower = data_and_residuals(figure, "bias current / µA", "dark count rate / s⁻¹")
    table, lowest = record.tables["dark"], 1
    for n, channel in enumerate(channels_of(record, "bias_point")):
        good = _linear(table, n, record.inputs["largest_rate_hz"])
        bias, period, counts = table["bias_ua"][good], table["period_s"][good], table["counts"][good, n]
        lowest = min(lowest, counts.min())
        fit = record.fit(FORMULA, channel=channel)
        middle_ua = fit.constants["middle_ua"]
        expected = period * _rate_hz(bias - middle_ua, *fit.values)
        points(upper, bias, counts / period, np.sqrt(expected) / period, n, f"channel {channel}")
        fine = spread(bias)
        line(upper, fine, _rate_hz(fine - middle_ua, *fit.values), n)
        points(lower, bias, (counts - expected) / np.sqrt(expected), None, n)
        point = record.quantity("bias_point", channel=channel)
        upper.axvline(
            point.value,
            color=COLOURS[n % len(COLOURS)],
            linewidth=1,
            linestyle=":",
            label=f"bias point of {channel}: {point.value:.2f} µA",
        )
    if lowest > 0:
        upper.set_yscale("log")
    else:  # linear about 0, for rows without a count
        upper.set_yscale("symlog", linthresh=1.0)
        upper.set_ylim(bottom=0)
    upper.legend(frameon=False, fontsize=8, ncols=2)


CALIBRATION = Calibration(
    name="dark-counts",
    title="Dark count rate against bias, and bias point",
    method="counts against bias current in the dark; background and exponential, maximum likelihood",
    plan=DarkCountPlan,
    setup=DarkSetup,
    measure=measure,
    evaluate=evaluate,
    draw=draw,
    allows_latching=True,
)
