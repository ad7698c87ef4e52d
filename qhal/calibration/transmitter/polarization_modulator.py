"""Vpi of the modulator that makes the polarizations, from the count rates of the passive receiver's detectors.

A phase between two components of the polarization rotates the state on the Poincaré sphere about an axis, by
``phi = pi (V - V0) / Vpi``. The fibre rotates the whole circle of states, and an analyser passes light in proportion to
``1 + a.s``: for any fibre and axis, each detector counts ``a + b cos(pi V / Vpi) + c sin(pi V / Vpi)``. Only
Vpi is common to all. All levels are played within a millisecond
(:mod:`qhal.calibration.optics.staircase`), and each recording has coefficients of its own.
"""

from functools import partial
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from uncertainties import umath

from qhal.calibration.figures.labels import in_unit
from qhal.calibration.figures.style import data_and_residuals, line, points, spread
from qhal.calibration.fitting.fit import Array, Fitted, Model, fit_counts, numbered
from qhal.calibration.framework.calibration import Calibration
from qhal.calibration.framework.data import Data, Evaluation
from qhal.calibration.framework.plan import Positive
from qhal.calibration.framework.points import Run
from qhal.calibration.inputs import detector_records, transmitter_records
from qhal.calibration.optics import staircase
from qhal.calibration.optics.played_light import count_dark, prepare_dark, set_count_rate
from qhal.calibration.optics.setups import TransmitterSetup
from qhal.calibration.optics.staircase import StaircasePlan
from qhal.errors import DeviceError
from qhal.records.record import Quantity, Record, Table
from qhal.records.uncertain import nominal

FORMULA = "rate = a + b cos(pi V / Vpi) + c sin(pi V / Vpi), counts with dead time"
_OPPOSITE = 0.1
"""Where the clearest detector gains, another must lose at least this fraction of it."""


class PolarizationModulatorPlan(StaircasePlan):
    """A polarization modulator; intensity modulators must let light through at their ``held_v``.

    The polarization must be still within one staircase only.
    """

    channel: Annotated[int, Field(ge=1)] = 2
    dark_s: Positive = 1.0

    def candidates_v(self) -> Array:
        """Return the Vpi that are looked for, some of them too large to be found."""
        span = self.high_v - self.low_v
        return np.geomspace(span / 8, 1.5 * span, 70)


def measure(run: Run, plan: PolarizationModulatorPlan, setup: TransmitterSetup) -> None:
    """Record the staircase. Raises DeviceError, after the first recording, where no polarization follows it."""
    channels = setup.detectors.capabilities.channels
    inputs = range(1, channels + 1)
    prepare_dark(plan, inputs, setup)
    count_dark(run, plan, inputs, setup.tagger)
    steps = plan.staircase()
    steps.play(setup.generator, plan.channel, plan.held_v)
    set_count_rate(run, plan, setup)
    first = plan.model_copy(update={"repetitions": 1})
    staircase.record(run, "staircase", first, steps, channels, setup.tagger)
    _Sorted(run.tables()["staircase"], plan)
    staircase.record(run, "staircase", plan, steps, channels, setup.tagger)


class _Sorted:
    """Counts (rows, detectors, levels) by level, the seconds of a level by row, and a first guess of Vpi.

    Raises NotEnoughCounts when the light does not follow the levels, DeviceError when it does in another way.
    """

    def __init__(self, table: Table, plan: PolarizationModulatorPlan) -> None:
        self.levels_v: Array = table["played_v"][0]
        candidates, counts = plan.candidates_v(), []
        for row, folded in enumerate(table["counts"]):
            # Detectors of one basis gain what the other loses, so that one alone shows the staircase.
            clearest = _clearest(folded)
            each = staircase.by_level(folded, clearest)
            found = staircase.find_start(each[clearest], self.levels_v, candidates)
            if row == 0:
                _check(plan, each, clearest, found.vpi_v)
                self.vpi_v = found.vpi_v
                candidates = np.array([found.vpi_v])
            counts.append(np.roll(each, -found.shift, axis=1))
        self.counts: NDArray[np.int64] = np.array(counts)
        self.seconds: Array = np.array([staircase.counted_s(float(bin_s)) for bin_s in table["bin_s"]])


def _clearest(counts: NDArray[np.int64]) -> int:
    """Return the row whose counts differ the most, by their own noise."""
    mean = counts.mean(axis=1, keepdims=True)
    return int(np.argmax(((counts - mean) ** 2 / np.maximum(mean, 1)).sum(axis=1)))


def _check(plan: PolarizationModulatorPlan, counts: NDArray[np.int64], clearest: int, vpi_v: float) -> None:
    off = counts - counts.mean(axis=1, keepdims=True)
    along = off @ off[clearest] / (off[clearest] @ off[clearest])
    if along.min() > -_OPPOSITE:
        raise DeviceError(
            f"output {plan.channel}: no detector loses light where another gains it:"
            " is it an intensity modulator's output, or does a detector not count?"
        )
    if vpi_v > plan.high_v - plan.low_v:
        raise DeviceError(
            f"output {plan.channel}: Vpi is near {vpi_v:.2g} V; there must be a half turn between low_v"
            f" ({plan.low_v:g} V) and high_v ({plan.high_v:g} V)"
        )


