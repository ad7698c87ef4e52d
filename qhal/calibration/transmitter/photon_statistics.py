"""Second-order correlation g2(0) of a pulsed source, after Hanbury Brown and Twiss: coincidences of two detectors.

Of pulses of equal mean, clicks of two detectors in one pulse are as frequent as in two pulses that have nothing to do
with each other: g2(0) is the ratio of the two. It is 1 for coherent light of constant intensity, 1 + s^2 when a pulse's
intensity has the relative standard deviation s, 2 for thermal light of one mode, below 1 for single photons. Neither
efficiencies nor dead times of the detectors enter, as long as a click of one leaves the others alone.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from qhal.calibration.figures.style import data_and_residuals, line, points
from qhal.calibration.fitting.fit import Array, Fitted, Model, fit_counts, numbered
from qhal.calibration.framework.calibration import Calibration, Site
from qhal.calibration.framework.data import Data, Evaluation
from qhal.calibration.framework.plan import CHANNELS, Extent, Positive
from qhal.calibration.framework.points import Run
from qhal.calibration.inputs import transmitter_records
from qhal.calibration.optics.played_light import OneOutputPlan, count_dark, prepare_dark, set_count_rate
from qhal.calibration.optics.setups import TransmitterSetup
from qhal.calibration.optics.tag_recording import record_tags
from qhal.link.link_errors import NotEnoughCounts
from qhal.records.record import Quantity, Record, Table
from qhal.tags.analysis.correlation import CrossCorrelation
from qhal.tags.batch import TagBatch

FORMULA = "coincidences = m (1 + (g2 - 1) light fraction), lag 0; m, other lags"
_BINS = 10
"""Bins of a pulse period: a peak that is shifted by cables is cut where nothing is."""
_LEAST_POINTS = 960


class PhotonStatisticsPlan(OneOutputPlan):
    """A train of equal pulses, one each ``period_ps``.

    The modulator is at ``open_v`` for ``open_samples`` of the ``samples`` of a period, else at ``closed_v``.
    Coincidences are counted for lags up to ``lags`` periods on either side, of all pairs of ``inputs`` (of the tagger,
    one for each detector), ``repetitions`` times for ``row_s``.
    """

    open_v: float = 0.0
    closed_v: float = 2.0
    open_samples: Annotated[int, Field(ge=1)] = 2
    samples: Annotated[int, Field(ge=2)] = 12
    period_ps: Annotated[int, Field(ge=100)] = 10_000
    inputs: Annotated[tuple[int, ...], Field(min_length=2)] = (1, 2, 3, 4)
    lags: Annotated[int, Field(ge=5, le=500)] = 20
    repetitions: Annotated[int, Field(ge=2)] = 20
    row_s: Annotated[float, Field(gt=0, le=10)] = 2.0
    rate_hz: Positive = 1e6

    @model_validator(mode="after")
    def _fits(self) -> "PhotonStatisticsPlan":
        if self.open_samples >= self.samples:
            raise ValueError("open_samples must be fewer than samples")
        if self.period_ps % _BINS:
            raise ValueError(f"period_ps must be a multiple of {_BINS}")
        if len(set(self.inputs)) != len(self.inputs):
            raise ValueError("inputs: give different ones")
        return self

    def pairs(self) -> list[tuple[int, int]]:
        """Return the pairs of inputs, in the order in which their histograms are kept."""
        return list(combinations(self.inputs, 2))

    def extent(self) -> Extent:
        """Return how large the measurement is."""
        numbers = self.repetitions * math.comb(len(self.inputs), 2) * (2 * self.lags + 1)
        tags = CHANNELS * self.rate_hz * self.row_s
        return Extent(
            rows=self.repetitions,
            seconds=self.repetitions * self.row_s + self.dark_s,
            numbers=numbers,
            tags=tags,
            samples=4 * self.samples,
        )

    def volts(self) -> dict[int, Array]:
        """Return the waveforms of the generator's channels."""
        one = np.full(self.samples, self.closed_v)
        one[: self.open_samples] = self.open_v
        train = np.tile(one, 4 * -(-_LEAST_POINTS // (4 * self.samples)))
        return {channel: np.full(len(train), v) for channel, v in self.held_v.items()} | {self.channel: train}


def measure(run: Run, plan: PhotonStatisticsPlan, setup: TransmitterSetup) -> None:
    """Count in the dark, then keep a histogram of lags for each pair of detectors."""
    prepare_dark(plan, plan.inputs, setup)
    count_dark(run, plan, plan.inputs, setup.tagger)
    setup.generator.play(plan.volts(), plan.samples / plan.period_ps * 1e12)
    set_count_rate(run, plan, setup)
    for point in run.points("coincidences", [{"repetition": n + 1} for n in range(plan.repetitions)]):
        batch = record_tags(setup.tagger, plan.row_s)
        found = batch.counts()
        run.store(
            "coincidences",
            **point,
            counts=[found.get(n, 0) for n in plan.inputs],
            live_s=batch.live_time_s(),
            histograms=[_histogram(batch, pair, plan).tolist() for pair in plan.pairs()],
        )


def _histogram(batch: TagBatch, pair: tuple[int, int], plan: PhotonStatisticsPlan) -> NDArray[np.int64]:
    low_ps = -(2 * plan.lags + 3) * plan.period_ps // 2
    bins = (2 * plan.lags + 3) * _BINS
    correlation = CrossCorrelation(*pair, plan.period_ps // _BINS, bins, low_ps)
    correlation.add(batch)
    return correlation.histogram


def evaluate(data: Data, plan: PhotonStatisticsPlan) -> Evaluation:
    """Fit one g2 to all pairs and rows; all lags but 0 of a pair and row must have one mean."""
    fitted = _fit(data, plan)
    return Evaluation([Quantity.of("g2_zero", "1", fitted.values[0])], [fitted.fit])


def _fit(data: Data, plan: PhotonStatisticsPlan) -> Fitted:
    """Fit g2(0) and the accidental coincidences of each row and pair; the counts are in this order, then by lag."""
    histograms = data["coincidences"]["histograms"]
    counts = np.array([[_by_lag(each, plan) for each in row] for row in histograms], np.float64)
    lags = counts.shape[2]
    if counts.sum() == 0:
        raise NotEnoughCounts("no coincidence at any lag")
    others = (counts.sum(axis=2) - counts[:, :, plan.lags]) / (lags - 1)
    start = {"g2": 1.0, **numbered("coincidences", np.maximum(others, 0.1 / lags))}
    bounds = ([0.0] * len(start), [np.inf] * len(start))
    return fit_counts("coincidences", FORMULA, _model(data, plan), counts.ravel(), start, bounds)


def _model(data: Data, plan: PhotonStatisticsPlan) -> Model:
    """Return the coincidences expected of all rows, pairs and lags."""
    fractions = _light_fractions(data["coincidences"], data["dark"], plan)
    excess = np.zeros(2 * plan.lags + 1)
    excess[plan.lags] = 1.0

    def expected(p: Array) -> Array:
        means = np.maximum(p[1:].reshape(*fractions.shape, 1), 1e-9)
        counts: Array = means * (1 + (p[0] - 1) * fractions[:, :, None] * excess)
        return counts.ravel()

    return expected


def _light_fractions(table: Table, dark: Table, plan: PhotonStatisticsPlan) -> Array:
    """Return the fraction of a pair's coincidences (rows, pairs) that are without a dark count."""
    dark_hz = (dark["counts"][0] + 0.5) / dark["live_s"][0]
    rates_hz = table["counts"] / table["live_s"][:, None]
    fractions = 1 - np.minimum(dark_hz / np.maximum(rates_hz, 1e-9), 1.0)
    place = {channel: n for n, channel in enumerate(plan.inputs)}
    found: Array = np.stack(
        [fractions[:, place[a]] * fractions[:, place[b]] for a, b in plan.pairs()], axis=1
    )
    return found


def _by_lag(histogram: Array, plan: PhotonStatisticsPlan) -> Array:
    """Return coincidences by lag in pulses, cut between the peaks wherever cables have shifted them."""
    peak = histogram.reshape(-1, _BINS).sum(axis=0)
    turn = np.exp(2j * np.pi * (np.arange(_BINS) + 0.5) / _BINS)
    shift = round(float(np.angle((peak * -turn).sum())) / (2 * np.pi) * _BINS)
    lags: Array = np.roll(histogram, -shift).reshape(-1, _BINS).sum(axis=1)
    return lags[1:-1]


def draw(figure: Any, record: Record) -> None:
    """Show g2 over the lag, of all pairs together."""
    upper, lower = data_and_residuals(figure, "lag / ns", "g2")
    plan, data = PhotonStatisticsPlan(**record.inputs), Data(record.tables)
    lags = np.arange(-plan.lags, plan.lags + 1)
    shape = (-1, len(plan.pairs()), len(lags))
    histograms = data["coincidences"]["histograms"]
    counts = np.array([[_by_lag(each, plan) for each in row] for row in histograms]).sum(axis=(0, 1))
    expected = _model(data, plan)(record.fit(FORMULA).values).reshape(shape).sum(axis=(0, 1))
    level = expected[0]
    for number, chosen in enumerate((lags != 0, lags == 0)):
        x = lags[chosen] * plan.period_ps * 1e-3
        sigma = np.sqrt(expected[chosen])
        name = ("other pulses", "same pulse")[number]
        points(upper, x, counts[chosen] / level, sigma / level, number, name)
        points(lower, x, (counts[chosen] - expected[chosen]) / sigma, None, number)
    line(upper, lags * plan.period_ps * 1e-3, np.ones(len(lags)), 5)
    upper.legend(frameon=False, fontsize=8)


def _from_node(site: Site, values: Mapping[str, Any], records: Sequence[Record]) -> dict[str, Any]:
    found = transmitter_records.held_volts(site, values, records, channel=4)
    if (own := transmitter_records.modulator_record(values, records, 4)) is not None:
        open_v = own.quantity("v0", channel=own.inputs["channel"]).value
        found |= {"open_v": open_v, "closed_v": transmitter_records.extinction_v(own)}
    return found


CALIBRATION = Calibration(
    name="photon-statistics",
    title="Second-order correlation of a pulsed source",
    method="Hanbury Brown and Twiss: coincidences in one pulse over those in different pulses, maximum likelihood",
    plan=PhotonStatisticsPlan,
    setup=TransmitterSetup,
    measure=measure,
    evaluate=evaluate,
    draw=draw,
    from_node=(_from_node,),
    uses=(transmitter_records.MODULATOR,),
)
