"""Every calibration, over the wire: honest in worlds it describes, and a poor fit in those that it does not.

``make pulls`` runs 200 seeds of each and every world outside the model; ``make test`` one seed of each,
``make samples`` one world outside the model of every second calibration (the others are interrupted there).
"""

from collections import defaultdict
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

from qhal.calibration import CALIBRATIONS, save_picture
from qhal.calibration.framework.data import Data
from qhal.records.store import RecordStore
from tests.calibration import cases
from tests.calibration.hidden import Case, hidden_world, pulls_of, run_case, run_undisturbed, shown
from tests.calibration.pictures import drawn, faults

FOLDER = Path(cases.__file__).parent
CASES: dict[str, Case] = {
    path.stem: import_module(
        ".".join(("tests.calibration.cases", *path.relative_to(FOLDER).with_suffix("").parts))
    ).CASE
    for path in sorted(FOLDER.rglob("*.py"), key=lambda path: path.stem)
    if path.stem != "__init__"
}
NAMES = [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in CASES]
"""One worker runs all tests of a case: how long it is undisturbed is found out once."""
INTERRUPTED = frozenset(list(CASES)[::2])
"""Those that ``make samples`` interrupts."""
MISFITS = [(name, misfit) for name, case in CASES.items() for misfit in case.misfits]


def test_every_calibration_has_a_case():
    assert {case.calibration.name for case in CASES.values()} == set(CALIBRATIONS)
    assert all(case.misfits for case in CASES.values())


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", NAMES)
def test_finds_the_truth(name, tmp_path, request):
    case, seeds = CASES[name], request.config.getoption("--pull-seeds")
    pulls, poor, fits = defaultdict(list), 0, 0
    for seed in range(seeds):
        with hidden_world(case, seed) as hidden:
            if seed == 0:
                record = run_undisturbed(name, case, hidden, tmp_path)
                assert_kept_and_drawn(case, record, hidden, tmp_path)
            else:
                record = run_case(case, hidden, tmp_path)
            for quantity, values in pulls_of(record, case.truth(hidden, record)).items():
                pulls[quantity] += values
            worst = max(abs(pull) for values in pulls.values() for pull in values)
            assert worst < 6, shown(record)
        poor += sum(fit.poor for fit in record.fits)
        fits += len(record.fits)
    for quantity, values in pulls.items():
        count, mean, width = len(values), np.mean(values), np.std(values)
        request.node.user_properties.append((quantity, f"{mean:+.2f} {width:.2f} {count}"))
        print(f"{name:24}{quantity:28}{count:6} pulls, mean {mean:+.3f}, width {width:.3f}")  # noqa: T201
        assert abs(mean) <= max(0.3, 4 / np.sqrt(count)), (quantity, mean, count)
        assert abs(width - 1) <= max(0.2, 4 / np.sqrt(2 * count)), (quantity, width, count)
    assert poor <= 1 + fits / 200, f"{poor} of {fits} fits are poor"


@pytest.mark.long
@pytest.mark.parametrize(("name", "misfit"), MISFITS)
def test_reports_a_poor_fit(name, misfit, tmp_path, request):
    case = CASES[name]
    if request.config.getoption("--pull-seeds") == 1 and (
        name in INTERRUPTED or misfit != next(iter(case.misfits))
    ):
        pytest.skip("make pulls tries every world outside the model")
    with hidden_world(case, 1, case.misfits[misfit]) as hidden:
        record = run_case(case, hidden, tmp_path)
    assert record.quality == "poor fit", shown(record)
    assert any(fit.scaled for fit in record.fits)


FITS = (
    "qhal.calibration.detector.afterpulse.minimize",
    "qhal.calibration.fitting.clock_phase._likelihood",
    "qhal.calibration.fitting.fit.least_squares",
    "qhal.calibration.fitting.hazard_fit.minimize",
    "qhal.link.fibre_fit.least_squares",
)
"""The functions that all fits go through."""


def assert_drawn_from_its_parameters(record):
    with ExitStack() as without_fits:
        for name in FITS:
            without_fits.enter_context(patch(name, side_effect=AssertionError("a picture was fitted")))
        figure = drawn(record)
        assert not faults(figure)
        if any(fit.parameters for fit in record.fits):
            fits = [
                fit.model_copy(update={"parameters": {key: 1.01 * p for key, p in fit.parameters.items()}})
                for fit in record.fits
            ]
            other = drawn(record.model_copy(update={"fits": tuple(fits)}))
            assert lines_of(other) != lines_of(figure), "the picture does not follow the stored parameters"


def lines_of(figure):
    return [line.get_xydata().tolist() for axes in figure.axes for line in axes.lines]


def assert_kept_and_drawn(case, record, hidden, folder):
    kept = RecordStore(folder).load(record.id)
    assert kept.model_dump() == record.model_dump()
    again = case.calibration.evaluate(Data(kept.tables, hidden.records), case.plan)
    for found, stored in zip(again.quantities, kept.quantities, strict=True):
        assert (found.name, found.at, found.unit) == (stored.name, stored.at, stored.unit)
        # A fit may stop elsewhere for a rounding; well within what it says.
        assert abs(found.value - stored.value) <= 1e-3 * stored.uncertainty, found.name
        assert found.uncertainty == pytest.approx(stored.uncertainty, rel=1e-3), found.name
    assert not list(folder.glob("*.partial.jsonl"))
    rows = sum(len(table) for table in kept.tables.values())
    # What is kept once (levels, angles, darkness before and after) is not counted as a point.
    assert rows <= 1.3 * case.plan.extent().rows + 6, "the plan's extent is too small"
    assert_drawn_from_its_parameters(kept)
    save_picture(kept, folder / "picture.png")
    assert (folder / "picture.png").stat().st_size > 20_000
