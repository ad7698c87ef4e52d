"""Gates of gated detectors: width, edges, position and period, and counts outside of them.

ETSI GS QKD 011 defines the efficiency over the position in the gate and scans a short pulse through it. Here light is
steady: photons arrive at any position in the gate alike, so that the clicks, folded on the gates' own period, are the
efficiency there, as far as jitter allows (:mod:`qhal.calibration.fitting.gate_fit`). Dark counts are folded, too:
those of a gated detector come within the gates, those of its electronics at any time.
"""

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from uncertainties import umath

from qhal.calibration.figures.labels import in_unit
from qhal.calibration.figures.style import COLOURS, data_and_residuals, line, points
from qhal.calibration.fitting.clock_phase import fit_clock
from qhal.calibration.fitting.fit import Array, fit_values, numbered
from qhal.calibration.fitting.gate_fit import FORMULA as GATE
from qhal.calibration.fitting.gate_fit import (
    RISE_PER_SIGMA,
    GateFit,
    PeriodGrid,
    fit_gate,
    gate_model,
    live_fraction,
)
from qhal.calibration.fitting.gate_fold import fold_gates, gate_phases, histogram
from qhal.calibration.fitting.pulse_profile import widened
from qhal.calibration.framework.calibration import Calibration
from qhal.calibration.framework.data import Data, Evaluation
from qhal.calibration.framework.plan import CHANNELS, Extent, Positive
from qhal.calibration.framework.points import Run
from qhal.calibration.optics.attenuators import close_attenuators
from qhal.calibration.optics.count_rate import SETTINGS
from qhal.calibration.optics.setups import TaggedSetup
from qhal.calibration.optics.steady_light import SteadyLightPlan, light_detectors
from qhal.calibration.optics.tag_recording import input_settings, record_tags
from qhal.records.record import Fit, Quantity, Record, Table
from qhal.records.uncertain import statistical, systematic, values_of

LIGHT, DARK = "light", "dark"
_FWHM_PER_SIGMA = 2 * np.sqrt(2 * np.log(2))
_CLEAR = 3.0
"""Standard uncertainties above 0 for a significant value."""
_WIDE = 2.4
"""Width over rise time from which the width at half maximum is that between the middles of the edges."""
_MOST_PER_GATE = 0.1


class GateScanPlan(SteadyLightPlan):
    """Light of ``rate_hz`` clicks on the mean input, recorded ``recordings`` times for ``recording_s``, then darkness.

    ``gate_period_ps``: nominal; the period by the tagger's clock is looked for within ``period_tolerance`` (relative)
    of it. It is divided into ``bins``. In the dark there are ``dark_recordings`` of ``dark_s``. ``jitter_fwhm_ps`` of
    detector and tagger together (its steps apart) and its standard uncertainty are taken off the edges.
    ``dead_time_ns``: with it clicks are corrected for those that dead times hide.
    """

    gate_period_ps: Positive = 10_000.0
    period_tolerance: Annotated[float, Field(gt=0, le=1e-3)] = 5e-5
    rate_hz: Positive = 1e5
    recordings: Annotated[int, Field(ge=2)] = 5
    recording_s: Annotated[float, Field(ge=0.1, le=10)] = 1.0
    dark_recordings: Annotated[int, Field(ge=2)] = 5
    dark_s: Annotated[float, Field(ge=0.1, le=10)] = 2.0
    bins: Annotated[int, Field(ge=50, le=10_000)] = 200
    jitter_fwhm_ps: Annotated[float, Field(ge=0)] = 60.0
    jitter_uncertainty_ps: Annotated[float, Field(ge=0)] = 20.0
    dead_time_ns: Annotated[float, Field(ge=0)] = 35.0

    @model_validator(mode="after")
    def _weak(self) -> "GateScanPlan":
        per_gate = self.rate_hz * self.gate_period_ps * 1e-12
        if per_gate > _MOST_PER_GATE:
            raise ValueError(
                f"rate_hz of {self.rate_hz:g} is {per_gate:.2g} clicks a gate of {self.gate_period_ps:g} ps:"
                f" {_MOST_PER_GATE:g} at most"
            )
        return self

    def extent(self) -> Extent:
        """Return how large the measurement is."""
        rows = self.recordings + self.dark_recordings
        seconds = self.recordings * self.recording_s + self.dark_recordings * self.dark_s
        tags = CHANNELS * self.rate_hz * max(self.recording_s, self.dark_s)
        return Extent(rows, seconds, rows * CHANNELS * self.bins, tags)


