"""Widths of a time tagger's bins: differential and integral non-linearity, by the method of code density.

Tags of a source that knows nothing of the tagger's clock fall evenly on its time, so that the counts of a bin are
proportional to its width: the code density test of converters (IEEE Std 1241), with time for the voltage. The bins of
an interpolator come again with each tick of its clock, so tags are folded on that.
"""

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from qhal.calibration.figures.labels import with_uncertainty
from qhal.calibration.figures.style import COLOURS, line, points, tidy
from qhal.calibration.fitting.fit import Array
from qhal.calibration.framework.calibration import Calibration
from qhal.calibration.framework.data import Data, Evaluation
from qhal.calibration.framework.plan import CHANNELS, Extent, Positive
from qhal.calibration.framework.points import Run
from qhal.calibration.optics.setups import TaggedSetup
from qhal.calibration.optics.steady_light import SteadyLightPlan, light_detectors
from qhal.calibration.optics.tag_recording import record_tags
from qhal.link.link_errors import NotEnoughCounts
from qhal.records.record import Fit, Quantity, Record, Table
from qhal.records.uncertain import statistical
from qhal.tags.batch import TagBatch

TABLE = "bins"
_TURNS = 12
"""Interpolator periods that are distinguished: they show what repeats with two, three, four or six of them."""
_LEAST = 20.0
"""Counts needed for each bin of each period, on average: chi2 of fewer is not distributed as chi2."""
_CLEAR = 5.0
"""Standard uncertainties above 0 for a significant variance."""
_RANGES = 10.0
"""Peak-to-peak value, in ``period / sqrt(counts)``, above which chance adds little: equal bins would show 1.2."""


