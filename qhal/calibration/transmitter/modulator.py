"""V0, Vpi and extinction of an intensity modulator, from count rates over the volts of the generator.

A Mach-Zehnder modulator transmits ``T = Tmin + (1 - Tmin) cos^2(pi (V - V0) / (2 Vpi))``, the interference of two beams
with what is not coherent between them. All levels are played within a millisecond
(:mod:`qhal.calibration.optics.staircase`), once over the whole range and once, with more light, about the extinction.
Only the shape of the curve counts, so that neither an attenuator nor a power meter takes part in the result.
"""

from functools import partial
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from qhal.calibration.figures.labels import in_unit
from qhal.calibration.figures.style import data_and_residuals, line, points, spread
from qhal.calibration.fitting.fit import Array, Fitted, Model, fit_counts, numbered
from qhal.calibration.framework.calibration import Calibration
from qhal.calibration.framework.data import Data, Evaluation
from qhal.calibration.framework.points import Run
from qhal.calibration.inputs import detector_records, transmitter_records
from qhal.calibration.optics import staircase
from qhal.calibration.optics.attenuators import close_attenuators, set_total_attenuation
from qhal.calibration.optics.played_light import count_dark, prepare_dark, set_count_rate
from qhal.calibration.optics.setups import TransmitterSetup
from qhal.calibration.optics.staircase import Staircase, StaircasePlan
from qhal.errors import DeviceError
from qhal.records.record import Quantity, Record, Table

FORMULA = "rate = scale (Tmin + (1 - Tmin) cos^2(pi (V - V0) / (2 Vpi))) + dark"
SERIES = ("range", "extinction")
_DB = 10 / np.log(10)


class ModulatorPlan(StaircasePlan):
    """An intensity modulator. What another one transmits at its ``held_v`` only scales the light.

    There are staircases over the range and, with up to ``more_light_db`` less attenuation, about the extinction.
    """

    more_light_db: Annotated[float, Field(ge=3, le=30)] = 13.0

    def candidates_v(self) -> Array:
        """Return the Vpi that are looked for: an extinction and a half of the curve must lie in the range."""
        span = self.high_v - self.low_v
        return np.geomspace(span / 8, span, 60)


def measure(run: Run, plan: ModulatorPlan, setup: TransmitterSetup) -> None:
    """Record staircases over the range, then about the extinction that they show."""
    channels = setup.detectors.capabilities.channels
    inputs = range(1, channels + 1)
    prepare_dark(plan, inputs, setup)
    count_dark(run, plan, inputs, setup.tagger)
    wide = plan.staircase()
    wide.play(setup.generator, plan.channel, plan.held_v)
    wide_db = set_count_rate(run, plan, setup)
    staircase.record(run, "range", plan, wide, channels, setup.tagger)
    close_attenuators([setup.attenuator])
    more_db = min(plan.more_light_db, wide_db - setup.attenuator.capabilities.min_attenuation_db)
    near = _near_extinction(run.tables()["range"], plan, more_db)
    near.play(setup.generator, plan.channel, plan.held_v)
    set_total_attenuation(wide_db - more_db, [setup.attenuator])
    staircase.record(run, "extinction", plan, near, channels, setup.tagger)


def _near_extinction(table: Table, plan: ModulatorPlan, more_db: float) -> Staircase:
    """Return a staircase about the extinction, with this much more light no brighter than the range on average.

    Raises DeviceError when the range has no extinction.
    """
    counts = staircase.by_level(table["counts"][0]).sum(axis=0)
    found = staircase.find_start(counts, table["played_v"][0], plan.candidates_v())
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
                found = staircase.find_start(each.sum(axis=0), table["played_v"][row], candidates)
                if series == "range" and row == 0:
                    self.found = found
                    candidates = np.array([found.vpi_v])
                counts.append(np.roll(each, -found.shift, axis=1))
                levels.append(table["played_v"][row])
                seconds.append(staircase.counted_s(float(table["bin_s"][row])))
        self.counts: NDArray[np.int64] = np.array(counts)
        self.levels_v: Array = np.array(levels)
        self.seconds: Array = np.array(seconds)
        self.dark_counts: Array = data["dark"]["counts"][0].astype(np.float64)
        self.dark_s = float(data["dark"]["live_s"][0])


