"""V0, Vpi and extinction of an intensity modulator, from count rates over the volts of the generator.

A Mach-Zehnder modulator transmits ``T = Tmin + (1 - Tmin) cos^2(pi (V - V0) / (2 Vpi))``, the interference of two beams
with what is not coherent between them. All levels are played within a millisecond (:mod:`qhal.calibration.staircase`),
once over the whole range and once, with more light, about the extinction. Only the shape of the curve counts, so that
neither an attenuator nor a power meter takes part in the result.
"""

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from qhal.calibration import staircase
from qhal.calibration.calibrate import Calibration
from qhal.calibration.data import Data, Evaluation
from qhal.calibration.detectors import approach_rate, bias
from qhal.calibration.draw import data_and_residuals, line, points, spread
from qhal.calibration.fit import Array, Fitted, fit_counts
from qhal.calibration.light import attenuate, bring_up, close
from qhal.calibration.plan import Plan, Positive
from qhal.calibration.run import Run
from qhal.calibration.staircase import Staircase
from qhal.calibration.tags import prepare_inputs, record_tags
from qhal.devices.attenuator import Attenuator
from qhal.devices.detector import Detector
from qhal.devices.pattern_generator import PatternGenerator
from qhal.devices.source import Source
from qhal.devices.time_tagger import TimeTagger
from qhal.errors import DeviceError
from qhal.records.record import Quantity, Record, Table
from qhal.records.uncertain import systematic

FORMULA = "rate = scale (Tmin + (1 - Tmin) cos^2(pi (V - V0) / (2 Vpi))) + dark"
SERIES = ("range", "extinction")
_DB = 10 / np.log(10)


class ModulatorPlan(Plan):
    """The modulator on generator output ``channel``, from ``low_v`` to ``high_v`` at the generator's connector.

    ``held_v``: constant volts of other outputs, by channel; what another modulator transmits only scales the light.
    ``levels`` of ``dwell_s`` make a staircase. It is recorded ``repetitions`` times for ``row_s``, over the range and,
    with up to ``more_light_db`` less attenuation, about the extinction. ``rate_hz``: mean rate of the brightest
    detector, at which its dead time ``dead_time_ns`` (standard uncertainty ``dead_time_sigma_ns``) matters little.
    ``dark_s``: of counting without light. ``power_dbm``: of the source, None keeps what is set. ``bias_ua``: of the
    detectors, None keeps what is set. ``threshold_v``: of the tagger's inputs, one for each detector, from 1 on.
    """

    channel: Annotated[int, Field(ge=1)] = 4
    low_v: float = -2.25
    high_v: float = 2.25
    held_v: dict[int, float] = Field(default_factory=dict)
    levels: Annotated[int, Field(ge=12, le=200)] = 25
    dwell_s: Annotated[float, Field(ge=5e-6, le=1e-3)] = 40e-6
    repetitions: Annotated[int, Field(ge=2)] = 5
    row_s: Annotated[float, Field(gt=0, le=2)] = 2.0
    more_light_db: Annotated[float, Field(ge=3, le=30)] = 13.0
    rate_hz: Positive = 1e5
    dead_time_ns: Annotated[float, Field(ge=0)] = 35.0
    dead_time_sigma_ns: Annotated[float, Field(ge=0)] = 5.0
    dark_s: Positive = 5.0
    power_dbm: float | None = None
    bias_ua: tuple[float, ...] | None = None
    threshold_v: float = 0.2

    @model_validator(mode="after")
    def _fits(self) -> "ModulatorPlan":
        if self.high_v <= self.low_v:
            raise ValueError("high_v must be above low_v")
        if self.channel in self.held_v:
            raise ValueError(f"held_v: channel {self.channel} is the modulator's own")
        return self

    def staircase(self) -> Staircase:
        """Return the staircase over the range."""
        return Staircase.over(self.low_v, self.high_v, self.levels, self.dwell_s)

    def candidates_v(self) -> Array:
        """Return the Vpi that are looked for: an extinction and a half of the curve must lie in the range."""
        span = self.high_v - self.low_v
        return np.geomspace(span / 8, span, 60)


