"""Shape of the quantum filter, and where the quantum laser is in it, by tuning the laser across.

The transmission is that of a super-Gaussian, ``2 ** -(|2 (f - centre) / width| ** (2 order))``, and a floor that all
light passes: order 1 is a Gaussian, and flat tops of multi-cavity filters and gratings are of higher order. The width
is the full width at half maximum.
"""

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from uncertainties import UFloat

from qhal.calibration.figures.labels import in_unit
from qhal.calibration.figures.style import data_and_residuals, line, points, spread
from qhal.calibration.fitting.fit import Array, Fitted, Model, fit_counts
from qhal.calibration.framework.calibration import Calibration
from qhal.calibration.framework.data import Data, Evaluation
from qhal.calibration.framework.plan import CHANNELS, CountingPlan, Extent, Positive, steps_between
from qhal.calibration.framework.points import Run
from qhal.calibration.inputs import detector_records
from qhal.calibration.optics.attenuators import close_attenuators, turn_on_source
from qhal.calibration.optics.count_rate import bias_detectors
from qhal.calibration.optics.setups import DetectorSetup
from qhal.calibration.optics.sources import frequency_thz, output_dbm
from qhal.calibration.optics.tuned_light import DARK, count_dark, on_grid_thz, open_to_rate, tune
from qhal.errors import DeviceError
from qhal.link.link_errors import NotEnoughCounts
from qhal.records.record import Quantity, Record
from qhal.records.uncertain import nominal, standard_uncertainty, statistical, systematic, to_db, uniform

FORMULA = "rate = dark + height power (floor + (1 - floor) 2^-(|2 (f - centre) / width|^(2 order)))"
_SETTLE_S = 0.05
_LEAST_EXPECTED = 1e-9
_LARGEST_ORDER = 20.0


class FilterScanPlan(CountingPlan):
    """Frequencies within ``span_ghz`` of the working one (to either side) in ``step_ghz``, ``repetitions`` times over.

    Every other repetition goes down. ``working_thz``: None takes what the laser is set to. Each frequency is counted
    for ``period_s`` with attenuators that give ``rate_hz`` on all detectors together at the working frequency; a rate
    above ``largest_rate_hz`` ends it. ``frequency_uncertainty_ghz``: standard uncertainty of the laser's frequency
    scale, the same for all frequencies. ``ripple_db``: how far a real filter may be from the model near its top
    (rectangular). ``power_dbm``, ``bias_ua``: None keeps what is set.
    """

    working_thz: Positive | None = None
    span_ghz: Positive = 40.0
    step_ghz: Annotated[float, Field(ge=0.1)] = 2.0
    repetitions: Annotated[int, Field(ge=2)] = 4
    period_s: Annotated[float, Field(gt=0, le=10)] = 1.0
    rate_hz: Positive = 1e5
    largest_rate_hz: Positive = 4e6
    frequency_uncertainty_ghz: Annotated[float, Field(ge=0)] = 1.5
    ripple_db: Annotated[float, Field(ge=0)] = 0.05
    dark_s: Annotated[float, Field(gt=0, le=10)] = 5.0
    power_dbm: float | None = None
    bias_ua: tuple[float, ...] | None = None

    @model_validator(mode="after")
    def _enough(self) -> "FilterScanPlan":
        if self.span_ghz < 4 * self.step_ghz:
            raise ValueError("span_ghz must be at least 4 step_ghz")
        return self

    def points(self, working_thz: float) -> list[dict[str, float]]:
        """Return repetitions and frequencies in the order of time."""
        count = int(np.floor(self.span_ghz / self.step_ghz + 1e-9))
        offsets = np.arange(-count, count + 1) * self.step_ghz * 1e-3
        up = [on_grid_thz(float(working_thz + offset)) for offset in offsets]
        return [
            {"repetition": n + 1, "frequency_thz": frequency}
            for n in range(self.repetitions)
            for frequency in (up if n % 2 == 0 else reversed(up))
        ]

    def extent(self) -> Extent:
        """Return how large the measurement is."""
        rows = self.repetitions * steps_between(-self.span_ghz, self.span_ghz, self.step_ghz)
        return Extent(rows, rows * self.period_s + 2 * self.dark_s, rows * CHANNELS)