def evaluate(data: Data, plan: ModulatorPlan) -> Evaluation:
    """Fit one curve to all staircases; each has a scale of its own for each detector."""
    measured = _Sorted(data, plan)
    fitted = _fit(measured, plan.dead_time_ns)
    other = _fit(measured, plan.dead_time_ns + plan.dead_time_uncertainty_ns)
    values: list[Any] = []
    for value, changed in zip(fitted.values[:3], other.values[:3], strict=True):
        moved = changed.nominal_value - value.nominal_value
        values.append(value + moved * plan.dead_time_error)
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
    found = measured.found
    dark_hz = (measured.dark_counts + 0.5) / measured.dark_s
    floor = np.log(1e-3)
    curve = staircase.interference(measured.levels_v, found.v0_v, found.vpi_v, floor)
    # Weighted by the light, because dark levels do not determine the scale.
    scale = (measured.counts * curve[:, None, :]).sum(axis=2) / (curve**2).sum(axis=1)[:, None]
    scale /= measured.seconds[:, None]
    start = {
        "v0_v": found.v0_v,
        "vpi_v": found.vpi_v,
        "log_floor": float(floor),
        **numbered("dark_hz", dark_hz),
        **numbered("scale_hz", scale),
    }
    counts = np.concatenate((measured.counts.ravel(), measured.dark_counts))
    return fit_counts("counts", FORMULA, _model(measured, dead_time_ns), counts, start)


def _model(measured: _Sorted, dead_time_ns: float) -> Model:
    """Return the counts expected (rows, detectors, levels), then those in the dark."""
    rows, detectors, _ = measured.counts.shape
    dead_s, seconds = dead_time_ns * 1e-9, measured.seconds[:, None, None]

    def expected(p: Array) -> Array:
        curve = staircase.interference(measured.levels_v, *p[:3])[:, None, :]
        dark_hz = p[3 : 3 + detectors]
        scale = p[3 + detectors :].reshape(rows, detectors, 1)
        rate = np.maximum(scale * curve + dark_hz[:, None], 1e-9)
        lit = seconds * rate / (1 + rate * dead_s)
        return np.concatenate((lit.ravel(), np.maximum(dark_hz, 1e-9) * measured.dark_s))

    return expected


def draw(figure: Any, record: Record) -> None:
    """Show the transmission over volts, of all detectors together, and the curve."""
    upper, lower = data_and_residuals(figure, "generator / V", "transmission")
    plan = ModulatorPlan(**record.inputs)
    measured = _Sorted(Data(record.tables), plan)
    p = record.fit(FORMULA).values
    rows, detectors, _ = measured.counts.shape
    expected = _model(measured, plan.dead_time_ns)(p)[: measured.counts.size].reshape(measured.counts.shape)
    scale = p[3 + detectors :].reshape(rows, detectors)
    dark = p[3 : 3 + detectors].sum()
    for number, series in enumerate(SERIES):
        chosen = np.arange(rows) // len(record.tables["range"]) == number
        levels_v = measured.levels_v[chosen][0]
        # Rows and detectors together, corrected for dead time by the model.
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
    v0 = record.quantity("v0")
    upper.axvline(v0.value, color="0.5", linewidth=0.8, linestyle=":", label=f"V0 {in_unit(v0)}")
    upper.legend(frameon=False, fontsize=8)


CALIBRATION = Calibration(
    name="modulator",
    title="V0, Vpi and extinction of an intensity modulator",
    method="staircases of volts, clicks folded on them; two-beam interference with a floor, maximum likelihood",
    plan=ModulatorPlan,
    setup=TransmitterSetup,
    measure=measure,
    evaluate=evaluate,
    draw=draw,
    from_node=(partial(transmitter_records.held_volts, channel=4), detector_records.dead_time),
    uses=(transmitter_records.MODULATOR, detector_records.DEAD_TIME),
)
