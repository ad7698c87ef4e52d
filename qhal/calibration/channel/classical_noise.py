"""Noise counts of the quantum detectors for the power of a classical channel on the same fibre.

Spontaneous Raman light and what leaks through filters are proportional to the classical power (Eraerds et al., New J.
Phys. 12, 063027 (2010)); dark counts and room light are the intercept. Four-wave mixing is not, and shows as a misfit.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from qhal.calibration.figures.labels import channels_of, in_unit
from qhal.calibration.figures.style import data_and_residuals, line, points, spread
from qhal.calibration.fitting.fit import Array, Fitted, Model, fit_counts
from qhal.calibration.framework.calibration import Calibration
from qhal.calibration.framework.data import Data, Evaluation
from qhal.calibration.framework.plan import CHANNELS, CountingPlan, Extent, Positive
from qhal.calibration.framework.points import Run
from qhal.calibration.framework.setup import Setup
from qhal.calibration.inputs import detector_records
from qhal.calibration.inputs.path_loss import PathLoss, losses_to, total_loss_db
from qhal.calibration.optics.attenuators import close_attenuators
from qhal.calibration.optics.count_rate import SETTINGS, bias_detectors
from qhal.calibration.optics.setups import fitted
from qhal.calibration.optics.sources import output_dbm
from qhal.calibration.optics.tag_recording import prepare_inputs
from qhal.devices.attenuator import Attenuator
from qhal.devices.detector import Detector
from qhal.devices.source import Source
from qhal.devices.time_tagger import TimeTagger
from qhal.errors import DeviceError
from qhal.records.record import Quantity, Record, Table
from qhal.records.uncertain import from_db, nominal, systematic, uniform

TABLE = "counts"
FORMULA = "rate = n / (1 + n dead), n = background + noise power"
_PLANCK_J_S = 6.62607015e-34
_LIGHT_M_PER_S = 299_792_458.0
_SETTLE_S = 0.05
_LEAST_RATE_HZ = 1e-6
"""A likelihood needs something to be expected."""


class RamanPath(BaseModel):
    """The path from launched power to counted photons, for the Raman coefficient.

    ``launch_db``: from the multiplexer's input to the fibre's; ``after_db``: from the fibre's far end to the detectors;
    ``loss_uncertainty_db``: standard uncertainty of these and the fibre's loss together. ``efficiency``: counts for a
    photon at the detectors, of all together (with equal fractions the mean efficiency). ``bandwidth_ghz``: noise
    bandwidth of the signal bandpass filter about ``frequency_thz``. ``leak_fraction``: maximum fraction of the noise
    that is leakage instead.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    direction: Literal["co", "counter"] = "co"
    length_km: Positive
    loss_db_per_km: Positive
    launch_db: float
    after_db: float
    loss_uncertainty_db: Annotated[float, Field(ge=0)] = 0.2
    efficiency: Annotated[float, Field(gt=0, le=1)]
    efficiency_uncertainty: Annotated[float, Field(ge=0)] = 0.03
    frequency_thz: Positive
    bandwidth_ghz: Positive
    bandwidth_uncertainty_ghz: Annotated[float, Field(ge=0)] = 0.5
    leak_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.02

    def effective_length_km(self) -> float:
        """Return Raman power at the receiver's end over (launched power, coefficient, bandwidth)."""
        decay = self.loss_db_per_km * math.log(10) / 10
        if self.direction == "co":
            return self.length_km * math.exp(-decay * self.length_km)
        return -math.expm1(-2 * decay * self.length_km) / (2 * decay)

    def bandwidth_nm_per_ghz(self) -> float:
        """Return the width in nm of 1 GHz at the quantum frequency."""
        return _LIGHT_M_PER_S / (self.frequency_thz * 1e12) ** 2 * 1e18


class ClassicalNoisePlan(CountingPlan):
    """Powers of the classical laser, each and none at all counted for ``period_s``, ``repetitions`` times over.

    Every other repetition goes down instead of up. ``power_uncertainty_db``: standard uncertainty of the power that the
    laser reports; ``path``: the parts from the laser to the multiplexer's input; where the node file has a path,
    those of it up to ``launch``, the name of the last one. ``frequency_thz`` and ``bias_ua``: None keeps what is set.
    ``largest_rate_hz``: no power is set at which a detector would count more. ``threshold_v``: of the tagger's
    inputs, if one counts. ``raman``: None gives no Raman coefficient.
    """

    powers_dbm: Annotated[tuple[float, ...], Field(min_length=2)] = (6.0, 8.0, 10.0, 11.5, 13.0)
    repetitions: Annotated[int, Field(ge=2)] = 10
    period_s: Annotated[float, Field(gt=0, le=10)] = 2.0
    power_uncertainty_db: Annotated[float, Field(ge=0)] = 0.2
    path: tuple[PathLoss, ...]
    launch: str | None = None
    frequency_thz: Positive | None = None
    bias_ua: tuple[float, ...] | None = None
    largest_rate_hz: Positive = 1e6
    threshold_v: float = 0.2
    raman: RamanPath | None = None

    @model_validator(mode="after")
    def _ascends(self) -> "ClassicalNoisePlan":
        if list(self.powers_dbm) != sorted(set(self.powers_dbm)):
            raise ValueError("powers_dbm must ascend")
        return self

    def levels(self) -> list[dict[str, int]]:
        """Return repetitions and levels in the order of time; level 0 is without light."""
        up = range(len(self.powers_dbm) + 1)
        return [
            {"repetition": n + 1, "level": level}
            for n in range(self.repetitions)
            for level in (up if n % 2 == 0 else reversed(up))
        ]

    def extent(self) -> Extent:
        """Return how large the measurement is."""
        rows = self.repetitions * (len(self.powers_dbm) + 1)
        return Extent(rows, rows * self.period_s, rows * CHANNELS)