def evaluate(data: Data, plan: PolarizationModulatorPlan) -> Evaluation:
    """Fit one Vpi to all recordings and detectors, again with another dead time for what its uncertainty does."""
    measured = _Sorted(data["staircase"], plan)
    fitted = _fit(measured, plan.dead_time_ns)
    values = [fitted.values[0], *_contrasts(fitted, measured)]
    if plan.dead_time_uncertainty_ns:
        changed = _fit(measured, plan.dead_time_ns + plan.dead_time_uncertainty_ns)
        others = [changed.values[0], *_contrasts(changed, measured)]
        pairs = zip(values, others, strict=True)
        values = [value + (nominal(other) - nominal(value)) * plan.dead_time_error for value, other in pairs]
    quantities = [Quantity.of("vpi", "V", values[0], channel=plan.channel)]
    quantities += [
        Quantity.of("modulation_contrast", "1", value, input=n) for n, value in enumerate(values[1:], 1)
    ]
    remarks = [
        "volts at the generator's connector, as set; V0 is not found: the fibre turns the states, too",
        "modulation_contrast: of the counts, by input of the tagger; it changes with the fibre",
    ]
    return Evaluation(quantities, [fitted.fit], remarks)


def _basis(levels_v: Array, vpi_v: float) -> NDArray[np.float64]:
    angle = np.pi * levels_v / vpi_v
    return np.stack((np.ones_like(angle), np.cos(angle), np.sin(angle)))


def _fit(measured: _Sorted, dead_time_ns: float) -> Fitted:
    """Fit Vpi, and a, b, c of each recording and detector."""
    rows, detectors, _ = measured.counts.shape
    dead_s, seconds = dead_time_ns * 1e-9, measured.seconds[:, None, None]
    counted_hz = measured.counts / seconds
    light_hz = (counted_hz / (1 - counted_hz * dead_s)).reshape(rows * detectors, -1)
    start, *_ = np.linalg.lstsq(_basis(measured.levels_v, measured.vpi_v).T, light_hz.T)
    named = {"vpi_v": measured.vpi_v, **numbered("coefficient_hz", start.T)}
    return fit_counts("counts", FORMULA, _model(measured, dead_time_ns), measured.counts.ravel(), named)


def _model(measured: _Sorted, dead_time_ns: float) -> Model:
    """Return the counts expected of all recordings, detectors and levels."""
    rows, detectors, _ = measured.counts.shape
    dead_s, seconds = dead_time_ns * 1e-9, measured.seconds[:, None, None]

    def expected(p: Array) -> Array:
        rate = np.maximum(p[1:].reshape(rows, detectors, 3) @ _basis(measured.levels_v, p[0]), 1e-9)
        counts: Array = seconds * rate / (1 + rate * dead_s)
        return counts.ravel()

    return expected


def _contrasts(fitted: Fitted, measured: _Sorted) -> list[Any]:
    """Return (most - least) / (most + least) of each detector's curve, its mean over the recordings."""
    rows, detectors, _ = measured.counts.shape
    parts: Any = np.array(fitted.values[1:], object).reshape(rows, detectors, 3)
    return [
        sum(umath.sqrt(b * b + c * c) / a for a, b, c in parts[:, detector]) / rows
        for detector in range(detectors)
    ]


def draw(figure: Any, record: Record) -> None:
    """Show the rate of each detector over volts, with its curve."""
    plan = PolarizationModulatorPlan(**record.inputs)
    measured = _Sorted(record.tables["staircase"], plan)
    upper, lower = data_and_residuals(figure, "generator / V", "count rate / kHz")
    seconds = measured.seconds.sum()
    p = record.fit(FORMULA).values
    fine_v = spread(measured.levels_v)
    rate_hz = p[1:].reshape(*measured.counts.shape[:2], 3) @ _basis(fine_v, p[0])
    counted_hz = rate_hz / (1 + rate_hz * plan.dead_time_ns * 1e-9)
    curves = np.tensordot(measured.seconds, counted_hz, 1) / seconds
    counts = measured.counts.sum(axis=0)
    expected = _model(measured, plan.dead_time_ns)(p).reshape(measured.counts.shape).sum(axis=0)
    for n, curve in enumerate(curves):
        sigma = np.sqrt(expected[n])
        points(
            upper, measured.levels_v, counts[n] / seconds / 1e3, sigma / seconds / 1e3, n, f"detector {n + 1}"
        )
        line(upper, fine_v, curve / 1e3, n)
        points(lower, measured.levels_v, (counts[n] - expected[n]) / sigma, None, n)
    upper.set_ylim(bottom=0)
    upper.legend(frameon=False, fontsize=8, ncols=len(curves), loc="lower left", bbox_to_anchor=(0, 1))
    vpi = record.quantity("vpi")
    upper.set_title(f"Vpi {in_unit(vpi)}", fontsize=8, loc="right")


CALIBRATION = Calibration(
    name="polarization-modulator",
    title="Vpi of the polarization modulator",
    method="staircases of volts, clicks folded on them; a turn of polarization behind analysers, maximum likelihood",
    plan=PolarizationModulatorPlan,
    setup=TransmitterSetup,
    measure=measure,
    evaluate=evaluate,
    draw=draw,
    from_node=(partial(transmitter_records.held_volts, channel=2), detector_records.dead_time),
    uses=(transmitter_records.MODULATOR, detector_records.DEAD_TIME),
)
