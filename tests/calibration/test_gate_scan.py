"""Gates in tags and histograms made by hand: what the world of its case does not have."""

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import special

from qhal.calibration.detector.gate_scan import GateScanPlan, evaluate
from qhal.calibration.fitting.gate_fit import RISE_PER_SIGMA, PeriodGrid, fit_gate, live_fraction
from qhal.calibration.fitting.gate_fold import fold_gates
from qhal.calibration.framework.data import Data
from qhal.link.link_errors import NotEnoughCounts
from qhal.records.record import Table
from qhal.tags.batch import TagBatch

NOMINAL_PS, PERIOD_PS, RESOLUTION_PS = 10_000.0, 10_000.213, 100
BINS, LENGTH_S = 200, 0.5
WIDTH_PS, RISE_PS, FALL_PS = 3000.0, 250.0, 600.0


def recording(rng, period_ps=PERIOD_PS, places=(0.0, 5000.0), clicks=50_000, free=0, walk_ps=None):
    """Return tags of gates at these places, one channel each, and of one channel without gates if ``free``."""
    times = []
    for place in places:
        cycles = np.sort(rng.integers(0, int(LENGTH_S * 1e12 / period_ps), clicks))
        late = rng.uniform(-WIDTH_PS / 2, WIDTH_PS / 2, clicks) + rng.normal(0, 100, clicks)
        times.append((cycles + 1) * period_ps + place + late)
    if free:
        times.append(rng.uniform(0, LENGTH_S * 1e12, free))
    inputs = np.repeat(np.arange(1, len(times) + 1), [len(each) for each in times])
    exact = np.concatenate(times)
    if walk_ps is not None:
        exact = exact + np.interp(exact, np.linspace(0, LENGTH_S * 1e12, len(walk_ps)), walk_ps)
    tags = np.floor(exact / RESOLUTION_PS).astype(np.int64) * RESOLUTION_PS
    order = np.argsort(tags, kind="stable")
    return TagBatch(tags[order], inputs[order].astype(np.uint8), 0, int(LENGTH_S * 1.001e12))


def fold(batch, channels=2, nominal_ps=NOMINAL_PS, tolerance=5e-5):
    return fold_gates(batch, channels, nominal_ps, tolerance, BINS, RESOLUTION_PS)


def table(rows):
    return Table({name: np.array([row[name] for row in rows]) for name in rows[0]}, {})


def light_of(batches):
    rows = [fold(batch)._asdict() for batch in batches]
    return table([row | {"live_s": LENGTH_S, "resolution_ps": float(RESOLUTION_PS)} for row in rows])


def dark_of(counts):
    return table([{"counts": each, "live_s": LENGTH_S} for each in counts])


def found(evaluation, name):
    return [quantity for quantity in evaluation.quantities if quantity.name == name]