def measure(
    run: Run,
    plan: ModulatorPlan,
    *,
    source: Source,
    generator: PatternGenerator,
    attenuator: Attenuator,
    detectors: Detector,
    tagger: TimeTagger,
) -> None:
    """Record staircases over the range, then about the extinction that they show."""
    inputs = range(1, detectors.capabilities.channels + 1)
    prepare_inputs(tagger, plan.threshold_v, list(inputs))
    source.disable()
    close([attenuator])
    bias(detectors, plan.bias_ua)
    for point in run.points("dark", [{"repetition": 1}]):
        batch = record_tags(tagger, plan.dark_s)
        found = batch.counts()
        counts = [found.get(n, 0) for n in inputs]
        run.keep("dark", **point, counts=counts, live_s=batch.live_time_s())
    bring_up(source, plan.power_dbm, [attenuator])

    def record(series: str, steps: Staircase) -> None:
        for point in run.points(series, [{"repetition": n + 1} for n in range(plan.repetitions)]):
            batch = record_tags(tagger, plan.row_s)
            folded, bin_s = staircase.fold(batch, len(inputs), steps.period_ps, len(steps.levels_v))
            run.keep(series, **point, played_v=steps.levels_v.tolist(), counts=folded.tolist(), bin_s=bin_s)

    wide = plan.staircase()
    wide.play(generator, plan.channel, plan.held_v)
    if not run.rows("light"):
        run.keep("light", attenuation_db=_approach(run, plan, attenuator, detectors))
    wide_db = run.rows("light")[0]["attenuation_db"]
    attenuate(wide_db, [attenuator])
    record("range", wide)
    attenuate(attenuator.capabilities.max_attenuation_db, [attenuator])
    more_db = min(plan.more_light_db, wide_db - attenuator.capabilities.min_attenuation_db)
    near = _near_extinction(run.tables()["range"], plan, more_db)
    near.play(generator, plan.channel, plan.held_v)
    attenuate(wide_db - more_db, [attenuator])
    record("extinction", near)


def _approach(run: Run, plan: ModulatorPlan, attenuator: Attenuator, detectors: Detector) -> float:
    dark = run.rows("dark")[0]

    def count() -> tuple[float, float]:
        reading = detectors.read_counts(0.2)
        return max(reading.counts), reading.period_s

    return approach_rate([attenuator], count, plan.rate_hz, max(dark["counts"]) / dark["live_s"])


def _near_extinction(table: Table, plan: ModulatorPlan, more_db: float) -> Staircase:
    """Return a staircase about the extinction, no brighter with so much more light than the range was on average.

    Raises DeviceError when the range has no extinction.
    """
    counts = staircase.by_level(table["counts"][0]).sum(axis=0)
    found = staircase.find(counts, table["played_v"][0], plan.candidates_v())
    nulls = found.v0_v + found.vpi_v * np.array([-3, -1, 1, 3])
    half_v = 2 * found.vpi_v / np.pi * np.arcsin(np.sqrt(0.5 * 10 ** (-more_db / 10)))
    null_v = float(nulls[np.argmin(np.abs(nulls - (plan.low_v + plan.high_v) / 2))])
    low_v, high_v = max(plan.low_v, null_v - half_v), min(plan.high_v, null_v + half_v)
    if high_v - low_v < half_v:
        raise DeviceError(
            f"no extinction between {plan.low_v:g} and {plan.high_v:g} V: V0 is near {found.v0_v:.3g} V,"
            f" Vpi near {found.vpi_v:.3g} V"
        )
    return Staircase.over(low_v, high_v, plan.levels, plan.dwell_s)


class _Sorted:
    """Counts (rows of both series, detectors, levels) with the level of each count, and the seconds it took."""

    def __init__(self, data: Data, plan: ModulatorPlan) -> None:
        counts, levels, seconds = [], [], []
        candidates = plan.candidates_v()
        for series in SERIES:
            table = data[series]
            for row in range(len(table)):
                each = staircase.by_level(table["counts"][row])
                found = staircase.find(each.sum(axis=0), table["played_v"][row], candidates)
                if series == "range" and row == 0:
                    self.found = found
                    candidates = np.array([found.vpi_v])
                counts.append(np.roll(each, -found.shift, axis=1))
                levels.append(table["played_v"][row])
                seconds.append(staircase.kept_s(float(table["bin_s"][row])))
        self.counts: NDArray[np.int64] = np.array(counts)
        self.levels_v: Array = np.array(levels)
        self.seconds: Array = np.array(seconds)
        self.dark_counts: Array = data["dark"]["counts"][0].astype(np.float64)
        self.dark_s = float(data["dark"]["live_s"][0])


