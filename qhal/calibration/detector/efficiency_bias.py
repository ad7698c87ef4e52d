"""Efficiency of superconducting detectors against their bias current, in weak steady light.

The count rate, less the dark one at the same current, rises with the bias and saturates where every absorbed photon
makes a pulse. The curve is a sigmoid; the logistic function is used, ``1 / (1 + exp(-(I - knee) / width))``, which
gives the distance from the plateau. Whether it describes the detector is tested.
"""

import math
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy import special
from uncertainties import umath

from qhal.calibration.figures.labels import channels_of, in_unit
from qhal.calibration.figures.style import COLOURS, data_and_residuals, line, points, spread
from qhal.calibration.fitting.fit import Array, Fitted, fit_counts, numbered
from qhal.calibration.framework.calibration import Calibration
from qhal.calibration.framework.data import Data, Evaluation
from qhal.calibration.framework.plan import CHANNELS, CountingPlan, Extent, Positive, steps_between
from qhal.calibration.framework.points import Run
from qhal.calibration.inputs import detector_records
from qhal.calibration.optics.attenuators import close_attenuators, set_total_attenuation, turn_on_source
from qhal.calibration.optics.count_rate import approach_rate, bias_detectors, known_bias_ua
from qhal.calibration.optics.setups import PaddleSetup
from qhal.calibration.optics.sources import output_dbm
from qhal.calibration.optics.steady_light import balance_channels
from qhal.devices.attenuator import Attenuator
from qhal.devices.detector import Detector
from qhal.devices.source import Source
from qhal.link.link_errors import NotEnoughCounts
from qhal.records.record import Quantity, Record, Table
from qhal.records.uncertain import uniform

DARK, LIGHT, SWEEP = "dark", "light", "sweep"
FORMULA = "rate = dark(I) + plateau power / (1 + exp(-(I - knee) / width))"
_COUNT_S = 0.1
_FEW = 20
_LEAST_EXPECTED = 1e-9


class EfficiencyBiasPlan(CountingPlan):
    """Bias currents from ``first_fraction`` to ``last_fraction`` of the operating ones, in steps of ``step_fraction``.

    ``operating_ua``: None takes the currents that are set. In each of ``repetitions`` all currents are counted for
    ``period_s`` without light, then with light that makes ``rate_hz`` on the mean detector at the operating point;
    every other repetition goes down. ``saturated``: fraction of the plateau at which the efficiency is saturated.
    ``departure``: how far a real curve may be from the model near the plateau, as a fraction of it (rectangular).
    ``power_dbm`` None keeps what is set.
    """

    operating_ua: tuple[float, ...] | None = None
    first_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.4
    last_fraction: Annotated[float, Field(gt=0, le=1.1)] = 1.0
    step_fraction: Annotated[float, Field(gt=0, lt=0.2)] = 0.025
    repetitions: Annotated[int, Field(ge=2)] = 4
    period_s: Annotated[float, Field(gt=0, le=10)] = 1.0
    rate_hz: Positive = 1e5
    saturated: Annotated[float, Field(gt=0.5, lt=1)] = 0.99
    departure: Annotated[float, Field(ge=0, lt=0.5)] = 0.002
    power_dbm: float | None = None

    @model_validator(mode="after")
    def _enough(self) -> "EfficiencyBiasPlan":
        if len(self.fractions()) < 6:
            raise ValueError("first_share, last_share and step_share give fewer than 6 currents")
        return self

    def fractions(self) -> list[float]:
        """Return the currents as fractions of the operating ones."""
        count = steps_between(self.first_fraction, self.last_fraction, self.step_fraction)
        return [round(self.first_fraction + n * self.step_fraction, 6) for n in range(count)]

    def points(self) -> list[dict[str, float]]:
        """Return repetitions, whether there is light, and fractions, in the order of time."""
        return [
            {"repetition": n + 1, "lit": lit, "fraction": fraction}
            for n in range(self.repetitions)
            for lit in (0, 1)
            for fraction in (self.fractions() if n % 2 == 0 else reversed(self.fractions()))
        ]

    def extent(self) -> Extent:
        """Return how large the measurement is."""
        rows = (
            2 * self.repetitions * steps_between(self.first_fraction, self.last_fraction, self.step_fraction)
        )
        return Extent(rows, rows * self.period_s, rows * CHANNELS)


