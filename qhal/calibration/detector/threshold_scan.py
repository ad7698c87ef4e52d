"""Pulse heights and noise at the tagger's inputs from counts against threshold, and the threshold to use.

In steady light the rate falls from the plateau to nothing where the threshold passes the pulses' heights: an error
function for heights with a Gaussian spread. At low thresholds noise adds to it, as often as Gaussian noise rises
through a level: ``B exp(-threshold^2 / (2 noise^2))`` (Rice, Bell Syst. Tech. J. 24 (1945) 46).
"""

from typing import Annotated, Any

import numpy as np
from pydantic import Field, model_validator

from qhal.calibration.figures.labels import channels_of, in_unit
from qhal.calibration.figures.style import COLOURS, data_and_residuals, line, points
from qhal.calibration.fitting.threshold_fit import FORMULA, Steps, expected_counts, fit_steps
from qhal.calibration.framework.calibration import Calibration
from qhal.calibration.framework.data import Data, Evaluation
from qhal.calibration.framework.plan import CHANNELS, Extent, Positive, steps_between
from qhal.calibration.framework.points import Run
from qhal.calibration.optics.count_rate import SETTINGS
from qhal.calibration.optics.setups import TaggedSetup
from qhal.calibration.optics.steady_light import SteadyLightPlan, light_detectors
from qhal.devices.time_tagger import TimeTagger
from qhal.records.record import Quantity, Record, Table

SEARCH, STEPS = "search", "steps"
_SEARCH_S = 0.01
_SEARCH_STEPS = 4


class ThresholdPlan(SteadyLightPlan):
    """Thresholds from ``highest_v`` down to ``lowest_v`` in ``step_v``, ``repetitions`` times, ``period_s`` each.

    Light of ``rate_hz`` clicks on the mean input at ``threshold_v``. A quick look on the way down ends where an input
    counts more than ``largest_rate_hz``; such rates are not used. Then all thresholds come in random
    order, so that a drift of the light is scatter. A threshold is recommended between the one at which noise counts
    ``noise_rate_hz`` and the one at which ``lost`` (fraction) of the pulses are lost.
    """

    highest_v: float = 0.8
    lowest_v: float = 0.01
    step_v: Positive = 0.01
    repetitions: Annotated[int, Field(ge=1)] = 5
    period_s: Positive = 0.1
    rate_hz: Positive = 5e4
    largest_rate_hz: Positive = 2e6
    noise_rate_hz: Positive = 0.1
    lost: Annotated[float, Field(gt=0, lt=0.5)] = 1e-3

    @model_validator(mode="after")
    def _descends(self) -> "ThresholdPlan":
        if self.highest_v <= self.lowest_v:
            raise ValueError("highest_v must be above lowest_v")
        return self

    def extent(self) -> Extent:
        """Return how large the measurement is."""
        rows = (self.repetitions + 1) * (steps_between(self.lowest_v, self.highest_v, self.step_v) + 1)
        return Extent(rows, rows * self.period_s, rows * CHANNELS)

    def thresholds_v(self) -> list[float]:
        """Return the thresholds, descending."""
        count = steps_between(self.lowest_v, self.highest_v, self.step_v)
        return [round(self.highest_v - n * self.step_v, 6) for n in range(count)]


def measure(run: Run, plan: ThresholdPlan, setup: TaggedSetup) -> None:
    """Light all detectors, look for the noise, and count at every threshold."""
    light_detectors(plan.rate_hz, plan, setup)
    levels_v = plan.thresholds_v()
    for point in run.points(
        SEARCH, [{"set_v": level} for level in (*levels_v[::_SEARCH_STEPS], levels_v[-1])]
    ):
        if any(max(row["counts"]) > plan.largest_rate_hz * row["period_s"] for row in run.rows(SEARCH)):
            break
        run.store(SEARCH, **point, **_count(setup.tagger, point["set_v"], _SEARCH_S))
    lowest_v = min(row["set_v"] for row in run.rows(SEARCH))
    levels_v = [level for level in levels_v if level >= lowest_v]
    wanted = [
        {"repetition": repetition, "set_v": levels_v[place]}
        for repetition in range(1, plan.repetitions + 1)
        for place in np.random.default_rng((3, repetition)).permutation(len(levels_v))
    ]
    for point in run.points(STEPS, wanted):
        run.store(STEPS, **point, **_count(setup.tagger, point["set_v"], plan.period_s))


