"""Hold an intensity modulator at its extinction, by dithering about it, and measure how its bias drifts.

The generator plays a dither about the voltage that is held. At the extinction the light has no part at the dither's own
frequency (first harmonic), only at twice that. Off it by e, of counts n at the dither's +d, -d and 0,
``(n- - n+) / (n+ + n- - 2 n0) = tan(pi e / Vpi) / tan(pi d / 2 Vpi)``, for any light and floor. The
evaluation fits all counts with the curve of two-beam interference whose null moves linearly in time.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from uncertainties import umath

from qhal.calibration.figures.style import data_and_residuals, line, points, spread
from qhal.calibration.fitting.fit import Array, Fitted, fit_counts, numbered
from qhal.calibration.framework.calibration import Calibration, Site
from qhal.calibration.framework.data import Data, Evaluation
from qhal.calibration.framework.plan import CHANNELS, Extent, Positive
from qhal.calibration.framework.points import Run
from qhal.calibration.inputs import detector_records, transmitter_records
from qhal.calibration.optics import staircase
from qhal.calibration.optics.attenuators import close_attenuators, set_total_attenuation
from qhal.calibration.optics.played_light import OneOutputPlan, count_dark, prepare_dark, set_count_rate
from qhal.calibration.optics.setups import TransmitterSetup
from qhal.calibration.optics.staircase import Staircase
from qhal.calibration.optics.tag_recording import record_tags
from qhal.records.record import Quantity, Record
from qhal.records.uncertain import to_db

FORMULA = "rate = scale (Tmin + (1 - Tmin) sin^2(pi (V - null(t)) / (2 Vpi))) + dark, null linear in time"
_MARK = 3
_DITHER = np.array([_MARK, -1, 1, 0, -1, 1, 0], np.float64)
"""One turn, in units of the dither: a mark by which the order is known, and two turns of the dither itself."""
_DB = 10 / np.log(10)


class ModulatorBiasPlan(OneOutputPlan):
    """An intensity modulator, held at its extinction near ``start_v`` (at the generator's connector).

    ``vpi_v`` with its standard uncertainty ``vpi_uncertainty_v``: as the calibration ``modulator`` finds it. The dither
    is ``dither_v`` to either side, each level for ``dwell_s``. There are ``steps`` of ``row_s``, and ``interval_s``
    between them; after each the voltage follows by ``gain`` times the error, if that is more than ``dead_band_v``. At
    ``rate_hz`` during the dither the detectors' dead time ``dead_time_ns`` (standard uncertainty
    ``dead_time_uncertainty_ns``) matters little.
    """

    start_v: float = 2.0
    vpi_v: Positive = 2.0
    vpi_uncertainty_v: Annotated[float, Field(ge=0)] = 0.01
    dither_v: Positive = 0.08
    dwell_s: Annotated[float, Field(ge=5e-6, le=1e-3)] = 40e-6
    steps: Annotated[int, Field(ge=3)] = 60
    row_s: Annotated[float, Field(gt=0, le=2)] = 1.0
    interval_s: Annotated[float, Field(ge=0, le=600)] = 10.0
    gain: Annotated[float, Field(gt=0, le=1)] = 0.7
    dead_band_v: Annotated[float, Field(ge=0)] = 0.003
    rate_hz: Positive = 5e4
    dead_time_ns: Annotated[float, Field(ge=0)] = 35.0
    dead_time_uncertainty_ns: Annotated[float, Field(ge=0)] = 5.0

    @model_validator(mode="after")
    def _fits(self) -> "ModulatorBiasPlan":
        if 4 * _MARK * self.dither_v > self.vpi_v:
            raise ValueError(f"dither_v is more than 1/{4 * _MARK} of vpi_v: too far from the extinction")
        return self

    def extent(self) -> Extent:
        """Return how large the measurement is."""
        seconds = self.steps * (self.row_s + self.interval_s) + self.dark_s
        tags = CHANNELS * self.rate_hz * self.row_s
        return Extent(self.steps, seconds, self.steps * CHANNELS * len(_DITHER), tags)

    def dither(self, centre_v: float) -> Staircase:
        """Return the dither about a voltage."""
        return Staircase(centre_v + self.dither_v * _DITHER, self.dwell_s)


def measure(run: Run, plan: ModulatorBiasPlan, setup: TransmitterSetup) -> None:
    """Follow the extinction step by step. The attenuator is closed while the generator is loaded."""
    inputs = range(1, setup.detectors.capabilities.channels + 1)
    clock = setup.tagger.device.clock
    run.refuse_new_clock("hold", clock.now_s())
    prepare_dark(plan, inputs, setup)
    count_dark(run, plan, inputs, setup.tagger)
    centre_v = _following_v(run, plan)
    plan.dither(centre_v).play(setup.generator, plan.channel, plan.held_v)
    attenuation_db = set_count_rate(run, plan, setup)
    for point in run.points("hold", [{"step": n + 1} for n in range(plan.steps)]):
        wanted_v = _following_v(run, plan)
        if wanted_v != centre_v:
            centre_v = wanted_v
            close_attenuators([setup.attenuator])
            plan.dither(centre_v).play(setup.generator, plan.channel, plan.held_v)
            set_total_attenuation(attenuation_db, [setup.attenuator])
        steps = plan.dither(centre_v)
        folded, bin_s = staircase.fold(
            record_tags(setup.tagger, plan.row_s), len(inputs), steps.period_ps, len(_DITHER)
        )
        found = _ordered(folded, steps, plan)
        run.store(
            "hold", **point, centre_v=centre_v, error_v=_error_v(found.sum(axis=0), plan),
            counts=found.tolist(), seconds=staircase.counted_s(bin_s), at_s=clock.now_s() - plan.row_s / 2,
        )  # fmt: skip
        clock.sleep_s(plan.interval_s)


def _following_v(run: Run, plan: ModulatorBiasPlan) -> float:
    """Return where to hold next: where it was, corrected by the last row's error."""
    rows = run.rows("hold")
    if not rows:
        return plan.start_v
    centre_v, error_v = float(rows[-1]["centre_v"]), float(rows[-1]["error_v"])
    # To the step of a tenth of a millivolt, so that an unchanged voltage is the same number.
    return round(centre_v + plan.gain * error_v, 4) if abs(error_v) > plan.dead_band_v else centre_v