def test_gates_opposite_to_each_other_are_found():
    rng = np.random.default_rng(1)
    folded = fold(recording(rng))
    assert folded.period_ps == pytest.approx(PERIOD_PS, rel=1e-10)
    assert folded.counts.sum(axis=1).tolist() == [50_000, 50_000]
    rotated = np.roll(folded.counts[1], BINS // 2)
    assert np.abs(rotated - folded.counts[0]).max() < 6 * np.sqrt(2 * folded.counts.max())
    assert folded.counts.min(axis=1).tolist() == [0, 0]


def test_a_period_beyond_the_tolerance_is_refused():
    rng = np.random.default_rng(2)
    with pytest.raises(NotEnoughCounts, match=r"no gates with a period of 10000 ps \+- 1e-05 of it"):
        fold(recording(rng), tolerance=1e-5)
    for wrong_ps in (9900.0, 20_000.0):
        with pytest.raises(NotEnoughCounts, match="or gate_period_ps is wrong"):
            fold(recording(rng), nominal_ps=wrong_ps)


@pytest.mark.parametrize("multiple", [2, 3, 5])
def test_a_part_of_the_period_is_refused_and_the_period_named(multiple):
    rng = np.random.default_rng(3)
    with pytest.raises(NotEnoughCounts, match=f"set gate_period_ps to {multiple} times that"):
        fold(recording(rng, multiple * PERIOD_PS))


def test_detectors_that_run_freely_are_refused():
    rng = np.random.default_rng(4)
    with pytest.raises(NotEnoughCounts, match=r"channels \[3\] click at all times alike"):
        fold(recording(rng, free=40_000), channels=3)
    with pytest.raises(NotEnoughCounts, match="the detectors run freely"):
        fold(recording(rng, places=(), free=40_000), channels=1)
    with pytest.raises(NotEnoughCounts, match=r"\[50000, 0\] tags of channels 1 to 2: 1000 of each"):
        fold(recording(rng, places=(0.0,)))


@pytest.mark.parametrize("period_ps", [10_000.0, 10_050.0, 10_000 + 200 / 3])
def test_gates_that_the_tagger_follows_are_refused(period_ps):
    rng = np.random.default_rng(5)
    with pytest.raises(NotEnoughCounts, match="keep to the same positions in the tagger's bins of 100 ps"):
        fold(recording(rng, period_ps), nominal_ps=period_ps)


def test_a_clock_that_walks_gets_a_larger_uncertainty_and_a_remark():
    periods = {}
    for steps_ps in (0.0, 15.0):
        rng = np.random.default_rng(6)
        walks = [np.cumsum(rng.normal(0, 1, 200)) * steps_ps for _ in range(4)]
        light = light_of([recording(rng, walk_ps=walk) for walk in walks])
        none = dark_of(np.zeros((2, 2, BINS), int))
        evaluation = evaluate(Data({"light": light, "dark": none}), GateScanPlan())
        (periods[steps_ps],) = found(evaluation, "gate_period")
        assert any("walks by" in remark for remark in evaluation.remarks) == (steps_ps > 0)
        # What a quadratic in time does not follow is as good as jitter.
        assert not [fit.model for fit in evaluation.fits if fit.poor]
    for period in periods.values():
        assert abs(period.value - PERIOD_PS) < 4.5 * period.uncertainty
    assert periods[15.0].uncertainty > 5 * periods[0.0].uncertainty


def gate_counts(rng, grid, centre_ps, clicks, floor, rise_ps=RISE_PS, fall_ps=FALL_PS):
    """Draw clicks of one recording: integrals of the edges, taken numerically, not by the model's own closed form."""
    fine = 50
    late = PeriodGrid(grid.period_ps, grid.bins * fine, 1.0).about(centre_ps)
    shape = special.ndtr((late + WIDTH_PS / 2) / (rise_ps / RISE_PER_SIGMA)) - special.ndtr(
        (late - WIDTH_PS / 2) / (fall_ps / RISE_PER_SIGMA)
    )
    steps = round(RESOLUTION_PS / (grid.period_ps / grid.bins / fine))
    seen = np.convolve(np.tile(floor + (1 - floor) * shape, 3), np.full(steps, 1 / steps), "same")
    seen = seen[len(shape) : 2 * len(shape)].reshape(grid.bins, fine).mean(axis=1)
    return rng.poisson(clicks * seen / seen.sum()).astype(float)


def test_edges_that_differ_are_told_apart_and_scatter_as_they_say():
    rng = np.random.default_rng(7)
    grid, pulls = PeriodGrid(PERIOD_PS, BINS, RESOLUTION_PS), []
    for _ in range(60):
        places = rng.uniform(0, PERIOD_PS, 2)
        counts = np.stack([gate_counts(rng, grid, place, 6e4, 0.01) for place in places])
        gate = fit_gate(counts, np.ones_like(counts), grid, "channel 1")
        assert gate.fit.p_value > 1e-5
        true = (*places, WIDTH_PS, RISE_PS, FALL_PS)
        values = (*gate.centre_ps, gate.width_ps, gate.rise_ps, gate.fall_ps)
        pulls.append([(value.n - wanted) / value.s for value, wanted in zip(values, true, strict=True)])
    assert (np.abs(np.mean(pulls, axis=0)) < 4 / np.sqrt(60)).all()
    assert (np.abs(np.std(pulls, axis=0) - 1) < 4 / np.sqrt(120)).all()


def test_dead_times_take_clicks_from_the_end_of_bright_gates():
    rng = np.random.default_rng(8)
    grid, per_gate, gates, dead_ps = PeriodGrid(PERIOD_PS, BINS, RESOLUTION_PS), 0.1, 4_000_000, 35_000.0
    cycles = np.sort(rng.integers(0, gates, rng.poisson(per_gate * gates)))
    photons = np.sort(cycles * PERIOD_PS + 4000 + rng.uniform(-1500, 1500, len(cycles)))
    kept, last = [], -np.inf
    for t in photons.tolist():
        if t - last >= dead_ps:
            kept.append(t)
            last = t
    phase = np.mod(
        np.array(kept) + rng.normal(0, 100, len(kept)) + rng.uniform(-50, 50, len(kept)), PERIOD_PS
    )
    counts = np.bincount((phase / grid.bin_ps).astype(int), minlength=BINS)[None].astype(float)
    fits = [
        fit_gate(counts, live_fraction(counts, np.array([gates]), grid, ps), grid, "channel 1")
        for ps in (dead_ps, 0.0)
    ]
    corrected, plain = fits
    assert not corrected.fit.poor
    assert plain.fit.poor
    assert abs(corrected.width_ps.n - 3000) < 4.5 * corrected.width_ps.s
    assert abs(corrected.centre_ps[0].n - 4000) < 4.5 * corrected.centre_ps[0].s
    top = per_gate * gates / 3000 * grid.bin_ps
    assert abs(corrected.top[0].n - top) < 5 * corrected.top[0].s
    with pytest.raises(NotEnoughCounts, match=r"with a dead time of 1000 ns .* dead for"):
        live_fraction(counts, np.array([gates]), grid, 1e6)


def test_noise_at_any_time_is_no_light_outside_the_gates():
    """Light only in the gates; dark counts half in the gates, half of the electronics."""
    rng = np.random.default_rng(9)
    ratios = []
    for _ in range(10):
        batches = [recording(rng, clicks=60_000) for _ in range(2)]
        light = light_of(batches)
        grid = PeriodGrid(float(light["period_ps"].mean()), BINS, RESOLUTION_PS)
        places = [
            fit_gate(light["counts"][:1, n], np.ones((1, BINS)), grid, "").centre_ps[0].n for n in (0, 1)
        ]
        begins = rng.uniform(0, PERIOD_PS, 2)
        counts = [
            [
                gate_counts(rng, grid, place - begin, 1000, 0.0, 256.0, 256.0) + rng.poisson(5, BINS)
                for place in places
            ]
            for begin in begins
        ]
        light["counts"][:] += rng.poisson(5, light["counts"].shape)
        evaluation = evaluate(Data({"light": light, "dark": dark_of(counts)}), GateScanPlan())
        assert not [fit.model for fit in evaluation.fits if fit.poor]
        outside = found(evaluation, "out_of_gate_ratio")
        ratios += [each.value / each.uncertainty for each in outside]
        assert all(5 / light["counts"].max() > 3 * each.uncertainty for each in outside)
        assert sum("no light is counted outside" in remark for remark in evaluation.remarks) >= 1
        dark = found(evaluation, "dark_count_probability")[0]
        assert abs(dark.value - 2000 * PERIOD_PS * 1e-12 / LENGTH_S) < 4.5 * dark.uncertainty
    assert abs(np.mean(ratios)) < 4 / np.sqrt(len(ratios))
    assert abs(np.std(ratios) - 1) < 4 / np.sqrt(2 * len(ratios))


def test_a_leak_of_nothing_is_not_known_exactly_and_edges_of_nothing_are_only_below_a_limit():
    rng = np.random.default_rng(10)
    light = light_of([recording(rng) for _ in range(2)])
    none = dark_of(np.zeros((2, 2, BINS), int))
    plan = GateScanPlan(jitter_fwhm_ps=100 * 2.3548, jitter_uncertainty_ps=20.0)
    evaluation = evaluate(Data({"light": light, "dark": none}), plan)
    for ratio in found(evaluation, "out_of_gate_ratio"):
        assert ratio.value == 0
        assert 1e-6 < ratio.uncertainty < 1e-4
    for dark in found(evaluation, "dark_count_probability"):
        assert dark.value == 0
        assert dark.uncertainty == pytest.approx(PERIOD_PS * 1e-12 / (2 * LENGTH_S))
    assert not found(evaluation, "gate_rise")
    limits = [remark for remark in evaluation.remarks if "does not show beside the jitter" in remark]
    assert len(limits) == 4
    first, second = found(evaluation, "gate_skew")
    assert second.value - first.value == pytest.approx(-5000, abs=20) or second.value - first.value == (
        pytest.approx(5000, abs=20)
    )


def test_gates_that_fill_the_period_and_plans_that_are_too_bright_are_refused():
    rng = np.random.default_rng(11)
    grid = PeriodGrid(4000.1, BINS, RESOLUTION_PS)
    counts = gate_counts(rng, grid, 2000.0, 1e5, 0.0, 900.0, 900.0)[None]
    with pytest.raises(NotEnoughCounts, match="leave no time between them in 4000 ps"):
        fit_gate(counts, np.ones_like(counts), grid, "channel 1")
    with pytest.raises(ValidationError, match=r"0\.5 clicks a gate of 1e\+06 ps: 0\.1 at most"):
        GateScanPlan(gate_period_ps=1e6, rate_hz=5e5)
