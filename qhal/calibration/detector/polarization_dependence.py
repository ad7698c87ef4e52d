"""How much the detection efficiency depends on polarization: maximum over minimum counts of each detector.

Steady polarized light goes through the paddles of a controller, which visit settings at random. A detector counts
``a (1 + c . s)``, s the Stokes vector that the paddles make of the light: the most general linear dependence on
polarization. Maximum over minimum is ``(1 + |c|) / (1 - |c|)``. The vectors c and the light's own s are fitted with the
paddles as linear retarders; so no maximum has to be hit, and the noise of counts does not pose as a dependence, as it
does in the largest and the least of many counts.
"""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Field
from uncertainties import umath

from qhal.calibration.figures.style import data_and_residuals, line, points
from qhal.calibration.fitting.fit import Array, Fitted, Model, fit_values, numbered
from qhal.calibration.framework.calibration import Calibration
from qhal.calibration.framework.data import Data, Evaluation
from qhal.calibration.framework.plan import CHANNELS, CountingPlan, Extent, Positive
from qhal.calibration.framework.points import Run
from qhal.calibration.inputs import detector_records
from qhal.calibration.optics.attenuators import close_attenuators, set_total_attenuation, turn_on_source
from qhal.calibration.optics.count_rate import SETTINGS, approach_rate, bias_detectors
from qhal.calibration.optics.setups import DetectorSetup
from qhal.devices.polarization_controller import PolarizationController
from qhal.link.link_errors import NotEnoughCounts
from qhal.link.retarders import Rotation, controller_rotation
from qhal.records.record import Quantity, Record

FORMULA = "rate = a (1 + c . paddles s) + dark, less what dead time takes"
_SEARCH_S = 0.1
_CLEAR = 3.0
"""Below this significance only an upper bound is reported."""
_DIRECTIONS = 400


class PolarizationDependencePlan(CountingPlan):
    """``settings`` of the paddles, drawn from ``seed``, at each of which is counted for ``period_s``.

    The attenuators open until the brightest detector counts ``rate_hz``; ``dark_s`` is counted without light.
    ``retardances_pi``: nominal values of the paddles in optical order, known to ``retardance_uncertainty``
    (relative); ``twist_uncertainty``: how large the twist may be that paddles leave in the fibre behind them;
    ``play_deg``: how exactly a paddle stops. ``light_uncertainty``: relative standard deviation of the light from
    setting to setting: of the laser, and of what bent fibre in the paddles loses. ``power_dbm``, ``bias_ua``: None
    keeps what is set.
    """

    settings: Annotated[int, Field(ge=8, le=200)] = 16
    seed: int = 0
    period_s: Annotated[float, Field(gt=0, le=10)] = 2.0
    rate_hz: Positive = 1e5
    dark_s: Positive = 10.0
    retardances_pi: Annotated[tuple[Positive, ...], Field(min_length=2)] = (0.47, 0.94, 0.47)
    retardance_uncertainty: Positive = 0.1
    twist_uncertainty: Positive = 0.05
    play_deg: Positive = 0.25
    light_uncertainty: Positive = 0.002
    power_dbm: float | None = None
    bias_ua: tuple[float, ...] | None = None

    def extent(self) -> Extent:
        """Return how large the measurement is."""
        return Extent(self.settings, self.settings * self.period_s + self.dark_s, self.settings * CHANNELS)


@dataclass(frozen=True, kw_only=True)
class PolarizationSetup(DetectorSetup):
    """Devices by role."""

    polarization: PolarizationController


def measure(run: Run, plan: PolarizationDependencePlan, setup: PolarizationSetup) -> None:
    """Count in the dark, then at every setting of the paddles."""
    limits, attenuators = setup.polarization.capabilities, setup.attenuators
    setup.source.disable()
    close_attenuators(attenuators)
    bias_detectors(setup.detectors, plan.bias_ua)
    for point in run.points("dark", [{"repetition": 1}]):
        reading = setup.detectors.read_counts(plan.dark_s)
        run.store("dark", **point, counts=list(reading.counts), period_s=reading.period_s)
    turn_on_source(setup.source, plan.power_dbm, attenuators)

    def brightest() -> tuple[float, float]:
        reading = setup.detectors.read_counts(_SEARCH_S)
        return float(max(reading.counts)), reading.period_s

    for point in run.points("search", [{"rate_hz": plan.rate_hz}]):
        dark = run.rows("dark")[0]
        dark_hz = max(dark["counts"]) / dark["period_s"]
        found_db = approach_rate(attenuators, brightest, plan.rate_hz, dark_hz)
        run.store("search", **point, attenuation_db=found_db)
    set_total_attenuation(run.rows("search")[0]["attenuation_db"], attenuators)
    drawn = np.random.default_rng(plan.seed).uniform(
        limits.min_angle_deg, limits.max_angle_deg, (plan.settings, limits.paddles)
    )
    for point in run.points("settings", [{"angles_deg": angles} for angles in drawn.round(1).tolist()]):
        reached_deg = setup.polarization.set_angles_deg(point["angles_deg"])
        reading = setup.detectors.read_counts(plan.period_s)
        run.store(
            "settings",
            **point,
            reached_deg=list(reached_deg),
            counts=list(reading.counts),
            period_s=reading.period_s,
        )


