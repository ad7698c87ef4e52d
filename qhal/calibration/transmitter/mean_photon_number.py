"""Mean photon number of a transmitter's pulses: mean power at a meter, then known attenuation, over the pulse rate.

The first method of ETSI GS QKD 011 for it: a calibrated power meter where the light is bright, and attenuators and pads
with known losses from there to the output. At the output itself no power meter sees anything.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field, model_validator
from uncertainties import umath

from qhal.calibration.figures.budget import budget_bars
from qhal.calibration.figures.labels import with_uncertainty
from qhal.calibration.figures.style import line, points, tidy
from qhal.calibration.framework.calibration import Calibration, Site
from qhal.calibration.framework.data import Data, Evaluation
from qhal.calibration.framework.plan import Extent, Positive
from qhal.calibration.framework.points import Run
from qhal.calibration.inputs import transmitter_records
from qhal.calibration.inputs.path_loss import PathLoss, losses_to, total_loss_db
from qhal.calibration.optics.attenuators import close_attenuators, home_unknown
from qhal.calibration.optics.bright_light import (
    CONSTANT_POWER,
    POWER,
    BrightLight,
    BrightPlan,
    measure_bright,
)
from qhal.calibration.optics.power import noise_db
from qhal.calibration.optics.setups import MeterSetup
from qhal.records.record import Quantity, Record

Ratio = Annotated[float, Field(ge=0, le=1)]
Uncertainty = Annotated[float, Field(ge=0)]


class MeanPhotonNumberPlan(BrightPlan):
    """Power of the pattern that plays, ``repetitions`` times, ``pause_s`` apart.

    ``set_db``: set points of the attenuators in operation, in optical order; the result is for these.
    ``path``: the parts from the meter to the transmitter's output; where the node file has a path, those of it up to
    ``output``, the name of the last one. ``pulse_rate_hz``: pulses per second, those of every intensity; a record of
    ``intensity-ratio`` knows them.

    ``ratios``: intensities relative to the brightest, with their standard ``ratio_uncertainties`` (results of
    ``intensity-ratio``); ``probabilities``: how often the pattern has them. Empty: the mean alone.
    """

    set_db: tuple[Positive, ...]
    pulse_rate_hz: Positive
    repetitions: Annotated[int, Field(ge=2)] = 5
    pause_s: Annotated[float, Field(ge=0)] = 10.0
    path: tuple[PathLoss, ...]
    output: str | None = None
    ratios: tuple[Ratio, ...] = ()
    ratio_uncertainties: tuple[Uncertainty, ...] = ()
    probabilities: tuple[Ratio, ...] = ()

    @model_validator(mode="after")
    def _goes_together(self) -> "MeanPhotonNumberPlan":
        numbers = {len(self.ratios), len(self.ratio_uncertainties), len(self.probabilities)}
        if len(numbers) != 1:
            raise ValueError("ratios, ratio_uncertainties and probabilities are not equally many")
        if self.ratios and (self.ratios[0] != 1.0 or abs(sum(self.probabilities) - 1) > 1e-6):
            raise ValueError("the first of ratios must be 1, and probabilities must add up to 1")
        return self

    def extent(self) -> Extent:
        """Return how large the measurement is."""
        one_s = self.pause_s + self.readings * self.settle_s
        return Extent(self.repetitions, self.repetitions * one_s, self.repetitions * self.readings)


def measure(run: Run, plan: MeanPhotonNumberPlan, setup: MeterSetup) -> None:
    """Read the power of the pattern that plays, several times."""
    attenuators = setup.attenuators
    home_unknown(setup.source, attenuators)
    for repetition in range(1, plan.repetitions + 1):
        measure_bright(run, plan, str(repetition), setup)
        setup.meter.device.clock.sleep_s(plan.pause_s)
    close_attenuators(attenuators)


def evaluate(data: Data, plan: MeanPhotonNumberPlan) -> Evaluation:
    """Attenuate the power that was read, and divide it by photon energy and pulse rate."""
    bright = BrightLight(data, plan)
    log_rate = bright.log_photon_rate(plan.set_db, total_loss_db(plan.path))
    mean = umath.exp(log_rate) / plan.pulse_rate_hz
    quantities = [Quantity.of("mean_photon_number", "1", mean)]
    ratios = [
        plan.number(f"ratios.{n}", ratio, sigma, f"ratio of intensity {n}")
        for n, (ratio, sigma) in enumerate(zip(plan.ratios, plan.ratio_uncertainties, strict=True))
    ]
    weight: Any = sum(p * ratio for p, ratio in zip(plan.probabilities, ratios, strict=True))
    quantities += [
        Quantity.of("intensity_photon_number", "1", mean * ratio / weight, intensity=n)
        for n, ratio in enumerate(ratios)
    ]
    set_points = " and ".join(f"{each:g} dB" for each in plan.set_db)
    return Evaluation(
        quantities,
        [bright.fit],
        [f"with attenuators at {set_points}"],
        {"source": ("frequency_thz", "power_dbm")},
        traceability=plan.traceability,
    )


def draw(figure: Any, record: Record) -> None:
    """Show the readings, one repetition after the other, and what makes the uncertainty."""
    left, right = figure.subplots(1, 2, width_ratios=(1, 1))
    table, plan = record.tables[POWER], MeanPhotonNumberPlan(**record.inputs)
    readings = table["power_dbm"].mean(axis=1)
    number = np.arange(1, len(readings) + 1)
    tidy(left, "repetition", "power at the meter / dBm")
    noise = np.hypot(noise_db(table["power_dbm"]) / table["power_dbm"].shape[1] ** 0.5, plan.repeatability_db)
    points(left, number, readings, np.full(len(readings), noise), 0, "mean of the readings, noise and moves")
    mean_dbm = record.fit(CONSTANT_POWER).parameters["power_dbm"]
    line(left, number, np.full(len(readings), mean_dbm), 1, "mean")
    left.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1))
    mean = record.quantity("mean_photon_number")
    budget_bars(right, mean, "contribution to the mean, relative", 100 / mean.value, "%")
    names = ["mean", *(f"intensity {q.at['intensity']:g}" for q in record.quantities[1:])]
    found = [f"{name}: {with_uncertainty(q)}" for name, q in zip(names, record.quantities, strict=True)]
    right.set_title("\n".join(found), fontsize=8, loc="right")


def _from_node(site: Site, values: Mapping[str, Any], records: Sequence[Record]) -> dict[str, Any]:
    return {**transmitter_records.intensity_ratios(records), **losses_to(site, values, "meter", "output")}


CALIBRATION = Calibration(
    name="mean-photon-number",
    title="Mean photon number at the transmitter's output",
    method="mean power at a calibrated meter, then known attenuation (ETSI GS QKD 011)",
    plan=MeanPhotonNumberPlan,
    setup=MeterSetup,
    measure=measure,
    evaluate=evaluate,
    draw=draw,
    uses=("attenuator-curve", transmitter_records.RATIO),
    from_node=(_from_node,),
)