def _ordered(folded: NDArray[np.int64], steps: Staircase, plan: ModulatorBiasPlan) -> NDArray[np.int64]:
    """Return counts (detectors, levels) in the order played. Raises NotEnoughCounts without a dither in the light."""
    counts = staircase.by_level(folded)
    found = staircase.find_start(counts.sum(axis=0), steps.levels_v, np.array([plan.vpi_v]))
    return np.roll(counts, -found.shift, axis=1)


def _error_v(counts: NDArray[np.int64], plan: ModulatorBiasPlan) -> float:
    """Return the distance of the null above the centre, from the dither's harmonics; the mark's distance at most."""
    low, high, middle = _sums(counts)
    second = low + high - 2 * middle
    reach_v = _MARK * plan.dither_v
    if second <= 0:  # no curvature seen: far from the null, or chance
        return reach_v if low > high else -reach_v
    tangent = (low - high) / second * np.tan(np.pi * plan.dither_v / (2 * plan.vpi_v))
    return float(np.clip(plan.vpi_v / np.pi * np.arctan(tangent), -reach_v, reach_v))


def _error_sigma_v(counts: NDArray[np.int64], plan: ModulatorBiasPlan) -> float:
    """Return the standard uncertainty of :func:`_error_v` from Poisson counts."""
    low, high, middle = _sums(counts)
    second = max(low + high - 2 * middle, 1.0)
    ratio = (low - high) / second
    variance = ((low + high) * (1 + ratio**2) + 4 * middle * ratio**2) / second**2 - 2 * ratio**2 / second
    slope = np.tan(np.pi * plan.dither_v / (2 * plan.vpi_v))
    return float(plan.vpi_v / np.pi * slope / (1 + (ratio * slope) ** 2) * np.sqrt(variance))


def _sums(counts: NDArray[np.int64]) -> tuple[float, float, float]:
    """Return the counts below, above and at the centre; each is played twice in a turn."""
    low, high, middle = (float(counts[each == _DITHER].sum()) for each in (-1, 1, 0))
    return low, high, middle


def evaluate(data: Data, plan: ModulatorBiasPlan) -> Evaluation:
    """Fit a null that moves linearly in time, and the floor, to the counts of all steps."""
    fitted = _fit(data, plan, plan.vpi_v, plan.dead_time_ns)
    longer_ns = plan.dead_time_ns + plan.dead_time_uncertainty_ns
    shifted = (
        (
            plan.unit_error("vpi_v", "Vpi"),
            _fit(data, plan, plan.vpi_v + plan.vpi_uncertainty_v, plan.dead_time_ns),
        ),
        (plan.unit_error("dead_time_ns", "dead time"), _fit(data, plan, plan.vpi_v, longer_ns)),
    )
    values: list[Any] = list(fitted.values[:3])
    for error, other in shifted:
        for n in range(3):
            moved = other.values[n].nominal_value - fitted.values[n].nominal_value
            values[n] = values[n] + moved * error
    null, drift, log_floor = values
    at = {"channel": plan.channel}
    table = data["hold"]
    # What the first step corrects belongs to the start, not to holding.
    held = []
    for centre_v, at_s in zip(table["centre_v"][1:], table["at_s"][1:], strict=True):
        off_v = centre_v - (null + drift * (at_s - table["at_s"][-1]) / 3600)
        held.append((np.pi / (2 * plan.vpi_v) * off_v) ** 2)
    floor = umath.exp(log_floor)
    quantities = [
        Quantity.of("null_voltage", "V", null, **at),
        Quantity.of("bias_drift", "V/h", drift, **at),
        Quantity.of("extinction_ratio", "dB", -_DB * log_floor, **at),
        Quantity.of("held_extinction_ratio", "dB", -to_db(floor + sum(held) / len(held)), **at),
    ]
    remarks = ["null_voltage: at the last step, volts at the generator's connector, as set"]
    return Evaluation(quantities, [fitted.fit], remarks)