def measure(run: Run, plan: GateScanPlan, setup: TaggedSetup) -> None:
    """Light all detectors and fold their tags on the gates; then the same in the dark."""
    light_detectors(plan.rate_hz, plan, setup)
    channels, resolution_ps = setup.detectors.capabilities.channels, setup.tagger.capabilities.resolution_ps
    for point in run.points(LIGHT, [{"recording": n + 1} for n in range(plan.recordings)]):
        batch = record_tags(setup.tagger, plan.recording_s)
        found = fold_gates(
            batch, channels, plan.gate_period_ps, plan.period_tolerance, plan.bins, resolution_ps
        )
        run.store(
            LIGHT,
            **point,
            counts=found.counts.tolist(),
            period_ps=found.period_ps,
            sums=found.sums.tolist(),
            folded_period_ps=found.folded_period_ps,
            block_s=found.block_s,
            live_s=batch.live_time_s(),
            resolution_ps=float(resolution_ps),
        )
    setup.source.disable()
    close_attenuators(setup.attenuators)
    period_ps = float(np.mean([row["period_ps"] for row in run.rows(LIGHT)]))
    for point in run.points(DARK, [{"recording": n + 1} for n in range(plan.dark_recordings)]):
        batch = record_tags(setup.tagger, plan.dark_s)
        cycles = (batch.times_ps - batch.start_ps) / period_ps
        counts = histogram(batch.channels, cycles, channels, plan.bins)
        run.store(DARK, **point, counts=counts.tolist(), live_s=batch.live_time_s())


def evaluate(data: Data, plan: GateScanPlan) -> Evaluation:
    """Fit each channel's gate in all recordings; what dark counts there are in and outside of it comes off."""
    light, dark = data[LIGHT], data[DARK]
    grid, gates = _grid(light, plan), _gates(light, plan)
    period, period_fit, remarks = _period(light, plan.gate_period_ps)
    skews, skew_fits = _skews(gates, grid)
    quantities = [Quantity.of("gate_period", "ps", period)]
    at = [{"channel": n} for n in range(1, len(gates) + 1)]
    fits = [
        period_fit,
        *(gate.fit.model_copy(update={"at": a}) for gate, a in zip(gates, at, strict=True)),
        *skew_fits,
    ]
    jitter = systematic("jitter", plan.jitter_fwhm_ps, plan.jitter_uncertainty_ps) / _FWHM_PER_SIGMA
    in_dark = _dark(dark, gates, [skew.nominal_value for skew in skews], grid)
    for n, (gate, (probability, dark_fit)) in enumerate(zip(gates, _dark_rates(dark, grid), strict=True)):
        channel = n + 1
        widest = max(gate.rise_ps.nominal_value, gate.fall_ps.nominal_value)
        if gate.width_ps.nominal_value < _WIDE * widest:
            remarks.append(
                f"channel {channel}: the edges overlap; its width is that of the rectangle of the same area"
            )
        edges, limits = _edges(gate, jitter, channel)
        ratio = _out_of_gate(light, gate, in_dark[n], grid)
        quantities += [
            Quantity.of("gate_width", "ps", gate.width_ps, channel=channel),
            Quantity.of("gate_skew", "ps", skews[n], channel=channel),
            *edges,
            Quantity.of("out_of_gate_ratio", "1", ratio, channel=channel),
            Quantity.of("dark_count_probability", "1", probability, channel=channel),
        ]
        fits.append(dark_fit.model_copy(update={"at": {"channel": channel}}))
        remarks += limits
        if ratio.nominal_value < _CLEAR * ratio.std_dev:
            most = max(ratio.nominal_value, 0.0) + 2 * ratio.std_dev
            remarks.append(
                f"channel {channel}: no light is counted outside of the gates; less than {most:.2g} (95 %)"
            )
    if len(gates) > 1:
        remarks.append(
            "skews are against the mean of the channels, each within half a period of channel 1;"
            " cables and inputs are in them"
        )
    settings = {"detectors": SETTINGS, "tagger": input_settings(len(gates))}
    return Evaluation(quantities, fits, remarks, settings)