def evaluate(data: Data, plan: PolarizationDependencePlan) -> Evaluation:
    """Fit all detectors together, and report how much each depends on polarization."""
    measured = _Measured(data)
    fitted = _fit(measured, plan, plan.dead_time_ns)
    other = _fit(measured, plan, plan.dead_time_ns + plan.dead_time_uncertainty_ns, fitted)
    quantities, remarks = [], []
    for n in range(measured.counts.shape[1]):
        channel = n + 1
        vector, moved = (each.values[4 * n + 1 : 4 * n + 4] for each in (fitted, other))
        length: Any = umath.sqrt(sum(component**2 for component in vector))
        # Noise across the vector makes it longer on average.
        total = sum(component.std_dev**2 for component in vector)
        excess = max(total - length.std_dev**2, 0.0) / (2 * length.nominal_value)
        if length.nominal_value < _CLEAR * max(length.std_dev, (total / 3) ** 0.5):
            bound = length.nominal_value + 2 * (total / 3) ** 0.5
            remarks.append(f"channel {channel}: below {_ratio_db(bound):.2f} dB, not significant")
            continue
        shift = float(np.linalg.norm([c.nominal_value for c in moved])) - length.nominal_value
        length = length - excess + shift * plan.dead_time_error
        if length.nominal_value + 2 * length.std_dev >= 1:
            least = length.nominal_value - 2 * length.std_dev
            remarks.append(
                f"channel {channel}: above {_ratio_db(least):.1f} dB, may be complete" if least < 1 else ""
            )
            continue
        depends = _ratio_db(length)
        quantities.append(Quantity.of("polarization_dependence", "dB", depends, channel=channel))
    remarks.append("maximum over minimum counts of all polarizations of the light")
    return Evaluation(quantities, [fitted.fit], remarks, {"detectors": SETTINGS})


def _ratio_db(length: Any) -> Any:
    return 10 / np.log(10) * umath.log((1 + length) / (1 - length))


class _Measured:
    """Counts (settings, detectors), and the seconds that they took; angles; dark counts (detectors)."""

    def __init__(self, data: Data) -> None:
        table, dark = data["settings"], data["dark"]
        self.counts: Array = table["counts"].astype(np.float64)
        self.period_s: Array = table["period_s"].astype(np.float64)
        self.angles_deg: Array = table["reached_deg"].astype(np.float64)
        self.dark_counts: Array = dark["counts"][0].astype(np.float64)
        self.dark_s = float(dark["period_s"][0])
        silent = [n + 1 for n, counts in enumerate(self.counts.min(axis=0)) if counts < 100]
        if silent:
            raise NotEnoughCounts(f"channels {silent}: less than 100 counts at a setting of the paddles")


@dataclass(frozen=True, eq=False, slots=True)
class _Parameters:
    """Parameters cut from a vector: ``scale_hz`` and ``vectors`` (3) of the detectors, the light's ``stokes`` (3)."""

    scale_hz: Array
    vectors: Array
    stokes: Array
    retardances: Array
    twist: Array
    dark_hz: Array
    off_deg: Array
    light: Array

    @classmethod
    def cut(cls, p: Array, measured: _Measured) -> "_Parameters":
        settings, detectors = measured.counts.shape
        paddles = measured.angles_deg.shape[1]
        sizes = np.cumsum((4 * detectors, 2, detectors, paddles, 1, settings * paddles))
        each, (azimuth, elevation), dark_hz, retardances, twist, off_deg, light = np.split(p, sizes)
        each = each.reshape(detectors, 4)
        level = np.cos(elevation)
        stokes = np.array([level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation)])
        off_deg = off_deg.reshape(settings, paddles)
        return cls(np.exp(each[:, 0]), each[:, 1:], stokes, retardances, twist, dark_hz, off_deg, light)


def _fit(
    measured: _Measured, plan: PolarizationDependencePlan, dead_time_ns: float, near: Fitted | None = None
) -> Fitted:
    """Fit ln a and c of each detector, the light's direction, dark rates, and what is known of paddles and light.

    ``near``: a fit to begin with, of the same counts with nearly the same dead time.
    """
    settings, paddles = measured.angles_deg.shape
    nominal, dead_s = np.pi * np.array(plan.retardances_pi), dead_time_ns * 1e-9
    counted = _model(measured, plan, dead_time_ns)

    def model(p: Array) -> Array:
        part = _Parameters.cut(p, measured)
        dark = part.dark_hz * measured.dark_s
        known = (part.retardances, part.twist, part.off_deg.ravel(), part.light)
        return np.concatenate((counted(p).ravel(), dark, *known))

    known = np.concatenate((np.ones(paddles), np.zeros(1 + settings * (paddles + 1))))
    known_sigma = np.concatenate(
        (
            np.full(paddles, plan.retardance_uncertainty),
            [plan.twist_uncertainty],
            np.full(settings * paddles, plan.play_deg),
            np.full(settings, plan.light_uncertainty),
        )
    )
    if near is None:
        turns = controller_rotation(measured.angles_deg, nominal)
        dark_hz = (measured.dark_counts + 0.5) / measured.dark_s
        start = np.concatenate((_start(measured, turns, dead_s), dark_hz, known))
        # The first round's variances are those of the counts, the second's those of what the first expects.
        rounds, variance = 2, measured.counts
    else:
        start = np.array([value.nominal_value for value in near.values])
        rounds, variance = 1, counted(start)
    values = np.concatenate((measured.counts.ravel(), measured.dark_counts, known))
    for _ in range(rounds):
        sigma = np.concatenate((np.sqrt(variance).ravel(), np.sqrt(measured.dark_counts + 0.5), known_sigma))
        named = dict(zip(_names(measured), start.tolist(), strict=True))
        fitted = fit_values("counts, paddles and light", FORMULA, model, values, sigma, named)
        start = np.array([value.nominal_value for value in fitted.values])
        variance = counted(start)
    return fitted