def _fit(data: Data, plan: ModulatorBiasPlan, vpi_v: float, dead_time_ns: float) -> Fitted:
    """Fit the null at the last step, its drift per hour, ln Tmin, dark rates, and a scale by row and detector."""
    table, dark = data["hold"], data["dark"]
    counts = table["counts"].astype(np.float64)
    rows, detectors, _ = counts.shape
    seconds, dead_s = table["seconds"][:, None, None], dead_time_ns * 1e-9
    hours = ((table["at_s"] - table["at_s"][-1]) / 3600)[:, None]
    levels_v = table["centre_v"][:, None] + plan.dither_v * _DITHER
    dark_counts, dark_s = dark["counts"][0].astype(np.float64), float(dark["live_s"][0])

    def curve(null_v: float, drift: float, log_floor: float) -> Array:
        return staircase.interference(levels_v, null_v + drift * hours - vpi_v, vpi_v, log_floor)

    def model(p: Array) -> Array:
        dark_hz = p[3 : 3 + detectors]
        scale = p[3 + detectors :].reshape(rows, detectors, 1)
        rate = np.maximum(scale * curve(*p[:3])[:, None, :] + dark_hz[:, None], 1e-9)
        lit = seconds * rate / (1 + rate * dead_s)
        expected: Array = np.concatenate((lit.ravel(), np.maximum(dark_hz, 1e-9) * dark_s))
        return expected

    null_v = float(np.mean((table["centre_v"] + table["error_v"])[-3:]))
    first = curve(null_v, 0.0, np.log(1e-3))
    scale = (counts * first[:, None, :]).sum(axis=2) / (first**2).sum(axis=1)[:, None] / seconds[:, :, 0]
    start = {
        "null_v": null_v,
        "drift_v_per_h": 0.0,
        "log_floor": float(np.log(1e-3)),
        **numbered("dark_hz", (dark_counts + 0.5) / dark_s),
        **numbered("scale_hz", scale),
    }
    measured = np.concatenate((counts.ravel(), dark_counts))
    return fit_counts("counts", FORMULA, model, measured, start)


def draw(figure: Any, record: Record) -> None:
    """Show the null found in each step, where the modulator was held, and the line through the nulls."""
    upper, lower = data_and_residuals(figure, "time from the last step / s", "generator / V")
    plan, data = ModulatorBiasPlan(**record.inputs), Data(record.tables)
    table = data["hold"]
    elapsed_s = table["at_s"] - table["at_s"][-1]
    found_v = table["centre_v"] + table["error_v"]
    sigma_v = np.array([_error_sigma_v(each.sum(axis=0), plan) for each in table["counts"]])
    null_v, drift = record.fit(FORMULA).values[:2]
    points(upper, elapsed_s, found_v, sigma_v, 0, "extinction")
    fine = spread(elapsed_s)
    line(upper, fine, null_v + drift * fine / 3600, 0, "fit")
    upper.step(elapsed_s, table["centre_v"], where="mid", color="0.5", linewidth=0.9, label="held at")
    upper.legend(frameon=False, fontsize=8)
    points(lower, elapsed_s, (found_v - null_v - drift * elapsed_s / 3600) / sigma_v, None, 0)


def _from_node(site: Site, values: Mapping[str, Any], records: Sequence[Record]) -> dict[str, Any]:
    found = transmitter_records.held_volts(site, values, records, channel=4)
    if (own := transmitter_records.modulator_record(values, records, 4)) is not None:
        vpi = own.value("vpi", channel=own.inputs["channel"])
        found |= {
            "start_v": transmitter_records.extinction_v(own),
            "vpi_v": vpi,
            "vpi_uncertainty_v": vpi.std_dev,
        }
    return found


CALIBRATION = Calibration(
    name="modulator-bias",
    title="Extinction held by dithering, and drift of a modulator's bias",
    method="first over second harmonic of a dither, in a loop; interference with a moving null, maximum likelihood",
    plan=ModulatorBiasPlan,
    setup=TransmitterSetup,
    measure=measure,
    evaluate=evaluate,
    draw=draw,
    from_node=(_from_node, detector_records.dead_time),
    uses=(transmitter_records.MODULATOR, detector_records.DEAD_TIME),
)
