"""Detection efficiency over the laser's frequency, relative to that at a reference frequency.

Spectral responsivity of ETSI GS QKD 011, without its absolute scale: counts over photons, and photons are the power
that a meter before the attenuators reads over the energy of one (``h nu``).
"""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from qhal.calibration.figures.labels import channels_of, in_unit
from qhal.calibration.figures.style import data_and_residuals, line, points, spread
from qhal.calibration.fitting.fit import Array, Fitted, fit_counts, numbered
from qhal.calibration.framework.calibration import Calibration
from qhal.calibration.framework.data import Data, Evaluation
from qhal.calibration.framework.plan import CHANNELS, CountingPlan, Extent, Positive, steps_between
from qhal.calibration.framework.points import Run
from qhal.calibration.inputs import detector_records
from qhal.calibration.optics.attenuators import close_attenuators, turn_on_source
from qhal.calibration.optics.count_rate import SETTINGS, bias_detectors
from qhal.calibration.optics.power import read_powers_dbm
from qhal.calibration.optics.setups import PaddleSetup
from qhal.calibration.optics.steady_light import balance_channels
from qhal.calibration.optics.tuned_light import DARK, count_dark, on_grid_thz, open_to_rate, tune
from qhal.devices.power_meter import PowerMeter
from qhal.link.link_errors import NotEnoughCounts
from qhal.records.record import Quantity, Record
from qhal.records.uncertain import systematic

SCAN, POLARIZATION = "scan", "polarization"
LEVELS = "rate = dark + level(f) power / f, in all repetitions"
SLOPE = "rate = dark + level (1 + slope (f - reference)) power / f"
_SETTLE_S = 0.05
_LEAST_EXPECTED = 1e-9


class EfficiencySpectrumPlan(CountingPlan):
    """Frequencies from ``first_thz`` to ``last_thz`` in ``step_thz``, and the reference; ``repetitions`` times over.

    Each repetition has an order at random of its own, so that what changes with time does not look like a spectrum.
    Each frequency is counted for ``period_s`` with attenuators that give ``rate_hz`` on all detectors together at
    ``reference_thz``; the power is read at ``meter_channel``. ``flatness_uncertainty_per_thz``: standard uncertainty of
    the relative change, from 1 THz to the next, of the light at the detectors over the power that is read (responsivity
    of the meter, attenuators and what is behind them). ``power_dbm``, ``bias_ua``: None keeps what is set.
    """

    first_thz: Positive = 191.5
    last_thz: Positive = 195.5
    step_thz: Positive = 0.5
    reference_thz: Positive = 193.4
    repetitions: Annotated[int, Field(ge=2)] = 4
    period_s: Annotated[float, Field(gt=0, le=10)] = 2.0
    rate_hz: Positive = 4e5
    dark_s: Annotated[float, Field(gt=0, le=10)] = 5.0
    meter_channel: int = 1
    flatness_uncertainty_per_thz: Annotated[float, Field(ge=0)] = 0.005
    power_dbm: float | None = None
    bias_ua: tuple[float, ...] | None = None

    @model_validator(mode="after")
    def _enough(self) -> "EfficiencySpectrumPlan":
        if len(self.frequencies_thz()) < 4:
            raise ValueError("first_thz, last_thz and step_thz give fewer than 4 frequencies")
        if not self.first_thz <= self.reference_thz <= self.last_thz:
            raise ValueError("reference_thz must be from first_thz to last_thz")
        return self

    def frequencies_thz(self) -> list[float]:
        """Return the frequencies, ascending."""
        count = steps_between(self.first_thz, self.last_thz, self.step_thz)
        even = {on_grid_thz(self.first_thz + n * self.step_thz) for n in range(count)}
        return sorted(even | {on_grid_thz(self.reference_thz)})

    def points(self) -> list[dict[str, float]]:
        """Return repetitions and frequencies in the order of time."""
        shuffle = np.random.default_rng(1)  # fixed, so that a resumed run has the same order
        return [
            {"repetition": n + 1, "frequency_thz": float(frequency)}
            for n in range(self.repetitions)
            for frequency in shuffle.permutation(self.frequencies_thz())
        ]

    def extent(self) -> Extent:
        """Return how large the measurement is."""
        rows = self.repetitions * (steps_between(self.first_thz, self.last_thz, self.step_thz) + 1)
        return Extent(rows, rows * self.period_s + 2 * self.dark_s, rows * CHANNELS)


@dataclass(frozen=True, kw_only=True)
class SpectrumSetup(PaddleSetup):
    """Devices by role."""

    meter: PowerMeter


