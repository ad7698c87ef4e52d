"""Code density from counts made by hand: what the worlds of its case do not have."""

import numpy as np
import pytest
from pydantic import ValidationError

from qhal.calibration.clock.code_density import CodeDensityPlan, evaluate
from qhal.calibration.framework.data import Data
from qhal.link.link_errors import NotEnoughCounts
from qhal.records.record import Table

BINS, TURNS = 16, 12
PLAN = CodeDensityPlan(interpolator_bins=BINS, repetitions=3)


def measured(rng, fractions_of, tags=200_000):
    """Return data of three repetitions and two inputs; ``fractions_of(repetition, input)``: of the bins."""
    counts = [
        [
            rng.multinomial(tags, np.tile(fractions_of(n, channel), TURNS) / TURNS).reshape(TURNS, BINS)
            for channel in (1, 2)
        ]
        for n in range(3)
    ]
    return Data({"bins": Table({"counts": np.array(counts), "resolution_ps": np.full(3, 100.0)}, {})})


def fractions(rng, dnl):
    widths = rng.normal(1, dnl, BINS)
    return widths / widths.sum()


def found(evaluation, name):
    return [quantity for quantity in evaluation.quantities if quantity.name == name]


def poor(evaluation):
    return [fit.model for fit in evaluation.fits if fit.poor]


def test_equal_bins_have_no_dnl_however_few_tags_there_are():
    rng = np.random.default_rng(1)
    even, pulls = np.full(BINS, 1 / BINS), []
    for _ in range(200):
        evaluation = evaluate(measured(rng, lambda *_: even, 5000), PLAN)
        (variance,) = found(evaluation, "dnl_variance")
        pulls.append(variance.value / variance.uncertainty)
        assert not found(evaluation, "dnl_rms")
        assert not found(evaluation, "inl_peak_to_peak")
        assert "is below" in evaluation.remarks[0]
    assert abs(np.mean(pulls)) < 4 / np.sqrt(len(pulls))
    assert 0.75 < np.std(pulls) < 1.25


def test_recordings_that_begin_at_another_bin_are_noticed():
    rng = np.random.default_rng(2)
    bins = fractions(rng, 0.1)
    turned = evaluate(measured(rng, lambda n, _: np.roll(bins, n)), PLAN)
    assert poor(turned) == ["the same bins in all repetitions"]
    straight = evaluate(measured(rng, lambda *_: bins), PLAN)
    assert not poor(straight)
    assert found(turned, "bin_width")[3].uncertainty > 3 * found(straight, "bin_width")[3].uncertainty


def test_inputs_with_interpolators_of_their_own_are_calibrated_one_at_a_time():
    rng = np.random.default_rng(3)
    own = {1: fractions(rng, 0.1), 2: fractions(rng, 0.1)}
    data = measured(rng, lambda _, channel: own[channel])
    assert poor(evaluate(data, PLAN)) == ["the same bins in all inputs"]
    alone = evaluate(data, PLAN.model_copy(update={"inputs": (2,)}))
    assert not poor(alone)
    for width, fraction in zip(found(alone, "bin_width"), own[2], strict=True):
        assert abs(width.value - 100 * BINS * fraction) < 4.5 * width.uncertainty


def test_a_bin_that_is_never_hit_is_told_and_not_known_exactly():
    rng = np.random.default_rng(4)
    bins = fractions(rng, 0.1)
    bins[5] = 0
    evaluation = evaluate(measured(rng, lambda *_: bins / bins.sum()), PLAN)
    assert not poor(evaluation)
    width = found(evaluation, "bin_width")[5]
    assert width.value == 0
    assert 0 < width.uncertainty < 0.01
    assert evaluation.remarks == ["no tag has ever fallen into bins [5]"]


def test_too_few_tags_and_wrong_inputs_are_refused():
    rng = np.random.default_rng(5)
    even = np.full(BINS, 1 / BINS)
    with pytest.raises(NotEnoughCounts, match="6000 tags: 11520 are needed"):
        evaluate(measured(rng, lambda *_: even, 1000), PLAN)
    silent = measured(rng, lambda *_: even)
    silent["bins"]["counts"][1, 0] = 0
    with pytest.raises(NotEnoughCounts, match="an input has no tags"):
        evaluate(silent, PLAN)
    for inputs in ((), (1, 1), (0,)):
        with pytest.raises(ValidationError, match=r"0 is beyond 1 to 1000|different numbers from 1 on"):
            CodeDensityPlan(inputs=inputs)