def _edges(gate: GateFit, jitter: Any, channel: int) -> tuple[list[Quantity], list[str]]:
    """Return how fast the edges are, as they are seen and without the jitter, or a remark about what that is below."""
    quantities, remarks = [], []
    for name, seen in (("rise", gate.rise_ps), ("fall", gate.fall_ps)):
        quantities.append(Quantity.of(f"edge_{name}", "ps", seen, channel=channel))
        own = (seen / RISE_PER_SIGMA) ** 2 - jitter**2
        if own.nominal_value > _CLEAR * own.std_dev:
            time = RISE_PER_SIGMA * umath.sqrt(own)
            quantities.append(Quantity.of(f"gate_{name}", "ps", time, channel=channel))
        else:
            most = RISE_PER_SIGMA * np.sqrt(max(own.nominal_value, 0.0) + 2 * own.std_dev)
            remarks.append(
                f"channel {channel}: the {name} of the gate does not show beside the jitter;"
                f" it takes less than {most:.3g} ps (95 %)"
            )
    return quantities, remarks


def _grid(light: Table, plan: GateScanPlan) -> PeriodGrid:
    return PeriodGrid(float(light["period_ps"].mean()), plan.bins, float(light["resolution_ps"][0]))


def _period(light: Table, nominal_ps: float) -> tuple[Any, Fit, list[str]]:
    """Return the period by the tagger's clock: a constant one or, with a remark, one with noise of both clocks."""
    found = [
        gate_phases(row["sums"], float(row["folded_period_ps"]), float(row["block_s"]))
        for row in light.rows()
    ]
    t_ps = np.stack([(np.arange(len(each.delay_ps)) + 0.5) * each.block_s * 1e12 for each in found])
    # Against gates of the nominal period; by this the folded period is longer.
    longer = np.array([1 - nominal_ps / each.period_ps for each in found])
    late_ps = np.stack([each.delay_ps for each in found]) + longer[:, None] * t_ps
    begin = float(longer.mean())

    def model(p: Array) -> Array:
        expected: Array = (p[1:, None] + (begin + p[0] * 1e-9) * t_ps).ravel()
        return expected

    start = (late_ps - begin * t_ps).mean(axis=1)
    sigma_ps = np.stack([each.sigma_ps for each in found])
    constant = fit_values(
        "times of the clicks",
        "gates come with a constant period",
        model,
        late_ps.ravel(),
        sigma_ps.ravel(),
        {"frequency_off": 0.0, **numbered("late_ps", start)},
    )
    if not constant.fit.poor:
        return nominal_ps / (1 - begin - constant.values[0] * 1e-9), constant.fit, []
    clock = fit_clock(found, nominal_ps)
    remark = f"the gates' clock walks by {clock.walk_ps:.2uS} ps in 1 s against the tagger's (white frequency noise)"
    return nominal_ps / (1 + clock.frequency_offset), clock.fit, [remark]


def _gates(light: Table, plan: GateScanPlan) -> list[GateFit]:
    grid = _grid(light, plan)
    return [
        fit_gate(*_folded(light, column, grid, plan), grid, f"channel {column + 1}")
        for column in range(light["counts"].shape[1])
    ]


def _folded(light: Table, column: int, grid: PeriodGrid, plan: GateScanPlan) -> tuple[Array, Array]:
    """Return counts, and the fraction of the time in which the detector was not dead: (recordings, bins)."""
    gates = light["live_s"] * 1e12 / grid.period_ps
    counts = light["counts"][:, column].astype(np.float64)
    return counts, live_fraction(counts, gates, grid, plan.dead_time_ns * 1e3)