def measure(run: Run, plan: EfficiencyBiasPlan, setup: PaddleSetup) -> None:
    """Find the light at the operating point, then count at all currents without and with it."""
    attenuators = setup.attenuators
    setup.source.disable()
    close_attenuators(attenuators)
    if not run.rows(DARK):
        operating_ua = plan.operating_ua or known_bias_ua(setup.detectors)
        bias_detectors(setup.detectors, operating_ua)
        reading = setup.detectors.read_counts(plan.period_s)
        run.store(DARK, bias_ua=list(operating_ua), counts=list(reading.counts), period_s=reading.period_s)
    dark = run.rows(DARK)[0]
    bias_detectors(setup.detectors, dark["bias_ua"])
    turn_on_source(setup.source, plan.power_dbm, attenuators)
    if not run.rows(LIGHT):
        attenuation_db, angles_deg = _find_light(plan, attenuators, setup.detectors, dark), [0.0]
        if setup.polarization is not None:
            balance_channels(setup.polarization, setup.detectors)
            angles_deg = list(setup.polarization.read_angles_deg())
        run.store(LIGHT, attenuation_db=attenuation_db, angles_deg=angles_deg)
    light = run.rows(LIGHT)[0]
    if setup.polarization is not None:
        setup.polarization.set_angles_deg(light["angles_deg"])
    set_total_attenuation(light["attenuation_db"], attenuators)
    for point in run.points(SWEEP, plan.points()):
        power_mw = _set_light(setup.source, bool(point["lit"]))
        currents = [round(point["fraction"] * each, 3) for each in dark["bias_ua"]]
        bias_detectors(setup.detectors, currents)
        reading = setup.detectors.read_counts(plan.period_s)
        run.store(
            SWEEP,
            **point,
            bias_ua=currents,
            power_mw=power_mw,
            counts=list(reading.counts),
            period_s=reading.period_s,
            at_s=setup.detectors.device.clock.now_s(),
        )


def _find_light(
    plan: EfficiencyBiasPlan, attenuators: tuple[Attenuator, ...], detectors: Detector, dark: dict[str, Any]
) -> float:
    """Return the attenuation that gives the wanted rate at the operating point, dB."""

    def count() -> tuple[float, float]:
        reading = detectors.read_counts(_COUNT_S)
        return float(sum(reading.counts)), reading.period_s

    channels = len(dark["counts"])
    return approach_rate(attenuators, count, plan.rate_hz * channels, sum(dark["counts"]) / dark["period_s"])


def _set_light(source: Source, lit: bool) -> float:
    """Turn the source on or off and return the power that it reports, mW."""
    if not lit:
        source.disable()
        return 0.0
    if not source.read_emitting():
        source.enable()
    return float(10 ** (output_dbm(source) / 10))


def evaluate(data: Data, plan: EfficiencyBiasPlan) -> Evaluation:
    """Fit each channel's curve; report where it saturates and how near the operating point is to the plateau."""
    quantities, fits, remarks = [], [], []
    common = plan.dead_time_error
    beyond = math.log(plan.saturated / (1 - plan.saturated))
    for column in range(data[SWEEP]["counts"].shape[1]):
        channel, operating_ua = column + 1, float(data[DARK]["bias_ua"][0][column])
        fitted = _fit(data, column, plan.dead_time_ns)
        longer = _fit(data, column, plan.dead_time_ns + plan.dead_time_uncertainty_ns)
        fits.append(fitted.fit_at(channel=channel))
        knee, width = (
            value + (other.nominal_value - value.nominal_value) * common
            for value, other in zip(fitted.values[:2], longer.values[:2], strict=True)
        )
        departure = uniform("departure from the model", 0.0, plan.departure)
        # Where the curve is higher than the model by this, the fraction is reached earlier.
        early_ua = departure * width.nominal_value / (plan.saturated * (1 - plan.saturated))
        saturation: Any = knee + width * beyond - early_ua
        ratio = 1 / (1 + umath.exp(-(operating_ua - knee) / width)) + departure
        quantities += [
            Quantity.of("saturation_bias", "uA", saturation, channel=channel, fraction=plan.saturated),
            Quantity.of("plateau_ratio", "1", ratio, channel=channel, bias_ua=operating_ua),
            Quantity.of("knee_bias", "uA", knee, channel=channel),
            Quantity.of("knee_width", "uA", width, channel=channel),
        ]
        highest_ua = float(data[SWEEP]["bias_ua"][:, column].max())
        if saturation.nominal_value > highest_ua:
            remarks.append(
                f"channel {channel}: {plan.saturated:.1%} of the plateau is not reached up to {highest_ua:g} uA;"
                f" where it is, is extrapolated"
            )
    return Evaluation(quantities, fits, remarks, {"detectors": ("trigger_mv",)})


