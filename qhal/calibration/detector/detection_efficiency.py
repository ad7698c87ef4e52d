"""Detection efficiency: light of a known power, attenuated by known factors, counted.

The method of ETSI GS QKD 011 (calibrated power meter, then known attenuation) with steady light: counts, less dark
counts and corrected for dead time, over photons. A receiver that splits by polarization is calibrated with its
polarization unknown: see :mod:`qhal.calibration.fitting.output_fractions`.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field
from uncertainties import UFloat, umath

from qhal.calibration.figures.efficiency import draw
from qhal.calibration.fitting.agreement import weighted_mean
from qhal.calibration.fitting.output_fractions import OutputRates, counted_of, fit_outputs
from qhal.calibration.framework.calibration import Calibration
from qhal.calibration.framework.data import Data, Evaluation
from qhal.calibration.framework.plan import CHANNELS, CountingPlan, Extent, Positive
from qhal.calibration.framework.points import Run
from qhal.calibration.inputs import detector_records
from qhal.calibration.inputs.path_loss import PathLoss, losses, parts_from, total_loss_db
from qhal.calibration.optics.attenuators import (
    close_attenuators,
    home_unknown,
    set_attenuators,
    split_evenly,
    turn_on_source,
)
from qhal.calibration.optics.bright_light import BrightLight, BrightPlan, measure_bright
from qhal.calibration.optics.count_rate import SETTINGS, approach_rate, bias_detectors
from qhal.calibration.optics.power import connect_path, disconnect_path
from qhal.calibration.optics.setups import SwitchedSetup
from qhal.devices.polarization_controller import PolarizationController
from qhal.devices.power_meter import PowerMeter
from qhal.link.link_errors import NotEnoughCounts
from qhal.records.record import Quantity, Table
from qhal.records.uncertain import systematic

DARK, SEARCH, COUNTS = "dark", "search", "counts"
LEVELS_FORMULA = "counted light over attenuated power, the same at all levels"
_SEARCH_S = 0.1


class EfficiencyPlan(BrightPlan, CountingPlan):
    """Power at a meter, ``levels`` of attenuation ``level_step_db`` apart, ``settings`` of the polarization at each.

    The first level is where the brightest detector counts about ``rate_hz``; ``repetitions`` times through all levels,
    ``period_s`` each. Dark counts: ``dark_repetitions`` of ``dark_s``. ``bias_ua`` None: as it is set. ``ingress`` and
    ``egress``: the path through the switch.

    ``path``: the parts from the meter to the detectors; where the node file has a path, those of it.
    ``light_fractions``: of the light by channel, with the relative standard uncertainty ``fraction_uncertainty``; with
    a polarization controller the sums of channels 1 and 2, and of 3 and 4, matter. ``afterpulse_probability``: that a
    click makes another one.
    """

    rate_hz: Positive = 2e5
    levels: Annotated[int, Field(ge=1)] = 3
    level_step_db: Positive = 6.0
    settings: Annotated[int, Field(ge=2)] = 6
    repetitions: Annotated[int, Field(ge=1)] = 2
    period_s: Positive = 1.0
    dark_repetitions: Annotated[int, Field(ge=1)] = 5
    dark_s: Positive = 4.0
    bias_ua: tuple[float, ...] | None = None
    ingress: int = 1
    egress: int = 17
    path: tuple[PathLoss, ...]
    light_fractions: tuple[Positive, ...] = (0.25, 0.25, 0.25, 0.25)
    fraction_uncertainty: Annotated[float, Field(ge=0)] = 0.01
    afterpulse_probability: Annotated[float, Field(ge=0, lt=0.5)] = 0.002
    afterpulse_uncertainty: Annotated[float, Field(ge=0)] = 0.002

    def extent(self) -> Extent:
        """Return how large the measurement is."""
        lit = self.repetitions * self.levels * self.settings
        seconds = (
            lit * self.period_s + self.dark_repetitions * self.dark_s + 2 * self.readings * self.settle_s
        )
        return Extent(lit + self.dark_repetitions, seconds, CHANNELS * (lit + self.dark_repetitions))


@dataclass(frozen=True, kw_only=True)
class EfficiencySetup(SwitchedSetup):
    """Devices by role."""

    meter: PowerMeter


def measure(run: Run, plan: EfficiencyPlan, setup: EfficiencySetup) -> None:
    """Read the power, count in the dark and at all levels, and read the power once more."""
    home_unknown(setup.source, setup.attenuators)
    measure_bright(run, plan, "before", setup, plan.ingress)
    _count_dark(run, plan, setup)
    _count_light(run, plan, setup)
    close_attenuators(setup.attenuators)
    measure_bright(run, plan, "after", setup, plan.ingress)


def _count_dark(run: Run, plan: EfficiencyPlan, setup: EfficiencySetup) -> None:
    """Count without light: the switch keeps it away, or, without one, the source is off."""
    close_attenuators(setup.attenuators)
    if setup.switch is not None:
        disconnect_path(setup.switch, plan.ingress, plan.egress)
    elif run.count(DARK) < plan.dark_repetitions:
        setup.source.disable()
    bias_detectors(setup.detectors, plan.bias_ua)
    for point in run.points(DARK, [{"repetition": n} for n in range(1, plan.dark_repetitions + 1)]):
        reading = setup.detectors.read_counts(plan.dark_s)
        run.store(DARK, **point, counts=list(reading.counts), period_s=reading.period_s)


def _count_light(run: Run, plan: EfficiencyPlan, setup: EfficiencySetup) -> None:
    """Count at all levels and settings; attenuators stand still in a visit of a level."""
    turn_on_source(setup.source, plan.power_dbm, setup.attenuators)
    if setup.switch is not None:
        connect_path(setup.switch, plan.ingress, plan.egress)
    clock = setup.detectors.device.clock

    def brightest() -> tuple[float, float]:
        reading = setup.detectors.read_counts(_SEARCH_S)
        return max(reading.counts), reading.period_s

    for point in run.points(SEARCH, [{"rate_hz": plan.rate_hz}]):
        run.store(SEARCH, **point, attenuation_db=approach_rate(setup.attenuators, brightest, plan.rate_hz))
    first_db = run.rows(SEARCH)[0]["attenuation_db"]
    settings = range(1, plan.settings + 1) if setup.polarization is not None else range(1)
    wanted = [
        {"repetition": repetition, "level": level, "setting": setting}
        for repetition in range(1, plan.repetitions + 1)
        for level in range(1, plan.levels + 1)
        for setting in settings
    ]
    visit, before = max((row["visit"] for row in run.rows(COUNTS)), default=0), None
    set_db: tuple[float, ...] = ()
    for point in run.points(COUNTS, wanted):
        here = (point["repetition"], point["level"])
        if here != before:
            visit, before = visit + 1, here
            total_db = first_db + (point["level"] - 1) * plan.level_step_db
            set_db = set_attenuators(setup.attenuators, split_evenly(total_db, setup.attenuators))
        if setup.polarization is not None:
            setup.polarization.set_angles_deg(_angles_deg(setup.polarization, point["setting"]))
        clock.sleep_s(plan.settle_s)
        reading = setup.detectors.read_counts(plan.period_s)
        run.store(
            COUNTS,
            **point,
            visit=visit,
            set_db=list(set_db),
            counts=list(reading.counts),
            period_s=reading.period_s,
        )


def _angles_deg(polarization: PolarizationController, setting: int) -> tuple[float, ...]:
    """Return angles like chance, but the same for each setting: what they do is not known anyway."""
    limits = polarization.capabilities
    drawn = np.random.default_rng((1, setting)).uniform(
        limits.min_angle_deg, limits.max_angle_deg, limits.paddles
    )
    return tuple(round(float(angle), 1) for angle in drawn)


def evaluate(data: Data, plan: EfficiencyPlan) -> Evaluation:
    """Fit the counts, and compare the light of each level with the attenuated power."""
    found, analysers = _fit(data, plan)
    bright = BrightLight(data, plan)
    photons, levels_fit = weighted_mean(LEVELS_FORMULA, _photons(data[COUNTS], bright, plan, found))
    own_clicks = 1 - plan.number(
        "afterpulse_probability", plan.afterpulse_probability, plan.afterpulse_uncertainty, "afterpulses"
    )
    efficiencies = [
        rate_hz * own_clicks / umath.exp(photons) / fraction
        for rate_hz, fraction in zip(
            found.rates_hz, _fractions(plan, len(found.rates_hz), analysers), strict=True
        )
    ]
    quantities = [
        Quantity.of("detection_efficiency", "1", value, channel=n) for n, value in enumerate(efficiencies, 1)
    ]
    quantities += [
        Quantity.of("dark_count_rate", "1/s", rate, channel=n) for n, rate in enumerate(found.dark_hz, 1)
    ]
    quantities.append(Quantity.of("photon_rate", "1/s", umath.exp(photons), level=1))
    return Evaluation(
        quantities,
        [found.fit, levels_fit, bright.fit],
        settings={"detectors": SETTINGS},
        traceability=plan.traceability,
    )


def _fit(data: Data, plan: EfficiencyPlan) -> tuple[OutputRates, bool]:
    """Return the fit of the counts, and whether the polarization was turned."""
    analysers = bool((data[COUNTS]["setting"] > 0).any())
    dead_time_s = 1e-9 * plan.number(
        "dead_time_ns", plan.dead_time_ns, plan.dead_time_uncertainty_ns, "dead time"
    )
    return fit_outputs(counted_of(data[COUNTS], data[DARK]), dead_time_s, analysers=analysers), analysers


def _photons(table: Table, bright: BrightLight, plan: EfficiencyPlan, found: OutputRates) -> list[UFloat]:
    """Return logarithms of the photons per second in the first visit, an estimate from each visit."""
    loss_db = total_loss_db(plan.path)
    _, first_rows = np.unique(table["visit"], return_index=True)
    estimates = []
    for row, strength in zip(first_rows, found.strengths, strict=True):
        estimates.append(bright.log_photon_rate(table["set_db"][row], loss_db) - umath.log(strength))
    return estimates


def _fractions(plan: EfficiencyPlan, channels: int, analysers: bool) -> list[UFloat]:
    """Return the fraction of the light that each channel's rate refers to: its own, or that of its analyser."""
    if len(plan.light_fractions) != channels:
        raise NotEnoughCounts(f"fractions of {len(plan.light_fractions)} channels for {channels} detectors")
    if not analysers:
        return [
            fraction * systematic(f"fraction of channel {n}", 1.0, plan.fraction_uncertainty)
            for n, fraction in enumerate(plan.light_fractions, 1)
        ]
    found = []
    for first in range(0, channels, 2):
        off = systematic(f"fraction of channels {first + 1} and {first + 2}", 1.0, plan.fraction_uncertainty)
        found += [sum(plan.light_fractions[first : first + 2]) * off] * 2
    return found


CALIBRATION = Calibration(
    name="detection-efficiency",
    title="Detection efficiency",
    method="counts over photons; power meter, then known attenuation (ETSI GS QKD 011); maximum likelihood",
    plan=EfficiencyPlan,
    setup=EfficiencySetup,
    measure=measure,
    evaluate=evaluate,
    draw=draw,
    uses=("attenuator-curve", detector_records.DEAD_TIME, detector_records.AFTERPULSE),
    from_node=(
        lambda site, *_: losses(parts_from(site, "meter")),
        detector_records.dead_time,
        detector_records.afterpulses,
    ),
)