def _count(tagger: TimeTagger, threshold_v: float, period_s: float) -> dict[str, Any]:
    channels = range(1, tagger.capabilities.channels + 1)
    achieved_v = [tagger.set_threshold_v(channel, threshold_v) for channel in channels]
    reading = tagger.read_counts(period_s)
    return {"threshold_v": achieved_v, "counts": list(reading.counts), "period_s": reading.period_s}


def evaluate(data: Data, plan: ThresholdPlan) -> Evaluation:
    """Fit each channel's curve and recommend its threshold."""
    table, quantities, fits = data[STEPS], [], []
    remarks: list[str] = []
    for column in range(table["counts"].shape[1]):
        channel = column + 1
        found = fit_steps(_steps(table, column, plan), channel)
        fits.append(found.fit)
        remarks += found.remarks
        quantities.append(Quantity.of("pulse_height", "V", found.height_v, channel=channel))
        if found.spread_v is not None:
            quantities.append(Quantity.of("pulse_height_spread", "V", found.spread_v, channel=channel))
        most_v = found.height_lost_v(plan.lost)
        least_v: Any = found.lowest_v
        if found.noise is not None:
            least_v = found.noise_threshold_v(plan.noise_rate_hz)
            quantities.append(
                Quantity.of(
                    "noise_threshold", "V", least_v, channel=channel, noise_rate_hz=plan.noise_rate_hz
                )
            )
        if float(most_v.nominal_value) < float(getattr(least_v, "nominal_value", least_v)):
            remarks.append(
                f"channel {channel}: no threshold keeps noise and lost pulses below what is wanted"
            )
        quantities.append(Quantity.of("threshold", "V", (least_v + most_v) / 2, channel=channel))
    inputs = range(1, table["counts"].shape[1] + 1)
    settings = {"detectors": SETTINGS, "tagger": tuple(f"input_{n}_coupling" for n in inputs)}
    return Evaluation(quantities, fits, remarks, settings)


def _steps(table: Table, column: int, plan: ThresholdPlan) -> Steps:
    """Return a channel's counts that are not too many, ascending."""
    used = table["counts"][:, column] <= plan.largest_rate_hz * table["period_s"]
    order = np.argsort(table["threshold_v"][:, column][used], kind="stable")
    return Steps(
        table["threshold_v"][:, column][used][order],
        table["counts"][:, column][used][order].astype(np.float64),
        table["period_s"][used][order],
        np.unique(table["repetition"][used][order], return_inverse=True)[1],
    )


def draw(figure: Any, record: Record) -> None:
    """Show the curves, their fits, and the recommended thresholds."""
    plan, table = ThresholdPlan(**record.inputs), record.tables[STEPS]
    upper, lower = data_and_residuals(figure, "threshold / V", "counts per second")
    for n, channel in enumerate(channels_of(record, "threshold")):
        steps = _steps(table, n, plan)
        fit = record.fit(FORMULA, channel=channel)
        expected = expected_counts(steps, {**fit.parameters, **fit.constants})
        rate_hz, sigma_hz = (
            steps.counts / steps.period_s,
            np.sqrt(np.maximum(expected, 1)) / steps.period_s,
        )
        height = record.quantity("pulse_height", channel=channel)
        label = f"channel {channel}: pulses of {in_unit(height, 1e3, 'mV')}"
        points(upper, steps.threshold_v, rate_hz, sigma_hz, n, label)
        levels, first = np.unique(steps.threshold_v, return_index=True)
        line(upper, levels, (expected / steps.period_s)[first], n)
        residual = (steps.counts - expected) / np.sqrt(np.maximum(expected, 1))
        points(lower, steps.threshold_v, residual, None, n)
        upper.axvline(
            record.quantity("threshold", channel=channel).value,
            color=COLOURS[n % len(COLOURS)],
            linewidth=0.9,
            linestyle=":",
            label=None if n else "recommended threshold",
        )
    upper.set_yscale("symlog", linthresh=100)
    upper.set_ylim(0, None)
    upper.legend(frameon=False, fontsize=8)


CALIBRATION = Calibration(
    name="threshold-scan",
    title="Pulse heights, noise and thresholds of the tagger's inputs",
    method="counts against threshold in steady light; error function and Rice's noise; maximum likelihood",
    plan=ThresholdPlan,
    setup=TaggedSetup,
    measure=measure,
    evaluate=evaluate,
    draw=draw,
)
