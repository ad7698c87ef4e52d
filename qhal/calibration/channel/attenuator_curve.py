"""True attenuation of an attenuator at its set points, against a power meter.

The insertion-loss method: the meter reads the light at each set point and at a reference set point, the attenuation is
the difference of the levels. Another attenuator in series shifts the level, so that each set point can be measured
where the meter is linear; passes at different shifts overlap, and least squares stitch them.
:class:`qhal.records.curve.AttenuatorCurve` reads the record.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from uncertainties import UFloat

from qhal.calibration.figures.style import line, points, tidy
from qhal.calibration.fitting.fit import Array, Fitted, fit_values, numbered
from qhal.calibration.framework.calibration import Calibration
from qhal.calibration.framework.data import Data, Evaluation
from qhal.calibration.framework.plan import Extent, Plan, Positive, steps_between
from qhal.calibration.framework.points import Run
from qhal.calibration.framework.setup import Setup
from qhal.calibration.optics.attenuators import turn_on_source
from qhal.calibration.optics.power import find_level_dbm, isolate_detectors, noise_db, read_powers_dbm
from qhal.calibration.optics.setups import fitted
from qhal.devices.attenuator import Attenuator
from qhal.devices.detector import Detector
from qhal.devices.optical_switch import OpticalSwitch
from qhal.devices.power_meter import PowerMeter
from qhal.devices.source import Source
from qhal.errors import DeviceError
from qhal.link.link_errors import NotEnoughCounts
from qhal.records.curve import CURVE
from qhal.records.origin import RoleOrigin
from qhal.records.record import Quantity, Record, Table
from qhal.records.uncertain import statistical, systematic

FORMULA = "reading = level of the pass - attenuation"
LEVEL, STEPS = "level", "steps"
_Decibel = Annotated[float, Field(ge=0)]


_MOST_DB = 60.0
"""Assumed of an attenuator whose last set point the plan leaves open."""


class AttenuatorCurvePlan(Plan):
    """Set points from ``first_db`` (None: the lowest) to ``last_db`` (None: the meter's range) in ``step_db``.

    The first is the reference. Its loss is ``reference_loss_db`` (None: the set point itself) with the standard
    uncertainty ``reference_uncertainty_db``: the data sheet's insertion loss, which no difference depends on.

    ``meter_channel`` is before the switch. It is used from ``margin_db`` above the lower end of its range to
    ``margin_db`` below the upper one; ``power_dbm`` of the source None: as it is set. The auxiliary attenuator takes
    ``shift_db`` more in each pass, until the first set point is within that range, and once more. All passes are
    repeated ``repetitions`` times; at each set point there are ``readings``, ``settle_s`` after the move.

    Standard uncertainties: ``repeatability_db`` of where a move of either attenuator ends,
    ``meter_nonlinearity_db_per_10db`` of a level difference. ``meter_resolution_db``: last digit of a reading.
    """

    first_db: _Decibel | None = None
    last_db: Positive | None = None
    step_db: Positive = 2.0
    reference_loss_db: _Decibel | None = None
    reference_uncertainty_db: _Decibel = 0.2
    meter_channel: int = 1
    power_dbm: float | None = None
    margin_db: _Decibel = 3.0
    shift_db: Positive = 15.0
    repetitions: Annotated[int, Field(ge=2)] = 3
    readings: Annotated[int, Field(ge=1)] = 4
    settle_s: _Decibel = 0.1
    repeatability_db: _Decibel = 0.02
    meter_nonlinearity_db_per_10db: _Decibel = 0.01
    meter_resolution_db: _Decibel = 0.01
    traceability: str = ""

    def extent(self) -> Extent:
        """Return how large the measurement is."""
        steps = steps_between(self.first_db or 0.0, self.last_db or _MOST_DB, self.step_db)
        rows = self.repetitions * steps
        return Extent(rows, rows * self.readings * self.settle_s, rows * self.readings)


@dataclass(frozen=True, kw_only=True)
class CurveSetup(Setup):
    """Devices by role."""

    source: Source
    attenuator: Attenuator
    meter: PowerMeter
    auxiliary: Attenuator | None = None
    detectors: Detector | None = None
    switch: OpticalSwitch | None = None

    @property
    def attenuators(self) -> tuple[Attenuator, ...]:
        """The fitted attenuators, in optical order."""
        return fitted(self.attenuator, self.auxiliary)


def measure(run: Run, plan: AttenuatorCurvePlan, setup: CurveSetup) -> None:
    """Read the meter at all set points, in passes at different settings of the auxiliary attenuator."""
    isolate_detectors(setup.detectors, setup.switch)
    attenuators = setup.attenuators
    turn_on_source(setup.source, plan.power_dbm, attenuators)
    limits = setup.meter.capabilities
    low_dbm, high_dbm = limits.min_power_dbm + plan.margin_db, limits.max_power_dbm - plan.margin_db
    for point in run.points(LEVEL, [{"channel": plan.meter_channel}]):
        level_dbm = find_level_dbm(attenuators, setup.meter, plan.meter_channel, low_dbm, plan.settle_s)
        run.store(LEVEL, **point, level_dbm=level_dbm)
    level_dbm = run.rows(LEVEL)[0]["level_dbm"]
    wanted = list(_passes(plan, setup.attenuator, setup.auxiliary, level_dbm, low_dbm, high_dbm))
    visit, before = max((row["visit"] for row in run.rows(STEPS)), default=0), None
    for point in run.points(STEPS, wanted):
        here = (point["repetition"], point["auxiliary_db"])
        if here != before:
            # Each move of the setup.auxiliary ends a little elsewhere: a level of its own.
            visit, before = visit + 1, here
            if setup.auxiliary is not None:
                setup.attenuator.make_safe()
                setup.auxiliary.set_attenuation_db(point["auxiliary_db"])
        setup.attenuator.set_attenuation_db(point["set_db"])
        power_dbm = read_powers_dbm(setup.meter, plan.meter_channel, plan.readings, plan.settle_s)
        run.store(STEPS, **point, visit=visit, power_dbm=power_dbm)


def _passes(
    plan: AttenuatorCurvePlan,
    attenuator: Attenuator,
    auxiliary: Attenuator | None,
    level_dbm: float,
    low_dbm: float,
    high_dbm: float,
) -> Iterator[dict[str, float]]:
    """Yield all points in the order in which they are measured. Raises DeviceError when the light is unsuitable."""
    limits = attenuator.capabilities
    first_db = limits.min_attenuation_db if plan.first_db is None else plan.first_db
    last_db = limits.max_attenuation_db if plan.last_db is None else plan.last_db
    steps = max(1, steps_between(first_db, last_db, plan.step_db))
    set_points = [round(first_db + n * plan.step_db, 2) for n in range(steps)]
    shifts = [0.0] if auxiliary is None else _shifts(plan, auxiliary, level_dbm - first_db - high_dbm)

    def seen(shift_db: float) -> list[float]:
        return [each for each in set_points if low_dbm <= level_dbm - shift_db - each <= high_dbm]

    reached = {each for shift_db in shifts for each in seen(shift_db)}
    missing = [each for each in set_points if each not in reached]
    # Set points below the meter's range are left out, but not a last set point that the plan names.
    if (
        len(reached) < 2
        or min(missing, default=np.inf) < max(reached)
        or (missing and plan.last_db is not None)
    ):
        raise DeviceError(
            f"{attenuator.device.name}: of its set points from {set_points[0]:g} to {set_points[-1]:g} dB the meter "
            f"sees {len(reached)} between {low_dbm:g} and {high_dbm:g} dBm; "
            f"without attenuation it would read {level_dbm:.1f} dBm"
        )
    shuffle = np.random.default_rng(1)  # fixed, so that a resumed run has the same order
    for repetition in range(1, plan.repetitions + 1):
        for shift_db in shifts:
            for each in shuffle.permutation(seen(shift_db)):
                yield {"repetition": repetition, "auxiliary_db": shift_db, "set_db": float(each)}


def _shifts(plan: AttenuatorCurvePlan, auxiliary: Attenuator, too_bright_db: float) -> list[float]:
    limits = auxiliary.capabilities
    beyond_db = max(0.0, too_bright_db - limits.min_attenuation_db)
    count = 2 + int(np.ceil(beyond_db / plan.shift_db))
    shifts = [round(limits.min_attenuation_db + n * plan.shift_db, 2) for n in range(count)]
    return [each for each in shifts if each <= limits.max_attenuation_db]


def evaluate(data: Data, plan: AttenuatorCurvePlan) -> Evaluation:
    """Stitch the passes and return the attenuation at each set point."""
    table = data[STEPS]
    set_points, fitted = _fit(table, plan)
    reference_db = float(set_points[0])
    loss_db = reference_db if plan.reference_loss_db is None else plan.reference_loss_db
    loss = systematic("insertion loss", loss_db, plan.reference_uncertainty_db)
    nonlinearity = systematic(
        "meter nonlinearity", 0.0, plan.meter_nonlinearity_db_per_10db, RoleOrigin("meter")
    )
    quantities = [Quantity.of("attenuation", "dB", loss, set_db=reference_db)]
    for set_db, change in zip(set_points[1:], fitted.values, strict=False):
        resolution = statistical("meter resolution", 0.0, plan.meter_resolution_db / 12**0.5)
        true: UFloat = loss + change + nonlinearity * (change.nominal_value / 10) + resolution
        quantities.append(Quantity.of("attenuation", "dB", true, set_db=float(set_db)))
    quantities.append(Quantity.of("repeatability", "dB", _repeatability(table, plan, fitted)))
    remarks = [f"relative to {reference_db:g} dB, up to {set_points[-1]:g} dB"]
    return Evaluation(quantities, [fitted.fit], remarks, traceability=plan.traceability)


def _row_sigma_db(table: Table, plan: AttenuatorCurvePlan) -> float:
    """Return the standard uncertainty of a row: the meter's own noise, its steps, and the attenuator's move."""
    noise = noise_db(table["power_dbm"]) / table["power_dbm"].shape[1] ** 0.5
    return float(np.sqrt(noise**2 + plan.meter_resolution_db**2 / 12 + plan.repeatability_db**2))


def _repeatability(table: Table, plan: AttenuatorCurvePlan, fitted: Fitted) -> UFloat:
    """Return the scatter of a set point that is set again, as the meter sees it."""
    freedom = max(fitted.fit.degrees_of_freedom, 1)
    expected_db = _row_sigma_db(table, plan)
    found_db = expected_db * (fitted.fit.chi2 / freedom) ** 0.5
    # Of what is expected, not of what few rows show: those that happen to agree are no better known.
    return statistical("scatter", found_db, max(expected_db, found_db) / (2 * freedom) ** 0.5)


def _fit(table: Table, plan: AttenuatorCurvePlan) -> tuple[Array, Fitted]:
    """Fit changes of attenuation against the first set point, then the level of each visit and of each shift.

    Levels of one shift are alike but for where the auxiliary's moves end: so a light that drifts is seen.
    """
    set_points, design = _design(table)
    changes, levels = len(set_points) - 1, len(np.unique(table["visit"]))
    readings, sigma_db = table["power_dbm"].mean(axis=1), _row_sigma_db(table, plan)
    measured = np.concatenate((readings, np.zeros(levels)))
    moves_db = max(plan.repeatability_db, plan.meter_resolution_db / 12**0.5, 1e-6)
    sigma = np.concatenate((np.full(len(readings), max(sigma_db, 1e-6)), np.full(levels, moves_db)))
    start = np.linalg.lstsq(design / sigma[:, None], measured / sigma, rcond=None)[0]
    named = {
        **{f"change_db at {set_db:g}": float(db) for set_db, db in zip(set_points[1:], start, strict=False)},
        **numbered("level_dbm of visit", start[changes : changes + levels]),
        **numbered("level_dbm of shift", start[changes + levels :]),
    }

    def model(p: Array) -> Array:
        expected: Array = design @ p
        return expected

    return set_points, fit_values("readings", FORMULA, model, measured, sigma, named)


def _design(table: Table) -> tuple[Array, NDArray[np.float64]]:
    """Return the set points, and what each reading and each level's visit has of each parameter."""
    set_points, place = np.unique(table["set_db"], return_inverse=True)
    visits, visit = np.unique(table["visit"], return_inverse=True)
    if len(set_points) < 2:
        raise NotEnoughCounts("one set point: two or more are needed for a change of attenuation")
    first_rows = [int(np.argmax(visit == n)) for n in range(len(visits))]
    shifts, shift = np.unique(table["auxiliary_db"][first_rows], return_inverse=True)
    changes, levels = len(set_points) - 1, len(visits)
    design = np.zeros((len(table) + levels, changes + levels + len(shifts)))
    rows = np.arange(len(table))
    design[rows[place > 0], place[place > 0] - 1] = -1.0
    design[rows, changes + visit] = 1.0
    links = len(table) + np.arange(levels)
    design[links, changes + np.arange(levels)] = 1.0
    design[links, changes + levels + shift] = -1.0
    return set_points, design


def draw(figure: Any, record: Record) -> None:
    """Show by how much the attenuation differs from the set point, and the residuals of all readings."""
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    tidy(upper, "", "attenuation less set point / dB")
    tidy(lower, "set point / dB", "residual / dB")
    found = [q for q in record.quantities if q.name == "attenuation"]
    places = np.array([q.at["set_db"] for q in found])
    values = np.array([q.value for q in found])
    upper.fill_between(
        places,
        values - places - [q.uncertainty for q in found],
        values - places + [q.uncertainty for q in found],
        color="0.9",
        linewidth=0,
        label="total uncertainty",
    )
    line(upper, places, values - places, 0)
    points(upper, places, values - places, [q.statistical for q in found], 0, "statistical")
    upper.legend(frameon=False, fontsize=8)
    table = record.tables[STEPS]
    expected = _design(table)[1] @ record.fit(FORMULA).values
    residuals: NDArray[np.float64] = table["power_dbm"].mean(axis=1) - expected[: len(table)]
    lower.axhline(0, color="0.6", linewidth=0.8)
    for n, shift_db in enumerate(np.unique(table["auxiliary_db"])):
        at = table["auxiliary_db"] == shift_db
        name = f"auxiliary at {shift_db:g} dB" if shift_db else "alone"
        points(lower, table["set_db"][at], residuals[at], None, n + 1, name)
    lower.legend(frameon=False, fontsize=8, ncols=4)


CALIBRATION = Calibration(
    name=CURVE,
    title="True attenuation of an attenuator at its set points",
    method="differences of power levels, stitched by least squares over passes at shifted levels",
    plan=AttenuatorCurvePlan,
    setup=CurveSetup,
    measure=measure,
    evaluate=evaluate,
    draw=draw,
)