def measure(run: Run, plan: EfficiencySpectrumPlan, setup: SpectrumSetup) -> None:
    """Count at every frequency, and in the dark before and after. ``meter``: the laser's own, or one that taps it."""
    attenuators = setup.attenuators
    setup.source.disable()
    close_attenuators(attenuators)
    setup.source.set_frequency_thz(on_grid_thz(plan.reference_thz))
    bias_detectors(setup.detectors, plan.bias_ua)
    count_dark(run, setup.detectors, 1, plan.dark_s)
    turn_on_source(setup.source, plan.power_dbm, attenuators)
    open_to_rate(run, attenuators, setup.detectors, plan.rate_hz)
    if setup.polarization is not None:
        if not run.rows(POLARIZATION):
            balance_channels(setup.polarization, setup.detectors)
            run.store(POLARIZATION, angles_deg=list(setup.polarization.read_angles_deg()))
        setup.polarization.set_angles_deg(run.rows(POLARIZATION)[0]["angles_deg"])
    for point in run.points(SCAN, plan.points()):
        tune(setup.source, point["frequency_thz"])
        (power_dbm,) = read_powers_dbm(setup.meter, plan.meter_channel, 1, _SETTLE_S)
        reading = setup.detectors.read_counts(plan.period_s)
        run.store(
            SCAN,
            **point,
            power_mw=10 ** (power_dbm / 10),
            counts=list(reading.counts),
            period_s=reading.period_s,
            at_s=setup.detectors.device.clock.now_s(),
        )
    setup.source.disable()
    count_dark(run, setup.detectors, 2, plan.dark_s)


def evaluate(data: Data, plan: EfficiencySpectrumPlan) -> Evaluation:
    """Fit each channel, and all together: a level at each frequency, and a slope."""
    quantities, fits, remarks = [], [], []
    flat = systematic("spectral flatness of meter and light path", 0.0, plan.flatness_uncertainty_per_thz)
    common = plan.dead_time_error
    channels = range(1, data[SCAN]["counts"].shape[1] + 1)
    frequencies, reference_thz = plan.frequencies_thz(), on_grid_thz(plan.reference_thz)
    for channel in (*channels, None):
        at: dict[str, float]
        prefix, at = ("total_", {}) if channel is None else ("", {"channel": channel})
        who = "all channels" if channel is None else f"channel {channel}"
        lines = [_line(data, plan, channel, dead) for dead in _dead_times_ns(plan)]
        levels = [_levels(data, plan, channel, dead) for dead in _dead_times_ns(plan)]
        fits += [each.fit_at(**at) for each in (lines[0], levels[0])]
        slope: Any = lines[0].values[2] + (_nominal(lines[1], 2) - _nominal(lines[0], 2)) * common + flat
        quantities.append(Quantity.of(f"{prefix}efficiency_slope", "1/THz", slope, **at))
        where = frequencies.index(reference_thz) + 1
        for n, frequency in enumerate(frequencies, 1):
            if frequency == reference_thz:
                continue
            ratio: Any = levels[0].values[n] / levels[0].values[where]
            other = _nominal(levels[1], n) / _nominal(levels[1], where)
            ratio = ratio + (other - ratio.nominal_value) * common + flat * (frequency - reference_thz)
            place = {**at, "frequency_thz": frequency}
            quantities.append(Quantity.of(f"{prefix}relative_efficiency", "1", ratio, **place))
        if lines[0].fit.poor and not levels[0].fit.poor:
            remarks.append(f"{who}: the efficiency is not linear in frequency: use the relative ones")
    remarks.append(f"relative to {reference_thz:g} THz")
    return Evaluation(quantities, fits, remarks, {"detectors": SETTINGS})


def _dead_times_ns(plan: EfficiencySpectrumPlan) -> tuple[float, float]:
    return plan.dead_time_ns, plan.dead_time_ns + plan.dead_time_uncertainty_ns


def _nominal(fitted: Fitted, parameter: int) -> float:
    return float(fitted.values[parameter].nominal_value)


def _counted(data: Data, channel: int | None, dead_time_ns: float) -> tuple[Array, Array, Array, Array]:
    """Return counts of each row with the time in which dead detectors count as many; dark counts with theirs.

    ``channel`` None: of all together.
    """
    table, dark = data[SCAN], data[DARK]
    columns = slice(None) if channel is None else slice(channel - 1, channel)
    counts, dark_counts = (each["counts"][:, columns].astype(np.float64) for each in (table, dark))
    true = counts / (1 - counts / table["period_s"][:, None] * dead_time_ns * 1e-9)
    total = counts.sum(axis=1)
    alive = np.where(total > 0, total / np.maximum(true.sum(axis=1), 1.0), 1.0)
    return total, table["period_s"] * alive, dark_counts.sum(axis=1), dark["period_s"]


def _photons(data: Data, plan: EfficiencySpectrumPlan) -> NDArray[np.float64]:
    """Return each row's photons relative to those of 1 mW at the reference frequency."""
    photons: Array = data[SCAN]["power_mw"] * plan.reference_thz / data[SCAN]["frequency_thz"]
    return photons