class _Sweep:
    """Rows of one channel, and the dark rate at each current (``currents_ua``, ``which`` of them by row).

    Dark rates of fewer than 20 counts are not ``free`` but as measured: they change the light's counts by nothing, and
    their rows are not ``fitted``.
    """

    def __init__(self, table: Table, column: int) -> None:
        self.counts: Array = table["counts"][:, column].astype(np.float64)
        self.period_s: Array = table["period_s"]
        self.current_ua: Array = table["bias_ua"][:, column]
        self.power_mw: Array = table["power_mw"]
        self.currents_ua, self.which = np.unique(self.current_ua, return_inverse=True)
        dark = self.power_mw == 0
        dark_counts = np.bincount(self.which[dark], self.counts[dark])
        self.dark_hz: Array = dark_counts / np.bincount(self.which[dark], self.period_s[dark])
        self.free: NDArray[np.bool_] = dark_counts >= _FEW
        self.fitted: NDArray[np.bool_] = ~dark | self.free[self.which]

    def expected(self, p: Array, dead_time_ns: float) -> Array:
        """Return the counts expected for knee and width (uA), plateau (1/(s mW)) and the free dark rates (1/s)."""
        dark_hz = self.dark_hz.copy()
        dark_hz[self.free] = p[3:]
        light_hz = p[2] * self.power_mw * logistic((self.current_ua - p[0]) / p[1])
        rate_hz = dark_hz[self.which] + light_hz
        counts = self.period_s * rate_hz / (1 + rate_hz * dead_time_ns * 1e-9)
        expected: Array = np.maximum(counts, _LEAST_EXPECTED)
        return expected


def _fit(data: Data, column: int, dead_time_ns: float) -> Fitted:
    """Fit knee and width (uA), plateau (1/(s mW)), and dark rates (1/s) of one channel."""
    sweep = _Sweep(data[SWEEP], column)
    counts, period, power, which = sweep.counts, sweep.period_s, sweep.power_mw, sweep.which
    currents, dark_hz, lit = sweep.currents_ua, sweep.dark_hz, sweep.power_mw > 0
    light = (np.bincount(which[lit], counts[lit] / period[lit] / power[lit])) / np.bincount(which[lit])
    light = light - dark_hz / power[lit].mean()
    plateau = float(np.sort(light)[-3:].mean())
    if plateau <= 0:
        raise NotEnoughCounts(f"channel {column + 1}: no more counts with light than without")
    knee_ua = float(np.interp(0.5 * plateau, np.maximum.accumulate(light), currents))

    def model(p: Array) -> Array:
        return sweep.expected(p, dead_time_ns)[sweep.fitted]

    start = {
        "knee_ua": knee_ua,
        "width_ua": 0.05 * float(currents[-1]),
        "plateau_hz_per_mw": plateau,
        **numbered("dark_hz", dark_hz[sweep.free]),
    }
    low = [-np.inf, 1e-3, *[0.0] * (len(start) - 2)]
    return fit_counts("counts", FORMULA, model, counts[sweep.fitted], start, (low, [np.inf] * len(start)))


def logistic(x: Array) -> Array:
    """Return ``1 / (1 + exp(-x))``."""
    risen: Array = special.expit(x)
    return risen


def draw(figure: Any, record: Record) -> None:
    """Show efficiencies relative to the plateau, their models, and where they saturate."""
    upper, lower = data_and_residuals(figure, "bias current / µA", "efficiency / plateau")
    table, plan = record.tables[SWEEP], EfficiencyBiasPlan(**record.inputs)
    power, period = table["power_mw"], table["period_s"]
    lit = power > 0
    for n, channel in enumerate(channels_of(record, "saturation_bias")):
        sweep, parameters = _Sweep(table, n), record.fit(FORMULA, channel=channel).values
        knee, width, plateau = parameters[:3]
        current, counts = sweep.current_ua, sweep.counts
        expected = sweep.expected(parameters, plan.dead_time_ns)
        full, alive = plateau * power[lit], 1 - counts[lit] / period[lit] * plan.dead_time_ns * 1e-9
        # What is left of the counts without the fitted light is the dark rate.
        risen = logistic((current[lit] - knee) / width)
        light = risen + (counts[lit] - expected[lit]) / (period[lit] * alive * full)
        found = record.quantity("saturation_bias", channel=channel)
        label = f"channel {channel}: {plan.saturated:.0%} at {in_unit(found, 1, 'µA')}"
        points(upper, current[lit], light, np.sqrt(expected[lit]) / (period[lit] * alive * full), n, label)
        fine = spread(current)
        line(upper, fine, logistic((fine - knee) / width), n)
        upper.axvline(
            found.value,
            color=COLOURS[n % len(COLOURS)],
            linewidth=0.8,
            linestyle=":",
            label=None if n else "where it saturates",
        )
        points(lower, current[lit], ((counts - expected) / np.sqrt(expected))[lit], None, n)
    upper.legend(frameon=False, fontsize=8, loc="lower right")


CALIBRATION = Calibration(
    name="efficiency-bias",
    title="Efficiency of the detectors against their bias",
    method="counts against bias current with and without weak steady light; logistic saturation curve, dead time "
    "corrected, maximum likelihood",
    plan=EfficiencyBiasPlan,
    setup=PaddleSetup,
    measure=measure,
    evaluate=evaluate,
    draw=draw,
    from_node=(detector_records.dead_time,),
    uses=(detector_records.DEAD_TIME,),
)
