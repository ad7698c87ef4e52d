"""Detection efficiency with the curves of both attenuators, and counts made by hand."""

import numpy as np
import pytest

from qhal.calibration import Site, calibrate
from qhal.calibration.channel.attenuator_curve import CALIBRATION as CURVE
from qhal.calibration.channel.attenuator_curve import AttenuatorCurvePlan
from qhal.calibration.fitting.output_fractions import Counted, fit_outputs
from qhal.link.link_errors import NotEnoughCounts
from qhal.records.uncertain import exact, systematic
from tests.calibration.cases.detector import detection_efficiency as case_module
from tests.calibration.hidden import Case, World, hidden_world, run_case

CASE: Case = case_module.CASE


def curve_record(hidden, folder, name, other):
    devices = {"source": hidden.node.source("laser"), "attenuator": hidden.node.attenuator(name)}
    devices |= {"auxiliary": hidden.node.attenuator(other), "meter": hidden.node.power_meter("switch")}
    devices |= {
        "detectors": hidden.node.detector("detectors"),
        "switch": hidden.node.optical_switch("switch"),
    }
    names = {"attenuator": name, "auxiliary": other, "source": "laser", "meter": "switch"}
    plan = AttenuatorCurvePlan(step_db=6.0, repetitions=2, readings=2, settle_s=0.0)
    return calibrate(CURVE, devices, plan, folder=folder, operator="test", site=Site("", names=names))


def test_curves_of_the_attenuators_take_their_errors_away(tmp_path):
    # Both are off by some tenths of a decibel at 40 dB: far more than the data sheet would have it.
    slopes = {
        "voa": {"slope_error": 0.015, "ripple_db": 0.0, "repeatability_db": 0.005},
        "second-voa": {"slope_error": 0.02, "ripple_db": 0.0, "repeatability_db": 0.005},
    }
    records = []

    def curves(hidden, folder):
        records[:] = [
            curve_record(hidden, folder, "voa", "second-voa"),
            curve_record(hidden, folder, "second-voa", "voa"),
        ]
        return records

    with_curves = Case(
        CASE.calibration, CASE.scenario, CASE.devices, CASE.plan, CASE.draw, CASE.truth, records=curves
    )
    with hidden_world(with_curves, 5, World(options=slopes)) as hidden:
        record = run_case(with_curves, hidden, tmp_path)
        true = hidden.scenario.detectors.efficiency
        without = run_case(CASE, hidden, tmp_path)
    assert record.uses == tuple(each.id for each in records)
    for n, efficiency in enumerate(true, 1):
        found = record.quantity("detection_efficiency", channel=n)
        assert abs(found.value - efficiency) < 4 * found.uncertainty
        assert {line.name for line in found.contributions} >= {
            line.name
            for line in without.quantity("detection_efficiency", channel=n).contributions
            if " at " not in line.name and line.name != "disagreement"
        } - {"moves of voa", "moves of second-voa"}
        # 1.2 dB, 30 %, are wrong without the curves.
        naive = without.quantity("detection_efficiency", channel=n)
        assert abs(naive.value - efficiency) > 3 * abs(found.value - efficiency)
        assert abs(naive.value - efficiency) > 0.15 * efficiency


def counted(fractions, y=(2e4, 1.5e4, 1e4, 2.5e4), dead_time_s=50e-9, period_s=100.0):
    """Expected counts (rounded) for given first outputs' fractions (rows, 2), in two visits of strengths 1 and 0.3."""
    fractions = np.array(fractions)
    visit = np.arange(len(fractions)) % 2
    light = (
        np.stack((fractions, 1 - fractions), axis=2).reshape(len(fractions), 4)
        * np.array((1, 0.3))[visit][:, None]
    )
    rate = light * y + 100.0
    counts = np.round(rate / (1 + rate * dead_time_s) * period_s)
    dark = np.full((1, 4), round(100.0 / (1 + 100.0 * dead_time_s) * 1000.0), float)
    return Counted(counts, np.full(len(fractions), period_s), visit, dark, np.array([1000.0]))


def test_unknown_polarizations_determine_the_rates():
    fractions = [(0.1, 0.8), (0.3, 0.2), (0.9, 0.5), (0.6, 0.95), (0.45, 0.4), (0.02, 0.05)]
    found = fit_outputs(counted(fractions), systematic("dead time", 50e-9, 5e-9), analysers=True)
    assert [value.nominal_value for value in found.rates_hz] == pytest.approx(
        [2e4, 1.5e4, 1e4, 2.5e4], rel=1e-4
    )
    assert found.strengths[1].nominal_value == pytest.approx(0.3, rel=1e-4)
    assert found.fit.chi2 < 0.1
    shifts = [
        value.derivatives[variable] * variable.std_dev
        for value in found.rates_hz[:1]
        for variable in value.derivatives
        if variable.tag.name == "dead time"
    ]
    # 5 ns more at 2e4 /s: between nothing and all of 1e-4, by how bright the rows were.
    assert len(shifts) == 1
    assert 0 < shifts[0] < 2.5


def test_polarizations_that_are_alike_determine_nothing():
    with pytest.raises(NotEnoughCounts, match="do not determine"):
        fit_outputs(counted([(0.4, 0.6)] * 6), exact(50e-9), analysers=True)