@dataclass(frozen=True, kw_only=True)
class ClassicalNoiseSetup(Setup):
    """Devices by role."""

    classical: Source
    detectors: Detector
    tagger: TimeTagger | None = None
    source: Source | None = None
    attenuator: Attenuator | None = None


def measure(run: Run, plan: ClassicalNoisePlan, setup: ClassicalNoiseSetup) -> None:
    """Count at every power of the classical laser, with the quantum source off and the attenuator closed."""
    if setup.source is not None:
        setup.source.disable()
    close_attenuators(fitted(setup.attenuator))
    setup.classical.disable()
    if plan.frequency_thz is not None:
        setup.classical.set_frequency_thz(plan.frequency_thz)
    if setup.tagger is not None:
        prepare_inputs(setup.tagger, plan.threshold_v)
    bias_detectors(setup.detectors, plan.bias_ua)
    count = _counter(setup.detectors, setup.tagger, plan.period_s)
    for point in run.points(TABLE, plan.levels()):
        output_mw = _set_level(run, plan, setup.classical, point["level"])
        setup.classical.device.clock.sleep_s(_SETTLE_S)
        counts, period_s = count()
        run.store(
            TABLE,
            **point,
            output_mw=output_mw,
            counts=counts,
            period_s=period_s,
            at_s=setup.detectors.device.clock.now_s(),
        )


def _counter(
    detectors: Detector, tagger: TimeTagger | None, period_s: float
) -> Callable[[], tuple[list[int], float]]:
    def count() -> tuple[list[int], float]:
        reading = detectors.read_counts(period_s) if tagger is None else tagger.read_counts(period_s)
        return list(reading.counts), reading.period_s

    return count


def _set_level(run: Run, plan: ClassicalNoisePlan, classical: Source, level: int) -> float:
    """Set a level and return the power that the laser reports, mW. Raises DeviceError where it would be too bright."""
    if level == 0:
        classical.disable()
        return 0.0
    wanted_dbm = plan.powers_dbm[level - 1]
    lit = [row for row in run.rows(TABLE) if row["level"] > 0]
    if lit:
        per_mw = max(max(row["counts"]) / row["period_s"] / row["output_mw"] for row in lit)
        if (rate_hz := per_mw * 10 ** (wanted_dbm / 10)) > plan.largest_rate_hz:
            raise DeviceError(
                f"{classical.device.name}: {wanted_dbm:g} dBm would give {rate_hz:.3g} counts/s on a detector,"
                f" more than largest_rate_hz {plan.largest_rate_hz:g}"
            )
    classical.set_power_dbm(wanted_dbm)
    if not classical.read_emitting():
        classical.enable()
    return float(10 ** (output_dbm(classical) / 10))


def evaluate(data: Data, plan: ClassicalNoisePlan) -> Evaluation:
    """Fit each channel's line, and refer the noise to a milliwatt at the multiplexer's input."""
    table, quantities, fits, noises = data[TABLE], [], [], []
    common = plan.dead_time_error
    launched: Any = from_db(
        systematic("power of the classical laser", 0.0, plan.power_uncertainty_db) - total_loss_db(plan.path)
    )
    for column in range(table["counts"].shape[1]):
        channel = column + 1
        fitted = _fit(table, column, plan.dead_time_ns)
        longer = _fit(table, column, plan.dead_time_ns + plan.dead_time_uncertainty_ns)
        fits.append(fitted.fit_at(channel=channel))
        background, noise = (
            value + (other.nominal_value - value.nominal_value) * common
            for value, other in zip(fitted.values, longer.values, strict=True)
        )
        noises.append(noise / launched)
        quantities += [
            Quantity.of("classical_noise", "1/(s mW)", noises[-1], channel=channel),
            Quantity.of("background_count_rate", "1/s", background, channel=channel),
        ]
    total: Any = sum(noises[1:], noises[0])
    quantities.append(Quantity.of("total_classical_noise", "1/(s mW)", total))
    if plan.raman is not None:
        quantities.append(Quantity.of("raman_coefficient", "1/(km nm)", _raman(total, plan.raman)))
    settings = {"detectors": SETTINGS, "classical": ("frequency_thz",)}
    remarks = ["1 mW is at the input of the multiplexer"]
    return Evaluation(quantities, fits, remarks, settings)


