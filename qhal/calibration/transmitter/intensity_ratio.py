"""Intensities of decoy and vacuum over that of the signal, in the pattern that a transmitter plays.

Clicks are sorted by the intensity of their symbol, and by that of the symbol before. With Poissonian light a symbol of
intensity i clicks with ``1 - exp(-(s r_i + d t))``: s the signal's mean number of photo-electrons in the window of
length t, r_i the ratio, d the dark count rate. That the symbol before makes no difference is tested (the pattern effect
of modulators and their drivers: Yoshino et al., npj Quantum Inf. 4, 8 (2018)). So is that clicks just before a vacuum's
window are dark counts and what a closed carver lets through, for afterpulses would look like light of the vacuum.
"""

import math
from typing import Annotated, Any

import numpy as np
from pydantic import Field, model_validator

from qhal.calibration.figures.style import data_and_residuals, points
from qhal.calibration.fitting.fit import Array, Fitted, Model, fit_counts, numbered
from qhal.calibration.fitting.symbol_counts import count_symbols
from qhal.calibration.framework.calibration import Calibration
from qhal.calibration.framework.data import Data, Evaluation
from qhal.calibration.framework.plan import CHANNELS, Extent, Positive
from qhal.calibration.framework.points import Run
from qhal.calibration.inputs import transmitter_records
from qhal.calibration.optics.played_light import count_dark, prepare_dark, set_count_rate
from qhal.calibration.optics.setups import TransmitterSetup
from qhal.calibration.optics.symbol_pattern import CARVE_SAMPLES, INPUTS, PatternPlan
from qhal.calibration.optics.tag_recording import record_tags
from qhal.link.link_errors import NotEnoughCounts
from qhal.link.pattern import SymbolPattern
from qhal.link.skew import Receiver, estimate_skews_ps
from qhal.link.sync import SymbolClock
from qhal.records.record import Quantity, Record
from qhal.records.uncertain import nominal, systematic
from qhal.tags.batch import TagBatch

FORMULA = "clicked = live (1 - exp(-(s r + dark t)))"
INTENSITIES = ("signal", "decoy", "vacuum")


class IntensityRatioPlan(PatternPlan):
    """The pattern and how long it is looked at.

    ``decoy_ratio`` is what is wanted of the decoy. The light is recorded ``repetitions`` times for ``row_s``. Clicks in
    the ``quiet_ps`` before a vacuum's window are compared with dark counts and light that a closed carver lets through,
    at most ``carver_leak`` of the open one's.
    """

    decoy_ratio: Annotated[float, Field(gt=0, lt=1)] = 0.2
    repetitions: Annotated[int, Field(ge=2)] = 10
    row_s: Annotated[float, Field(gt=0, le=10)] = 2.0
    rate_hz: Positive = 4e5
    quiet_ps: Positive = 2500.0
    carver_leak: Annotated[float, Field(gt=0, lt=1)] = 0.01

    @model_validator(mode="after")
    def _fits(self) -> "IntensityRatioPlan":
        if self.window_ps + self.quiet_ps > self.period_ps:
            raise ValueError("window_ps and quiet_ps do not fit into period_ps")
        return self

    @property
    def intensities(self) -> tuple[float, float, float]:
        """What is wanted of signal, decoy and vacuum: as dark as it can be."""
        darkest = 10 ** (-self.decoy.extinction_db / 10)
        return 1.0, self.decoy_ratio, min(self.decoy_ratio / 2, darkest)

    def extent(self) -> Extent:
        """Return how large the measurement is."""
        tags = CHANNELS * self.rate_hz * self.row_s
        numbers = self.repetitions * CHANNELS * 9
        return Extent(
            rows=self.repetitions,
            seconds=self.repetitions * self.row_s + self.dark_s,
            numbers=numbers,
            tags=tags,
            samples=self.samples_to_play(),
        )


def measure(run: Run, plan: IntensityRatioPlan, setup: TransmitterSetup) -> None:
    """Count in the dark, then record the pattern and keep counts by intensity."""
    prepare_dark(plan, INPUTS, setup)
    count_dark(run, plan, INPUTS, setup.tagger)
    plan.play(setup.generator)
    set_count_rate(run, plan, setup)
    pattern = plan.pattern()
    for point in run.points("symbols", [{"repetition": n + 1} for n in range(plan.repetitions)]):
        batch = record_tags(setup.tagger, plan.row_s)
        run.store(
            "symbols", **point, **_counted(batch, pattern, plan), at_s=setup.tagger.device.clock.now_s()
        )


def _counted(batch: TagBatch, pattern: SymbolPattern, plan: IntensityRatioPlan) -> dict[str, Any]:
    """Return counts by intensity and intensity before. Raises SynchronisationFailed, NotEnoughCounts."""
    skews_ps, _ = estimate_skews_ps(batch, INPUTS, plan.period_ps)
    clock = SymbolClock(pattern, Receiver(INPUTS, skews_ps), window_ps=plan.window_ps)
    parts = clock.push(batch) + clock.finish()
    counts = count_symbols(parts, pattern, math.ceil(plan.hold_off_ps / plan.period_ps), plan.quiet_ps)
    return {
        "live": counts.live.tolist(),
        "clicked": counts.clicked.tolist(),
        "quiet_live": counts.quiet_live.tolist(),
        "quiet": counts.quiet.tolist(),
    }