def measure(run: Run, plan: FilterScanPlan, setup: DetectorSetup) -> None:
    """Count at every frequency, and in the dark before and after."""
    attenuators = setup.attenuators
    setup.source.disable()
    close_attenuators(attenuators)
    if not run.rows("working"):
        run.store("working", frequency_thz=plan.working_thz or frequency_thz(setup.source))
    working_thz = run.rows("working")[0]["frequency_thz"]
    setup.source.set_frequency_thz(working_thz)
    bias_detectors(setup.detectors, plan.bias_ua)
    count_dark(run, setup.detectors, 1, plan.dark_s)
    turn_on_source(setup.source, plan.power_dbm, attenuators)
    open_to_rate(run, attenuators, setup.detectors, plan.rate_hz)
    for point in run.points("scan", plan.points(working_thz)):
        tune(setup.source, point["frequency_thz"])
        power_dbm = output_dbm(setup.source)
        setup.detectors.device.clock.sleep_s(_SETTLE_S)
        reading = setup.detectors.read_counts(plan.period_s)
        if (rate_hz := sum(reading.rates_hz)) > plan.largest_rate_hz:
            raise DeviceError(
                f"{setup.detectors.device.name}: {rate_hz:.3g} counts/s at {point['frequency_thz']:.4f} THz, more than"
                f" largest_rate_hz {plan.largest_rate_hz:g}: the filter is far from {working_thz:.4f} THz"
            )
        run.store(
            "scan",
            **point,
            power_mw=10 ** (power_dbm / 10),
            counts=list(reading.counts),
            period_s=reading.period_s,
            at_s=setup.detectors.device.clock.now_s(),
        )
    setup.source.disable()
    setup.source.set_frequency_thz(working_thz)  # the record is about this one
    count_dark(run, setup.detectors, 2, plan.dark_s)


def evaluate(data: Data, plan: FilterScanPlan) -> Evaluation:
    """Fit the filter, and report the laser's position in it."""
    working_thz = float(data["working"]["frequency_thz"][0])
    fitted = _fit(data, plan.dead_time_ns)
    longer = _fit(data, plan.dead_time_ns + plan.dead_time_uncertainty_ns)
    common = plan.dead_time_error
    offset, width, order, floor, *_ = (
        value + (other.nominal_value - value.nominal_value) * common
        for value, other in zip(fitted.values, longer.values, strict=True)
    )
    scale = systematic("frequency scale of the laser", 0.0, plan.frequency_uncertainty_ghz)
    loss_db = _loss_db(offset, width, order, floor) + uniform("ripple of the filter", 0.0, plan.ripple_db)
    quantities = [
        Quantity.of("filter_centre", "THz", working_thz + (offset + scale) * 1e-3),
        Quantity.of("filter_width", "GHz", width),
        Quantity.of("filter_order", "1", order),
        Quantity.of("filter_floor", "1", floor),
        Quantity.of("laser_detuning", "GHz", -offset),
        Quantity.of("detuning_loss", "dB", loss_db),
    ]
    remarks = [
        f"the laser works at {working_thz:.4f} THz; detuning and loss are relative to the filter's centre"
    ]
    if nominal(order) > 0.99 * _LARGEST_ORDER:
        remarks.append("the edges are steeper than the steps of the scan resolve")
    if nominal(floor) < 3 * standard_uncertainty(floor):
        limit = max(nominal(floor), 0.0) + 2 * standard_uncertainty(floor)
        remarks.append(
            f"no floor is seen: the filter rejects more than {-10 * np.log10(limit):.0f} dB (95 %)"
        )
    return Evaluation(quantities, [fitted.fit], remarks, {"source": ("frequency_thz",)})


def _loss_db(offset: UFloat, width: UFloat, order: UFloat, floor: UFloat) -> Any:
    """Return the loss at the working frequency; near the centre, where it has no slope, curvature makes the error."""

    def loss_db(at: Any) -> Any:
        above = at if nominal(at) >= 0 else -at
        half_widths = 2 * above / width + 1e-12
        return -to_db(floor + (1 - floor) * 2 ** -(half_widths ** (2 * order)))

    middle, sigma = offset.nominal_value, offset.std_dev
    ends = (nominal(loss_db(middle - sigma)) + nominal(loss_db(middle + sigma))) / 2
    curved = statistical("curvature of the filter", 0.0, abs(ends - nominal(loss_db(middle))))
    return loss_db(offset) + curved


def _corrected(data: Data, dead_time_ns: float) -> tuple[Array, Array]:
    """Return counts of all channels together in each row, and the time in which dead detectors would count as many."""
    table = data["scan"]
    counts, period = table["counts"].astype(np.float64), table["period_s"]
    alive = 1 - counts / period[:, None] * dead_time_ns * 1e-9
    total = counts.sum(axis=1)
    # No counts, no dead time.
    true = np.where(total > 0, (counts / alive).sum(axis=1), 1.0)
    return total, period * np.where(total > 0, total, 1.0) / true