def _raman(total: Any, path: RamanPath) -> Any:
    """Return the fraction of the power that is scattered one way into a nanometre on a kilometre."""
    photons_hz_per_mw = 1e-3 / (_PLANCK_J_S * path.frequency_thz * 1e12)
    bandwidth_ghz = systematic("bandwidth of the filter", path.bandwidth_ghz, path.bandwidth_uncertainty_ghz)
    efficiency = systematic("efficiency", path.efficiency, path.efficiency_uncertainty)
    loss_db = systematic("losses", path.launch_db + path.after_db, path.loss_uncertainty_db)
    raman_fraction = 1 - uniform("leakage", path.leak_fraction / 2, path.leak_fraction / 2)
    seen = photons_hz_per_mw * path.effective_length_km() * path.bandwidth_nm_per_ghz()
    return total * raman_fraction * from_db(loss_db) / (seen * bandwidth_ghz * efficiency)


def _fit(table: Table, column: int, dead_time_ns: float) -> Fitted:
    """Fit background (1/s) and noise (1/s for each mW at the laser's output) of one channel."""
    counts, period, power = table["counts"][:, column], table["period_s"], table["output_mw"]
    dark = power == 0
    background = (counts[dark].sum() + 0.5) / period[dark].sum()
    noise = (counts[~dark].sum() / period[~dark].sum() - background) / power[~dark].mean()
    start = {"background_hz": float(background), "noise_hz_per_mw": max(float(noise), 1e-3)}
    return fit_counts("counts", FORMULA, _model(table, dead_time_ns), counts, start)


def _model(table: Table, dead_time_ns: float) -> Model:
    """Return the counts expected for a background (1/s) and noise (1/s for each mW at the laser's output)."""

    def expected(p: Array) -> Array:
        rate = np.maximum(p[0] + p[1] * table["output_mw"], _LEAST_RATE_HZ)
        counts: Array = table["period_s"] * rate / (1 + rate * dead_time_ns * 1e-9)
        return counts

    return expected


def draw(figure: Any, record: Record) -> None:
    """Show rates over launched power, the lines and the residuals."""
    upper, lower = data_and_residuals(
        figure, "classical power at the multiplexer / µW", "counts (dead time corrected) / s⁻¹"
    )
    plan, table = ClassicalNoisePlan(**record.inputs), record.tables[TABLE]
    dead_s, period = plan.dead_time_ns * 1e-9, table["period_s"]
    launched_uw_per_mw = 10 ** (-nominal(total_loss_db(plan.path)) / 10) * 1e3
    launched_uw = table["output_mw"] * launched_uw_per_mw
    channels = channels_of(record, "classical_noise")
    for n, channel in enumerate(channels):
        counts, fit = table["counts"][:, n], record.fit(FORMULA, channel=channel)
        expected = _model(table, plan.dead_time_ns)(fit.values)
        # Channels are shifted a little, so that their points do not overlap.
        shift = (n - (len(channels) - 1) / 2) * 0.006 * launched_uw.max()
        corrected = 1 / (1 - counts / period * dead_s)
        noise = record.quantity("classical_noise", channel=channel)
        points(
            upper,
            launched_uw + shift,
            counts / period * corrected,
            np.sqrt(expected) / period * corrected,
            n,
            f"channel {channel}: {in_unit(noise, 1e-3, 's⁻¹ µW⁻¹')}",
        )
        fine = spread(launched_uw)
        line(upper, fine, fit.values[0] + fit.values[1] * fine / launched_uw_per_mw, n)
        residuals = (counts - expected) / np.sqrt(expected)
        points(lower, launched_uw + shift, residuals, None, n)
    upper.set_ylim(0, None)
    upper.legend(frameon=False, fontsize=8, loc="upper left")


CALIBRATION = Calibration(
    name="classical-noise",
    title="Noise counts for the power of a classical channel",
    method="counts against the classical laser's power, quantum laser off; line with the dark rate as intercept, dead "
    "time corrected, maximum likelihood (noise sources: Eraerds et al. 2010)",
    plan=ClassicalNoisePlan,
    setup=ClassicalNoiseSetup,
    measure=measure,
    evaluate=evaluate,
    draw=draw,
    from_node=(
        lambda site, values, _: losses_to(site, values, "classical", "launch"),
        detector_records.dead_time,
    ),
    uses=(detector_records.DEAD_TIME,),
)
