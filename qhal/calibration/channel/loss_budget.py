"""Loss of a path between two power monitors, against the sum of its parts.

The level at the beginning less that at the end. What is more than the parts are declared to lose is the excess: a bad
connector, a bend, or a part that differs from the path map.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field
from uncertainties import UFloat

from qhal.calibration.figures.budget import budget_bars
from qhal.calibration.figures.labels import with_uncertainty
from qhal.calibration.figures.style import points, tidy
from qhal.calibration.fitting.agreement import weighted_mean
from qhal.calibration.fitting.fit import Array, Fitted, fit_values
from qhal.calibration.framework.calibration import Calibration, Site
from qhal.calibration.framework.data import Data, Evaluation
from qhal.calibration.framework.plan import Extent, Plan
from qhal.calibration.framework.points import Run
from qhal.calibration.inputs.attenuator_model import attenuator_model
from qhal.calibration.inputs.path_loss import PathLoss, losses, parts_from, total_loss_db
from qhal.calibration.optics.attenuators import (
    close_attenuators,
    set_attenuators,
    split_evenly,
    turn_on_source,
)
from qhal.calibration.optics.power import connect_path, isolate_detectors, noise_db, read_powers_dbm
from qhal.calibration.optics.setups import MeterSetup
from qhal.calibration.optics.sources import output_dbm
from qhal.records.record import Fit, Quantity, Record, Table
from qhal.records.uncertain import statistical, systematic

ATTENUATORS, STEPS = "attenuators", "steps"
REPEATED = "loss, the same each time at a level"
LEVELS = "loss less the attenuators', the same at all levels"
PARTS = "loss = sum of the parts"
_Decibel = Annotated[float, Field(ge=0)]


class LossBudgetPlan(Plan):
    """The loss from ``start_channel`` of the meter (None: the power that the source reports) to ``end_channel``.

    The attenuators take ``levels_db`` more than they must, ``repetitions`` times in turn; ``readings`` of both
    monitors, ``settle_s`` after a move. They are parts of the path when it begins at the source. ``ingress`` and
    ``egress``: connected during the measurement, with the detectors' bias off; None: nothing is connected.
    ``power_dbm`` of the source None: as it is set.

    ``path``: the other parts; where the node file has a path, those of it from source to meter. Standard uncertainties:
    ``start_uncertainty_db`` and ``end_uncertainty_db`` of the monitors' scales, ``attenuator_uncertainty_db`` of each
    set point without a record of ``attenuator-curve``, ``repeatability_db`` of a move. ``resolution_db``: last digit of
    both.
    """

    start_channel: int | None = None
    end_channel: int = 1
    levels_db: tuple[_Decibel, ...] = (0.0, 10.0, 20.0)
    repetitions: Annotated[int, Field(ge=2)] = 4
    readings: Annotated[int, Field(ge=2)] = 4
    settle_s: _Decibel = 0.1
    ingress: int | None = None
    egress: int | None = None
    power_dbm: float | None = None
    path: tuple[PathLoss, ...]
    start_uncertainty_db: _Decibel = 0.1
    end_uncertainty_db: _Decibel = 0.05
    attenuator_uncertainty_db: _Decibel = 0.1
    repeatability_db: _Decibel = 0.02
    resolution_db: _Decibel = 0.01
    traceability: str = ""

    def extent(self) -> Extent:
        """Return how large the measurement is."""
        rows = self.repetitions * len(self.levels_db)
        return Extent(rows, rows * self.readings * self.settle_s, 2 * rows * self.readings)


def measure(run: Run, plan: LossBudgetPlan, setup: MeterSetup) -> None:
    """Read both monitors at all levels."""
    attenuators = setup.attenuators
    isolate_detectors(setup.detectors, setup.switch, plan.ingress)
    turn_on_source(setup.source, plan.power_dbm, attenuators)
    if setup.switch is not None and plan.ingress is not None and plan.egress is not None:
        connect_path(setup.switch, plan.ingress, plan.egress)
    for place in run.points(ATTENUATORS, [{"place": n} for n in range(len(attenuators))]):
        run.store(ATTENUATORS, **place, device=attenuators[place["place"]].device.name)
    lowest_db = sum(each.capabilities.min_attenuation_db for each in attenuators)
    wanted = [
        {"repetition": n, "level_db": level_db}
        for n in range(1, plan.repetitions + 1)
        for level_db in plan.levels_db
    ]
    for point in run.points(STEPS, wanted):
        set_db = set_attenuators(attenuators, split_evenly(lowest_db + point["level_db"], attenuators))
        end_dbm = read_powers_dbm(setup.meter, plan.end_channel, plan.readings, plan.settle_s)
        if plan.start_channel is None:
            start_dbm = [output_dbm(setup.source) for _ in range(plan.readings)]
        else:
            start_dbm = read_powers_dbm(setup.meter, plan.start_channel, plan.readings, 0.0)
        run.store(STEPS, **point, set_db=list(set_db), start_dbm=start_dbm, end_dbm=end_dbm)
    close_attenuators(attenuators)


def evaluate(data: Data, plan: LossBudgetPlan) -> Evaluation:
    """Compare the loss at each level with that of the parts."""
    table = data[STEPS]
    moves = list(data[ATTENUATORS]["device"]) if plan.start_channel is None else []
    known = [
        attenuator_model(data, str(name), plan.attenuator_uncertainty_db, plan.repeatability_db)
        for name in moves
    ]
    levels, fitted = _fit(table, plan, len(moves))
    scales = systematic("start scale", 0.0, plan.start_uncertainty_db) - systematic(
        "end scale", 0.0, plan.end_uncertainty_db
    )
    first_rows = [int(np.argmax(table["level_db"] == level)) for level in levels]
    parts = total_loss_db(plan.path)
    attenuations = [
        sum(
            (
                each.mean_attenuation_db(float(db))
                for each, db in zip(known, table["set_db"][row], strict=False)
            ),
            0.0,
        )
        for row in first_rows
    ]
    readings = [
        value + statistical("last digits", 0.0, plan.resolution_db / 6**0.5) for value in fitted.values
    ]
    excesses = [loss - attenuation for loss, attenuation in zip(readings, attenuations, strict=True)]
    mean, levels_fit = weighted_mean(LEVELS, excesses)
    excess: UFloat = mean - scales - parts
    quantities = [
        Quantity.of("loss", "dB", readings[0] - scales, level_db=float(levels[0])),
        Quantity.of("expected_loss", "dB", parts + attenuations[0], level_db=float(levels[0])),
        Quantity.of("excess_loss", "dB", excess),
    ]
    return Evaluation(
        quantities,
        [fitted.fit, levels_fit, _consistency(excess)],
        settings={"source": ("frequency_thz", "power_dbm")},
        traceability=plan.traceability,
    )


def _fit(table: Table, plan: LossBudgetPlan, moved: int) -> tuple[Array, Fitted]:
    """Fit one loss for each level; ``moved``: attenuators whose moves are part of it."""
    levels, place = np.unique(table["level_db"], return_inverse=True)
    loss = table["start_dbm"].mean(axis=1) - table["end_dbm"].mean(axis=1)
    noise = np.hypot(noise_db(table["start_dbm"]), noise_db(table["end_dbm"])) / plan.readings**0.5
    sigma_db = float(np.sqrt(noise**2 + plan.resolution_db**2 / 6 + moved * plan.repeatability_db**2))

    def model(p: Array) -> Array:
        expected: Array = p[place]
        return expected

    start = {f"loss_db at {level:g}": float(loss[place == n].mean()) for n, level in enumerate(levels)}
    return levels, fit_values("readings", REPEATED, model, loss, np.full(len(loss), sigma_db), start)


def _consistency(excess: UFloat) -> Fit:
    """Return whether an excess is within the tolerances of the parts and the accuracy of the monitors."""
    return Fit(model=PARTS, chi2=float((excess.nominal_value / excess.std_dev) ** 2), degrees_of_freedom=1)


def draw(figure: Any, record: Record) -> None:
    """Show what was measured and expected, and the budget of the difference."""
    left, right = figure.subplots(1, 2, width_ratios=(1, 1))
    table = record.tables[STEPS]
    fit = record.fit(REPEATED)
    tidy(left, "repetition", "loss less its mean at the level / dB")
    left.xaxis.get_major_locator().set_params(integer=True)
    left.axhline(0, color="0.6", linewidth=0.8)
    loss = table["start_dbm"].mean(axis=1) - table["end_dbm"].mean(axis=1)
    for n, level in enumerate(np.unique(table["level_db"])):
        at = table["level_db"] == level
        off = loss[at] - fit.values[n]
        sigma = fit.sigmas[n] * at.sum() ** 0.5
        points(
            left, table["repetition"][at] + 0.1 * n, off, np.full(at.sum(), sigma), n, f"{level:g} dB more"
        )
    left.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    excess = record.quantity("excess_loss")
    budget_bars(right, excess, "contribution to the excess", 1.0, "dB")
    text = "\n".join(f"{q.name.replace('_', ' ')}: {with_uncertainty(q)}" for q in record.quantities)
    right.set_title(text, fontsize=8, loc="right")


def _from_node(site: Site, values: Mapping[str, Any], records: Sequence[Record]) -> dict[str, Any]:
    if values.get("start_channel") is not None:
        return {}
    parts, meter = parts_from(site, "source"), parts_from(site, "meter")
    return losses(parts[: len(parts) - len(meter)]) if meter else {}


CALIBRATION = Calibration(
    name="loss-budget",
    title="Loss of a path, against the sum of its parts",
    method="difference of power levels, and the declared losses of the parts",
    plan=LossBudgetPlan,
    setup=MeterSetup,
    measure=measure,
    evaluate=evaluate,
    draw=draw,
    uses=("attenuator-curve",),
    from_node=(_from_node,),
)