def _model(measured: _Measured, plan: PolarizationDependencePlan, dead_time_ns: float) -> Model:
    """Return the counts expected (settings, detectors)."""
    nominal, dead_s = np.pi * np.array(plan.retardances_pi), dead_time_ns * 1e-9

    def expected(p: Array) -> Array:
        part = _Parameters.cut(p, measured)
        turns = controller_rotation(
            measured.angles_deg + part.off_deg, part.retardances * nominal, part.twist
        )
        along = (turns @ part.stokes) @ part.vectors.T
        rate = part.scale_hz * (1 + along) * (1 + part.light[:, None]) + part.dark_hz
        counts: Array = measured.period_s[:, None] * rate / (1 + rate * dead_s)
        return counts

    return expected


def _names(measured: _Measured) -> list[str]:
    """Return the parameters' names, in the order in which :class:`_Parameters` cuts them."""
    settings, detectors = measured.counts.shape
    paddles = measured.angles_deg.shape[1]
    each = [f"{name} {n}" for n in range(1, detectors + 1) for name in ("log_scale", "c1", "c2", "c3")]
    return [
        *each,
        "azimuth",
        "elevation",
        *numbered("dark_hz", np.zeros(detectors)),
        *numbered("retardance", np.zeros(paddles)),
        "twist",
        *numbered("off_deg", np.zeros(settings * paddles)),
        *numbered("light", np.zeros(settings)),
    ]


def _start(measured: _Measured, turns: Rotation, dead_s: float) -> Array:
    """Return ln a and c of each detector and the light's azimuth and elevation, the best of directions all around.

    For a given direction of the light, rates are linear in the rest.
    """
    seen = measured.counts / measured.period_s[:, None]
    rates = seen / (1 - seen * dead_s) - measured.dark_counts / measured.dark_s
    places = (np.arange(_DIRECTIONS) + 0.5) / _DIRECTIONS
    elevations, azimuths = np.arcsin(2 * places - 1), np.pi * (1 + 5**0.5) * _DIRECTIONS * places
    best: tuple[float, Array] | None = None
    for azimuth, elevation in zip(azimuths % (2 * np.pi), elevations, strict=True):
        level = np.cos(elevation)
        stokes = turns @ np.array([level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation)])
        design = np.column_stack((np.ones(len(stokes)), stokes))
        solved, *_ = np.linalg.lstsq(design, rates, rcond=None)
        misfit = float(np.sum((design @ solved - rates) ** 2 / rates))
        if best is None or misfit < best[0]:
            each = np.column_stack((np.log(np.maximum(solved[0], 1e-3)), (solved[1:] / solved[0]).T))
            best = (misfit, np.concatenate((each.ravel(), [azimuth, elevation])))
    assert best is not None
    return best[1]


def draw(figure: Any, record: Record) -> None:
    """Show counts over their mean at every setting, with the model, and residuals."""
    plan = PolarizationDependencePlan(**record.inputs)
    measured = _Measured(Data(record.tables))
    expected = _model(measured, plan, plan.dead_time_ns)(record.fit(FORMULA).values)
    upper, lower = data_and_residuals(figure, "setting of the paddles", "counts over their mean")
    place, mean = np.arange(len(expected)) + 1, expected.mean(axis=0)
    for n in range(measured.counts.shape[1]):
        sigma = np.sqrt(expected[:, n])
        points(upper, place, measured.counts[:, n] / mean[n], sigma / mean[n], n, f"channel {n + 1}")
        line(upper, place, expected[:, n] / mean[n], n)
        points(lower, place + 0.1 * (n - 1.5), (measured.counts[:, n] - expected[:, n]) / sigma, None, n)
    upper.legend(frameon=False, fontsize=8, ncols=4)


CALIBRATION = Calibration(
    name="polarization-dependence",
    title="Dependence of the detection efficiency on polarization",
    method="counts of steady light at random settings of the paddles; linear in the Stokes vector, least squares",
    plan=PolarizationDependencePlan,
    setup=PolarizationSetup,
    measure=measure,
    evaluate=evaluate,
    draw=draw,
    from_node=(detector_records.dead_time,),
    uses=(detector_records.DEAD_TIME,),
)