def _skews(gates: Sequence[GateFit], grid: PeriodGrid) -> tuple[list[Any], list[Fit]]:
    """Return each gate's position against their mean, and whether all recordings agree on them."""
    channels, recordings = len(gates), len(gates[0].centre_ps)
    if channels == 1:
        return [statistical("counts", 0.0, 0.0)], []
    centre = np.array([values_of(gate.centre_ps) for gate in gates])
    half = grid.period_ps / 2
    late = np.mod(centre - centre[0] + half, grid.period_ps) - half
    # All recordings within half a period of the first, so that none is a period off if channels are opposite.
    late = late[:, :1] + np.mod(late - late[:, :1] + half, grid.period_ps) - half
    means = [sum(gate.centre_ps) / recordings for gate in gates]
    # One shape has been found for all recordings: what its errors move is common to them, and not a disagreement.
    own = [
        [(each - mean).std_dev for each in gate.centre_ps] for gate, mean in zip(gates, means, strict=True)
    ]
    variance = np.array(own) ** 2 * recordings / (recordings - 1)
    rest = late - late.mean(axis=1, keepdims=True)
    rest = rest - (rest / variance).sum(axis=0) / (1 / variance).sum(axis=0)
    fit = Fit(
        model="positions of all channels' gates relative to each other are constant",
        chi2=float((rest**2 / variance).sum()),
        degrees_of_freedom=(channels - 1) * (recordings - 1),
    )
    wider = np.sqrt(fit.chi2 / fit.degrees_of_freedom) if fit.poor else 1.0
    places = [at + mean - mean.nominal_value for at, mean in zip(late.mean(axis=1), means, strict=True)]
    common = sum(places) / channels
    skews = [widened(place - common, wider) for place in places]
    return skews, [fit.model_copy(update={"scaled": fit.poor})]


class _Dark(NamedTuple):
    """Dark counts per bin and second: ``outside`` of the gates, and on their ``top``."""

    outside: Any
    top: Any


def _dark(
    dark: Table, gates: Sequence[GateFit], centres_ps: Sequence[float], grid: PeriodGrid
) -> list[_Dark]:
    """Divide the dark counts of each channel into those in the gates and those outside.

    The phase at which a recording begins is that at which the gates of all channels contain most of the counts. The
    recordings with light give the shape of the gates.
    """
    shapes = [_shape(gate) for gate in gates]
    patterns = np.stack(
        [grid.gate(grid.about(at), *shape) for at, shape in zip(centres_ps, shapes, strict=True)]
    )
    outside = np.stack(
        [grid.outside(grid.about(at), *shape) for at, shape in zip(centres_ps, shapes, strict=True)]
    )
    rotated = []
    for row in dark.rows():
        alike = np.fft.ifft((np.fft.fft(row["counts"]) * np.conj(np.fft.fft(patterns))).sum(axis=0)).real
        rotated.append(np.roll(row["counts"], -int(np.argmax(alike)), axis=1))
    counts, live_s = np.sum(rotated, axis=0), float(dark["live_s"].sum())
    found = []
    for n, shape in enumerate(shapes):
        far = outside[n]
        beyond, within = float(counts[n][far].sum()), float(counts[n][~far].sum())
        # One count more than there are, so that none is not known exactly.
        rate = statistical("dark counts", beyond, np.sqrt(beyond + 1)) / (far.sum() * live_s)
        gated = statistical("dark counts", within, np.sqrt(within + 1)) / live_s - (~far).sum() * rate
        found.append(_Dark(rate, rate + gated * grid.bin_ps / shape[0]))
    return found


def _shape(gate: GateFit) -> tuple[float, float, float]:
    return gate.width_ps.nominal_value, gate.rise_ps.nominal_value, gate.fall_ps.nominal_value