def _levels(data: Data, plan: EfficiencySpectrumPlan, channel: int | None, dead_time_ns: float) -> Fitted:
    """Fit the dark rate (1/s) and a level (1/(s mW)) at each frequency."""
    counts, live_s, dark_counts, dark_s = _counted(data, channel, dead_time_ns)
    photons = _photons(data, plan)
    _, which = np.unique(data[SCAN]["frequency_thz"], return_inverse=True)

    def model(p: Array) -> Array:
        lit = live_s * (p[0] + p[1:][which] * photons)
        expected: Array = np.maximum(np.concatenate((lit, p[0] * dark_s)), _LEAST_EXPECTED)
        return expected

    dark_hz = float((dark_counts.sum() + 0.5) / dark_s.sum())
    start = np.bincount(which, counts / live_s / photons) / np.bincount(which) - dark_hz / photons.mean()
    named = {"dark_hz": dark_hz, **numbered("level_hz_per_mw", _lit(start, channel))}
    return fit_counts("counts", LEVELS, model, np.concatenate((counts, dark_counts)), named)


def _line(data: Data, plan: EfficiencySpectrumPlan, channel: int | None, dead_time_ns: float) -> Fitted:
    """Fit the dark rate (1/s), the level at the reference (1/(s mW)) and the relative slope (1/THz)."""
    counts, live_s, dark_counts, dark_s = _counted(data, channel, dead_time_ns)
    photons, offset = _photons(data, plan), data[SCAN]["frequency_thz"] - plan.reference_thz

    def model(p: Array) -> Array:
        counts = np.concatenate((live_s * _line_hz(photons, offset, *p), p[0] * dark_s))
        expected: Array = np.maximum(counts, _LEAST_EXPECTED)
        return expected

    dark_hz = float((dark_counts.sum() + 0.5) / dark_s.sum())
    level = counts.sum() / (live_s * photons).sum() - dark_hz / photons.mean()
    (level,) = _lit(np.array([level]), channel)
    start = {"dark_hz": dark_hz, "level_hz_per_mw": float(level), "slope_per_thz": 0.0}
    return fit_counts("counts", SLOPE, model, np.concatenate((counts, dark_counts)), start)


def _line_hz(photons: Array, above_thz: Array, dark_hz: float, level: float, slope: float) -> Array:
    """Return the rate of all rows, by how far their frequencies are above the reference."""
    rate_hz: Array = dark_hz + level * (1 + slope * above_thz) * photons
    return rate_hz


def _lit(levels: Array, channel: int | None) -> Array:
    if (levels <= 0).any():
        who = "all channels" if channel is None else f"channel {channel}"
        raise NotEnoughCounts(f"{who}: at some frequency there are no more counts with light than without")
    return levels


def draw(figure: Any, record: Record) -> None:
    """Show relative efficiencies with the straight lines."""
    upper, lower = data_and_residuals(figure, "laser frequency / THz", "efficiency / that at the reference")
    plan, data = EfficiencySpectrumPlan(**record.inputs), Data(record.tables)
    frequency = data[SCAN]["frequency_thz"]
    fine = spread(frequency)
    photons = _photons(data, plan)
    channels: list[int | None] = [*channels_of(record, "efficiency_slope"), None]
    width_thz = float(np.ptp(frequency))
    for n, channel in enumerate(channels):
        fit = record.fit(SLOPE) if channel is None else record.fit(SLOPE, channel=channel)
        counts, live_s, *_ = _counted(data, channel, plan.dead_time_ns)
        dark_hz, level, slope = fit.values
        expected = live_s * _line_hz(photons, frequency - plan.reference_thz, *fit.values)
        scale = live_s * level * photons
        if channel is None:
            q, who = record.quantity("total_efficiency_slope"), "all"
        else:
            q, who = record.quantity("efficiency_slope", channel=channel), f"channel {channel}"
        # Channels are shifted a little, so that their points do not overlap.
        shift = (n - (len(channels) - 1) / 2) * 0.006 * width_thz
        label = f"{who}: slope {in_unit(q, 100, '% per THz')}"
        points(
            upper,
            frequency + shift,
            (counts / live_s - dark_hz) / (level * photons),
            np.sqrt(expected) / scale,
            n,
            label,
        )
        line(upper, fine, 1 + slope * (fine - plan.reference_thz), n)
        points(lower, frequency + shift, (counts - expected) / np.sqrt(expected), None, n)
    upper.axvline(plan.reference_thz, color="0.5", linewidth=0.8, linestyle=":", label="reference")
    upper.margins(y=0.25)
    upper.legend(frameon=False, fontsize=8, ncols=2)


CALIBRATION = Calibration(
    name="efficiency-spectrum",
    title="Efficiency of the detectors over the frequency of the light",
    method="counts over photons against the laser's frequency, by a power meter before the attenuators; a level at "
    "each frequency and a straight line, maximum likelihood (spectral responsivity, ETSI GS QKD 011)",
    plan=EfficiencySpectrumPlan,
    setup=SpectrumSetup,
    measure=measure,
    evaluate=evaluate,
    draw=draw,
    from_node=(detector_records.dead_time,),
    uses=(detector_records.DEAD_TIME,),
)