def evaluate(data: Data, plan: IntensityRatioPlan) -> Evaluation:
    """Fit the two ratios, the light of each row and the dark count rate to all counts at once."""
    fitted = _fit(data, plan)
    decoy, vacuum, leak = fitted.values[:3]
    # Were it background instead of the carver's leak, there would be as much of it in the window.
    unsure = nominal(vacuum * leak) * plan.window_ps / plan.quiet_ps
    vacuum = vacuum + systematic("clicks between the pulses", 0.0, abs(unsure))
    quantities = [
        Quantity.of("intensity_ratio", "1", decoy, intensity=1),
        Quantity.of("intensity_ratio", "1", vacuum, intensity=2),
    ]
    return Evaluation(quantities, [fitted.fit], ["intensity 1: decoy, 2: vacuum, each over the signal's"])


def _fit(data: Data, plan: IntensityRatioPlan) -> Fitted:
    """Fit ratios, leak, dark count rate and the light of each row."""
    table, dark = data["symbols"], data["dark"]
    live, clicked = table["live"].astype(np.float64), table["clicked"].astype(np.float64)
    dark_s = float(dark["live_s"][0])
    if clicked.sum() == 0:
        raise NotEnoughCounts("no click in a window of the pattern")

    dark_counts = float(dark["counts"][0].sum())
    gains = clicked.sum(axis=(0, 2)) / live.sum(axis=(0, 2))
    largest = plan.carver_leak * plan.quiet_ps / (CARVE_SAMPLES * plan.period_ps / plan.samples_per_symbol)
    light = clicked[:, 0].sum(axis=1) / live[:, 0].sum(axis=1)
    start = {
        "decoy_ratio": float(gains[1] / gains[0]),
        "vacuum_ratio": max(float(gains[2] / gains[0]), 1e-6),
        "leak": largest / 10,
        "dark_hz": (dark_counts + 0.5) / dark_s,
        **numbered("light", light),
    }
    counts = np.concatenate((clicked.ravel(), table["quiet"].ravel(), [dark_counts]))
    bounds = ([0.0] * (4 + len(light)), [1.0, 1.0, largest, np.inf] + [np.inf] * len(light))
    return fit_counts("counts", FORMULA, _model(data, plan), counts, start, bounds)


def _model(data: Data, plan: IntensityRatioPlan) -> Model:
    """Return the counts expected: clicked (rows, 3, 3), quiet (rows, 3), dark."""
    table, dark_s = data["symbols"], float(data["dark"]["live_s"][0])
    live, quiet_live = table["live"].astype(np.float64), table["quiet_live"].astype(np.float64)

    def expected(p: Array) -> Array:
        ratio, leak, dark_hz, light = np.array([1.0, p[0], p[1]]), p[2], p[3], p[4:]
        mean = light[:, None, None] * ratio[:, None] + dark_hz * plan.window_ps * 1e-12
        between = light[:, None] * ratio[2] * leak + dark_hz * plan.quiet_ps * 1e-12
        clicked = (live * -np.expm1(-mean)).ravel()
        quiet = (quiet_live * -np.expm1(-between)).ravel()
        counts: Array = np.maximum(np.concatenate((clicked, quiet, [dark_hz * dark_s])), 1e-9)
        return counts

    return expected


def draw(figure: Any, record: Record) -> None:
    """Show the probability of a click by intensity and by the intensity before, and how far the model is off."""
    upper, lower = data_and_residuals(figure, "", "clicks per symbol")
    plan, data = IntensityRatioPlan(**record.inputs), Data(record.tables)
    expected = _model(data, plan)(record.fit(FORMULA).values)
    live, clicked = data["symbols"]["live"].sum(axis=0), data["symbols"]["clicked"].sum(axis=0)
    model = expected[: data["symbols"]["clicked"].size].reshape(-1, 3, 3).sum(axis=0)
    for number, name in enumerate(INTENSITIES):
        place = number * 4 + np.arange(3)
        sigma = np.sqrt(model[number]) / live[number]
        points(upper, place, clicked[number] / live[number], sigma, number, name)
        upper.plot(place, model[number] / live[number], color="0.4", linewidth=0.8)
        points(lower, place, (clicked[number] - model[number]) / np.sqrt(model[number]), None, number)
    upper.set_yscale("log")
    upper.legend(frameon=False, fontsize=8)
    lower.set_xlabel("intensity of the symbol, and of the one before it")
    lower.set_xticks(
        [number * 4 + n for number in range(3) for n in range(3)],
        [f"{name}\nafter {before}" for name in INTENSITIES for before in INTENSITIES],
        fontsize=7,
    )


CALIBRATION = Calibration(
    name="intensity-ratio",
    title="Intensities of decoy and vacuum over the signal's",
    method="click histograms by intensity and the intensity before, over a known pattern; maximum likelihood",
    plan=IntensityRatioPlan,
    setup=TransmitterSetup,
    measure=measure,
    evaluate=evaluate,
    draw=draw,
    from_node=(transmitter_records.modulator_volts,),
    uses=(transmitter_records.MODULATOR, transmitter_records.POLARIZATION),
)