def _out_of_gate(light: Table, gate: GateFit, dark: _Dark, grid: PeriodGrid) -> Any:
    """Return the efficiency outside of the gate over that on its top, dark counts taken off."""
    far, live_s = _outside(gate, grid), light["live_s"]
    clicks = float((gate.counts * far).sum())
    exposure_s = float((gate.live * far * live_s[:, None]).sum())
    outside = statistical("counts", clicks, np.sqrt(clicks + 1)) / exposure_s
    top = sum(gate.top) / float(live_s.sum())
    return (outside - dark.outside) / (top - dark.top)


def _outside(gate: GateFit, grid: PeriodGrid) -> NDArray[np.bool_]:
    """Return the bins (recordings, bins) that see nothing of the gate."""
    return np.stack([grid.outside(grid.about(at.nominal_value), *_shape(gate)) for at in gate.centre_ps])


def _dark_rates(dark: Table, grid: PeriodGrid) -> list[tuple[Any, Fit]]:
    """Return each channel's dark counts per gate, and whether all recordings have as many."""
    gates = dark["live_s"] * 1e12 / grid.period_ps
    found = []
    for column in range(dark["counts"].shape[1]):
        counts = dark["counts"][:, column].sum(axis=1).astype(np.float64)
        expected = gates * counts.sum() / gates.sum()
        fit = Fit(
            model="dark counts are as many in all recordings",
            chi2=float(((counts - expected) ** 2 / np.maximum(expected, 1e-9)).sum()),
            degrees_of_freedom=len(counts) - 1,
        )
        sigma = np.sqrt(max(counts.sum(), 1.0))
        if fit.poor:
            sigma *= np.sqrt(fit.chi2 / fit.degrees_of_freedom)
            fit = fit.model_copy(update={"scaled": True})
        found.append((statistical("dark counts", counts.sum(), sigma) / float(gates.sum()), fit))
    return found


def draw(figure: Any, record: Record) -> None:
    """Show the gates over the time about their mean position, with their models, and the residuals."""
    plan, light = GateScanPlan(**record.inputs), record.tables[LIGHT]
    upper, lower = data_and_residuals(
        figure, "time about the mean of the gates / ns", "efficiency / that on the top"
    )
    grid = _grid(light, plan)
    for n in range(light["counts"].shape[1]):
        channel = n + 1
        counts_each, live_each = _folded(light, n, grid, plan)
        p = record.fit(GATE, channel=channel).values
        top, centre_ps, _ = np.split(p, [len(light), 2 * len(light)])
        expected_each = gate_model(live_each, grid)(p).reshape(counts_each.shape)
        skew = record.quantity("gate_skew", channel=channel).value
        width, ratio = (
            record.quantity(name, channel=channel) for name in ("gate_width", "out_of_gate_ratio")
        )
        shift = [round((grid.period_ps / 2 - at) / grid.bin_ps) for at in centre_ps]
        counts, expected, live = (
            sum(np.roll(row, by) for row, by in zip(rows, shift, strict=True))
            for rows in (counts_each, expected_each, live_each * top[:, None])
        )
        t = (grid.about(grid.period_ps / 2) + skew) * 1e-3
        label = f"channel {channel}: {in_unit(width)}, outside {ratio.value:.3g}"
        points(upper, t, counts / live, np.sqrt(expected) / live, n, label)
        line(upper, t, expected / live, n)
        lower.plot(
            t, (counts - expected) / np.sqrt(expected), ".", markersize=3, color=COLOURS[n % len(COLOURS)]
        )
    upper.set_yscale("symlog", linthresh=0.02, linscale=0.5)
    upper.set_ylim(bottom=0)
    upper.legend(frameon=False, fontsize=7.5, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))


CALIBRATION = Calibration(
    name="gate-scan",
    title="Width, edges and position of the detectors' gates",
    method="clicks in steady light folded on the gates' period (ETSI GS QKD 011: gate position); rectangle with edges "
    "that are error functions, maximum likelihood",
    plan=GateScanPlan,
    setup=TaggedSetup,
    measure=measure,
    evaluate=evaluate,
    draw=draw,
)