def evaluate(data: Data, plan: ModulatorPlan) -> Evaluation:
    """Fit one curve to all staircases; each has a scale of its own for each detector."""
    measured = _Sorted(data, plan)
    fitted = _fit(measured, plan.dead_time_ns)
    other = _fit(measured, plan.dead_time_ns + plan.dead_time_sigma_ns)
    values: list[Any] = []
    for value, changed in zip(fitted.values[:3], other.values[:3], strict=True):
        moved = changed.nominal_value - value.nominal_value
        values.append(value + systematic("dead time", 0.0, abs(moved)) if moved else value)
    v0, vpi, log_floor = values
    turns = round(v0.nominal_value / (2 * vpi.nominal_value))
    quantities = [
        Quantity.of("v0", "V", v0 - 2 * turns * vpi, channel=plan.channel),
        Quantity.of("vpi", "V", vpi, channel=plan.channel),
        Quantity.of("extinction_ratio", "dB", -_DB * log_floor, channel=plan.channel),
    ]
    remarks = ["volts at the generator's connector, as set; v0 is the full transmission nearest to 0 V"]
    return Evaluation(quantities, [fitted.fit], remarks)


def _fit(measured: _Sorted, dead_time_ns: float) -> Fitted:
    """Fit V0, Vpi, ln Tmin, the dark rate of each detector, and its scale in each row."""
    rows, detectors, _ = measured.counts.shape
    dead_s, seconds = dead_time_ns * 1e-9, measured.seconds[:, None, None]

    def model(p: Array) -> Array:
        curve = staircase.interference(measured.levels_v, *p[:3])[:, None, :]
        dark_hz = p[3 : 3 + detectors]
        scale = p[3 + detectors :].reshape(rows, detectors, 1)
        rate = np.maximum(scale * curve + dark_hz[:, None], 1e-9)
        lit = seconds * rate / (1 + rate * dead_s)
        expected: Array = np.concatenate((lit.ravel(), np.maximum(dark_hz, 1e-9) * measured.dark_s))
        return expected

    found = measured.found
    dark_hz = (measured.dark_counts + 0.5) / measured.dark_s
    floor = np.log(1e-3)
    curve = staircase.interference(measured.levels_v, found.v0_v, found.vpi_v, floor)
    # Weighted by the light, because what is dark says nothing about the scale.
    scale = (measured.counts * curve[:, None, :]).sum(axis=2) / (curve**2).sum(axis=1)[:, None]
    scale /= measured.seconds[:, None]
    start = (found.v0_v, found.vpi_v, floor, *dark_hz, *scale.ravel())
    return fit_counts(
        "counts",
        FORMULA,
        model,
        np.concatenate((measured.counts.ravel(), measured.dark_counts)),
        [float(value) for value in start],
    )


def draw(figure: Any, record: Record) -> None:
    """Show the transmission over volts, of all detectors together, and the curve."""
    upper, lower = data_and_residuals(figure, "generator / V", "transmission")
    plan = ModulatorPlan(**record.inputs)
    measured = _Sorted(Data(record.tables), plan)
    fitted = _fit(measured, plan.dead_time_ns)
    p = np.array([value.nominal_value for value in fitted.values])
    rows, detectors, _ = measured.counts.shape
    expected = fitted.expected[: measured.counts.size].reshape(measured.counts.shape)
    scale = p[3 + detectors :].reshape(rows, detectors)
    dark = p[3 : 3 + detectors].sum()
    for number, series in enumerate(SERIES):
        chosen = np.arange(rows) // len(record.tables["range"]) == number
        levels_v = measured.levels_v[chosen][0]
        # Rows and detectors together, corrected for dead time by what the model says of it.
        counts, model = measured.counts[chosen].sum(axis=(0, 1)), expected[chosen].sum(axis=(0, 1))
        curve = staircase.interference(levels_v, *p[:3])
        light = (scale[chosen].sum(axis=1) * measured.seconds[chosen]).sum()
        lit = light * curve + dark * measured.seconds[chosen].sum()
        passed = (counts * lit / model - (lit - light * curve)) / light
        points(upper, levels_v, passed, np.sqrt(model) / light, number, series)
        points(lower, levels_v, (counts - model) / np.sqrt(model), None, number)
    fine = spread(measured.levels_v)
    line(upper, fine, staircase.interference(fine, *p[:3]), 5, "fit")
    upper.set_yscale("log")
    upper.legend(frameon=False, fontsize=8)
    upper.axvline(record.quantity("v0").value, color="0.5", linewidth=0.8, linestyle=":")


CALIBRATION = Calibration(
    name="modulator",
    title="V0, Vpi and extinction of an intensity modulator",
    method="staircases of volts, clicks folded on them; two-beam interference with a floor, maximum likelihood",
    plan=ModulatorPlan,
    measure=measure,
    evaluate=evaluate,
    draw=draw,
)