class CodeDensityPlan(SteadyLightPlan):
    """Light of ``rate_hz`` clicks on the mean input, recorded ``repetitions`` times for ``period_s``.

    ``interpolator_bins``: number of bins after which their widths repeat, or a multiple of it. ``inputs``:
    those whose tags are used, None for all; they must share one interpolator. If each has its own, calibrate one at a
    time.
    """

    interpolator_bins: Annotated[int, Field(ge=2, le=1024)] = 64
    inputs: tuple[int, ...] | None = None
    rate_hz: Positive = 5e5
    repetitions: Annotated[int, Field(ge=2)] = 10
    period_s: Annotated[float, Field(gt=0, le=10)] = 1.0

    @field_validator("inputs")
    @classmethod
    def _distinct(cls, inputs: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if inputs is not None and (not inputs or len(set(inputs)) < len(inputs) or min(inputs) < 1):
            raise ValueError("inputs must be one or several different numbers from 1 on, or None")
        return inputs

    def extent(self) -> Extent:
        """Return how large the measurement is."""
        numbers = self.repetitions * CHANNELS * self.interpolator_bins
        tags = CHANNELS * self.rate_hz * self.period_s
        return Extent(self.repetitions, self.repetitions * self.period_s, numbers, tags)


def measure(run: Run, plan: CodeDensityPlan, setup: TaggedSetup) -> None:
    """Light all detectors and keep how their tags fall on the bins."""
    channels = setup.tagger.capabilities.channels
    light_detectors(plan.rate_hz, plan, setup)
    resolution_ps = setup.tagger.capabilities.resolution_ps
    # Each is a recording of its own: one with an arbitrary start would show as disagreement.
    for point in run.points(TABLE, [{"repetition": n + 1} for n in range(plan.repetitions)]):
        batch = record_tags(setup.tagger, plan.period_s)
        counts = density(batch, channels, resolution_ps, plan.interpolator_bins)
        run.store(TABLE, **point, counts=counts.tolist(), resolution_ps=float(resolution_ps))


def density(batch: TagBatch, channels: int, resolution_ps: int, bins: int) -> NDArray[np.int64]:
    """Return counts (channels, periods, bins) of the tags over some periods of the interpolator."""
    cells = _TURNS * bins
    place = (batch.channels.astype(np.int64) - 1) * cells + batch.times_ps // resolution_ps % cells
    counts: NDArray[np.int64] = np.bincount(place, minlength=channels * cells)
    return counts.reshape(channels, _TURNS, bins)


def evaluate(data: Data, plan: CodeDensityPlan) -> Evaluation:
    """Find the widths of the bins; repetitions, inputs and periods must have the same."""
    counts = _used(data[TABLE], plan)
    fits = _agreement(counts)
    poor = [fit.chi2 / fit.degrees_of_freedom for fit in fits if fit.poor]
    fits = [fit.model_copy(update={"scaled": fit.poor}) for fit in fits]
    wider = float(np.sqrt(max(poor, default=1.0)))
    bins = counts.sum(axis=(0, 1, 2))
    period_ps = float(data[TABLE]["resolution_ps"][0]) * len(bins)
    total = bins.sum()

    def found(value: float, sigma: float) -> Any:
        return statistical("counts", value, sigma * wider)

    dnl, inl = _matrices(len(bins), period_ps)
    variance = found(*quadratic(bins, dnl))
    quantities, remarks = [Quantity.of("dnl_variance", "1", variance)], []
    clear = _CLEAR * variance.std_dev < variance.nominal_value
    if clear:
        quantities.append(Quantity.of("dnl_rms", "1", variance**0.5))
    else:
        most = np.sqrt(max(variance.nominal_value, 0.0) + 2 * variance.std_dev)
        remarks.append(f"the DNL does not show beside its uncertainty; its rms is below {most:.2g} (95 %)")
    variance_ps2 = found(*quadratic(bins, inl))
    if clear and variance_ps2.nominal_value > _CLEAR * variance_ps2.std_dev:
        quantities.append(Quantity.of("inl_rms", "ps", variance_ps2**0.5))
    range_ps, range_sigma_ps = peak_to_peak(bins, period_ps)
    if range_ps > _RANGES * wider * period_ps / np.sqrt(total):
        quantities.append(Quantity.of("inl_peak_to_peak", "ps", found(range_ps, range_sigma_ps)))
    else:
        remarks.append(f"the peak of the INL is not clear of chance; the range found is {range_ps:.2g} ps")
    # One count more than there are, so that an empty bin is not known exactly.
    sigma_ps = period_ps / total * np.sqrt((bins + 1) * (1 - bins / total))
    quantities += [
        Quantity.of("bin_width", "ps", found(period_ps * count / total, sigma), bin=n)
        for n, (count, sigma) in enumerate(zip(bins, sigma_ps, strict=True))
    ]
    if not bins.all():
        remarks.append(f"no tag has ever fallen into bins {np.flatnonzero(bins == 0).tolist()}")
    return Evaluation(quantities, fits, remarks, {"tagger": ("resolution", "clock_reference")})


def _used(table: Table, plan: CodeDensityPlan) -> Array:
    """Return counts (repetitions, inputs, periods, bins) of the inputs used. Raises NotEnoughCounts."""
    counts: Array = table["counts"].astype(np.float64)
    if plan.inputs is not None:
        counts = counts[:, [n - 1 for n in plan.inputs]]
    needed = _LEAST * len(counts) * _TURNS * counts.shape[-1]
    if counts.sum() < needed:
        raise NotEnoughCounts(f"{counts.sum():.0f} tags: {needed:.0f} are needed for this many bins")
    if not counts.sum(axis=(2, 3)).all():
        raise NotEnoughCounts("an input has no tags in a repetition: leave it out of `inputs`")
    return counts


def _agreement(counts: Array) -> list[Fit]:
    """Return how well repetitions, inputs and periods agree on the bins, each alone."""
    fits = [_same_fractions("repetitions", counts.sum(axis=(1, 2)))]
    if counts.shape[1] > 1:
        fits.append(_same_fractions("inputs", counts.sum(axis=(0, 2))))
    return [*fits, _same_periods(counts.sum(axis=1))]


def _same_fractions(name: str, counts: Array) -> Fit:
    """Return Pearson's chi2 of rows that should have the same fractions in the columns, however much they have."""
    seen = counts[:, counts.sum(axis=0) > 0]
    expected = seen.sum(axis=1)[:, None] * seen.sum(axis=0) / seen.sum()
    return Fit(
        model=f"the same bins in all {name}",
        chi2=float(((seen - expected) ** 2 / expected).sum()),
        degrees_of_freedom=(seen.shape[0] - 1) * (seen.shape[1] - 1),
    )


def _same_periods(counts: Array) -> Fit:
    """Return Pearson's chi2 of periods in (repetitions, periods, bins), which should have the same counts.

    Each repetition alone, because the period with which it begins is random: their sum could make periods alike.
    """
    expected = np.broadcast_to(counts.mean(axis=1, keepdims=True), counts.shape)
    seen = expected > 0
    return Fit(
        model="the same bins in all periods of the interpolator",
        chi2=float(((counts[seen] - expected[seen]) ** 2 / expected[seen]).sum()),
        degrees_of_freedom=int(seen.sum()) * (_TURNS - 1) // _TURNS,
    )


def _matrices(bins: int, period_ps: float) -> tuple[Array, Array]:
    """Return the matrices A with which ``p A p`` of the bins' fractions p are the variances of DNL and of INL (ps^2).

    DNL is width over mean width less 1, INL the error of the bins' ends: its mean depends on where one begins to count
    the bins and is taken off.
    """
    off = np.eye(bins) - 1 / bins  # what the fractions differ by from their mean
    ends = off @ np.tril(np.ones((bins, bins))) @ off
    return bins * off.T @ off, period_ps**2 / bins * ends.T @ ends


def quadratic(counts: Array, matrix: Array) -> tuple[float, float]:
    """Return ``p A p`` for multinomial counts of unknown fractions p, with its standard uncertainty.

    Pairs of different counts do not know the noise of each other: the mean of A over all of them (a U-statistic, as
    the sample variance is one) is right on average, while ``p A p`` of measured fractions is too large by their noise.
    """
    total = counts.sum()
    p = counts / total
    value = (counts @ matrix @ counts - counts @ np.diag(matrix)) / (total * (total - 1))
    mean = p @ matrix @ p
    linear = 4 / total * (p @ (matrix @ p) ** 2 - mean**2)
    pairs = 2 / total**2 * (p @ matrix**2 @ p - mean**2)
    # Taken of measured fractions, the linear part has in it what their noise makes of it: twice the part of the pairs.
    return float(value), float(np.sqrt(max(linear - pairs, pairs)))


def inl_ps(counts: Array, period_ps: float) -> Array:
    """Return the error of the ends of the bins, beginning with 0 at the beginning of the first."""
    fractions = np.concatenate(([0.0], np.cumsum(counts / counts.sum())))
    error: Array = period_ps * (fractions - np.linspace(0, 1, len(fractions)))
    return error


def peak_to_peak(counts: Array, period_ps: float) -> tuple[float, float]:
    """Return the range of the INL and its standard uncertainty: that of the fraction of tags between the extremes."""
    error_ps = inl_ps(counts, period_ps)
    first, last = sorted((int(np.argmin(error_ps)), int(np.argmax(error_ps))))
    fraction = counts[first:last].sum() / counts.sum()
    return float(np.ptp(error_ps)), float(period_ps * np.sqrt(fraction * (1 - fraction) / counts.sum()))


def draw(figure: Any, record: Record) -> None:
    """Show the DNL of all tags and of each input, and the INL within one standard uncertainty."""
    plan, table = CodeDensityPlan(**record.inputs), record.tables[TABLE]
    counts = _used(table, plan)
    upper, lower = figure.subplots(2, 1, sharex=True)
    tidy(upper, "", "DNL: width / mean width - 1")
    tidy(lower, "bin of the interpolator", "INL / ps")
    for axes in (upper, lower):
        axes.axhline(0, color="0.4", linewidth=0.8)
    bins, inputs = counts.sum(axis=(0, 1, 2)), counts.shape[1]
    total, place = bins.sum(), np.arange(len(bins))
    upper.bar(place, len(bins) * bins / total - 1, 0.9, color="0.85", label="together")
    for n, found in enumerate(counts.sum(axis=(0, 2))):
        number, scale = n + 1 if plan.inputs is None else plan.inputs[n], len(bins) / found.sum()
        beside = place + (n - (inputs - 1) / 2) * 0.8 / inputs
        points(upper, beside, scale * found - 1, scale * np.sqrt(found + 1), number - 1, f"input {number}")
    period_ps, fraction = (
        float(table["resolution_ps"][0]) * len(bins),
        np.append(0.0, np.cumsum(bins) / total),
    )
    error_ps, sigma_ps = inl_ps(bins, period_ps), period_ps * np.sqrt(fraction * (1 - fraction) / total)
    ends = np.arange(len(bins) + 1) - 0.5
    lower.fill_between(
        ends, error_ps - sigma_ps, error_ps + sigma_ps, color=COLOURS[0], alpha=0.3, linewidth=0
    )
    line(lower, ends, error_ps, 0)
    texts_of = {q.name: with_uncertainty(q) for q in record.quantities if q.name != "bin_width"}
    for axes, names in (
        (upper, {"dnl_rms": "rms"}),
        (lower, {"inl_rms": "rms", "inl_peak_to_peak": "peak to peak"}),
    ):
        texts = [f"{words} {texts_of[name]}" for name, words in names.items() if name in texts_of]
        axes.set_title(", ".join(texts), fontsize=9, loc="right")
    upper.legend(frameon=False, fontsize=7.5, ncols=inputs + 1, loc="lower left", bbox_to_anchor=(0, 1))


CALIBRATION = Calibration(
    name="code-density",
    title="Non-linearity of the tagger's bins",
    method="code density of tags in light that is not locked to the tagger's clock (IEEE Std 1241); multinomial counts",
    plan=CodeDensityPlan,
    setup=TaggedSetup,
    measure=measure,
    evaluate=evaluate,
    draw=draw,
)