def _fit(data: Data, dead_time_ns: float) -> Fitted:
    """Fit offset from the working frequency (GHz), width (GHz), order, floor, height (1/(s mW)), dark rate (1/s)."""
    table, dark = data["scan"], data[DARK]
    counts, live_s = _corrected(data, dead_time_ns)
    offsets, power = _offsets_ghz(data), table["power_mw"]
    dark_counts, dark_s = dark["counts"].sum(axis=1), dark["period_s"]
    dark_hz = (dark_counts.sum() + 0.5) / dark_s.sum()
    light = np.maximum(counts / live_s - dark_hz, 0) / power
    if light.sum() == 0:
        raise NotEnoughCounts("no light passed the filter at any frequency of the scan")

    # The frequencies are evenly spaced, so area over height is a width.
    height = float(np.max(light))
    centre = float(np.sum(offsets * light) / light.sum())
    step_ghz = float(np.ptp(offsets)) / (len(np.unique(offsets)) - 1)
    repetitions = len(offsets) / len(np.unique(offsets))
    width = float(light.sum() / height * step_ghz / repetitions)
    start = {
        "offset_ghz": centre,
        "width_ghz": width,
        "order": 1.5,
        "floor": 0.0,
        "height_hz_per_mw": height,
        "dark_hz": float(dark_hz),
    }
    return fit_counts(
        "counts",
        FORMULA,
        _model(data, dead_time_ns),
        np.concatenate((counts, dark_counts)),
        start,
        ([-np.inf, 0.0, 0.3, -0.5, 0.0, 0.0], [np.inf, np.inf, _LARGEST_ORDER, 0.5, np.inf, np.inf]),
    )


def _model(data: Data, dead_time_ns: float) -> Model:
    """Return the counts expected of the rows of the scan, then of those in the dark."""
    _, live_s = _corrected(data, dead_time_ns)
    offsets, power, dark_s = _offsets_ghz(data), data["scan"]["power_mw"], data[DARK]["period_s"]

    def expected(p: Array) -> Array:
        lit = live_s * (p[5] + p[4] * power * transmission(offsets, *p[:4]))
        counts: Array = np.maximum(np.concatenate((lit, p[5] * dark_s)), _LEAST_EXPECTED)
        return counts

    return expected


def _offsets_ghz(data: Data) -> NDArray[np.float64]:
    offsets: NDArray[np.float64] = (data["scan"]["frequency_thz"] - data["working"]["frequency_thz"][0]) * 1e3
    return offsets


def transmission(
    offsets_ghz: Array, centre_ghz: float, width_ghz: float, order: float, floor: float
) -> Array:
    """Return the transmission relative to that at the centre."""
    half_widths = np.abs(2 * (offsets_ghz - centre_ghz) / width_ghz)
    passed: Array = floor + (1 - floor) * 2.0 ** -np.minimum(half_widths ** (2 * order), 1000.0)
    return passed


def draw(figure: Any, record: Record) -> None:
    """Show the transmission relative to its greatest, the model, and the working frequency."""
    upper, lower = data_and_residuals(
        figure, "laser frequency from the working one / GHz", "relative transmission"
    )
    data, plan = Data(record.tables), FilterScanPlan(**record.inputs)
    parameters = record.fit(FORMULA).values
    centre, width, order, floor, height, dark_hz = parameters
    counts, live_s = _corrected(data, plan.dead_time_ns)
    offsets, power = _offsets_ghz(data), data["scan"]["power_mw"]
    expected = _model(data, plan.dead_time_ns)(parameters)[: len(counts)]
    scale = live_s * height * power
    sigma = np.sqrt(expected) / scale
    light = counts / scale - dark_hz / (height * power)
    points(upper, offsets, light, sigma, 0)
    fine = spread(offsets, 1000)
    line(upper, fine, transmission(fine, centre, width, order, floor), 1)
    found = {q.name: in_unit(q) for q in record.quantities}
    labels = (
        f"centre; width {found['filter_width']}, order {order:.2f}",
        f"laser; detuned by {found['laser_detuning']}, loss {found['detuning_loss']}",
    )
    upper.axvline(centre, color="0.5", linewidth=0.8, linestyle=":", label=labels[0])
    upper.axvline(0, color="0.2", linewidth=0.8, linestyle="--", label=labels[1])
    # Logarithmic down to what one row can show, and linear about 0, for rows below 0.
    upper.set_yscale(
        "symlog", linthresh=float(np.median(sigma[light < 0.1])) if (light < 0.1).any() else 1e-3
    )
    upper.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    points(lower, offsets, (counts - expected) / np.sqrt(expected), None, 0)


CALIBRATION = Calibration(
    name="filter-scan",
    title="Quantum filter, and the quantum laser in it",
    method="counts against the laser's frequency at fixed attenuation, over the power that the laser reports; "
    "super-Gaussian and floor, maximum likelihood",
    plan=FilterScanPlan,
    setup=DetectorSetup,
    measure=measure,
    evaluate=evaluate,
    draw=draw,
    from_node=(detector_records.dead_time,),
    uses=(detector_records.DEAD_TIME,),
)
