"""A loss budget that does not add up, and one between two monitors."""

import pytest

from qhal.calibration import calibrate
from qhal.calibration.channel.loss_budget import CALIBRATION, LossBudgetPlan
from qhal.calibration.inputs.path_loss import PathLoss
from tests.calibration.cases.channel.loss_budget import CASE, PLAN
from tests.calibration.hidden import OF_OTHERS, World, hidden_world, run_case


def test_a_part_that_loses_more_is_the_excess(tmp_path):
    loses_more = World({"transmitter": {"modulator_loss_db": PLAN.path[0].loss_db + 1.5}})
    with hidden_world(CASE, 3, loses_more) as hidden:
        record = run_case(CASE, hidden, tmp_path)
    excess = record.quantity("excess_loss")
    assert abs(excess.value - 1.5) < 4 * excess.uncertainty
    assert excess.uncertainty < 0.3, "the excess is a finding, no failure of the measurement"
    repeated, levels, parts = record.fits
    assert (repeated.poor, levels.poor, parts.poor) == (False, False, True)
    assert record.quality == "poor fit"


@pytest.mark.parametrize("declared_db", [1.0, 2.5])
def test_between_two_monitors_the_attenuators_are_no_part(tmp_path, declared_db):
    path = (PathLoss(name="switch", loss_db=declared_db, uncertainty_db=0.1),)
    plan = LossBudgetPlan(start_channel=1, end_channel=17, ingress=1, egress=17, path=path, repetitions=2)
    with hidden_world(CASE, 3, World({"channel": {"switch_loss_db": 1.03}})) as hidden:
        devices = {role: getattr(hidden.node, kind)(CASE.devices[role]) for role, kind in KINDS.items()}
        record = calibrate(CALIBRATION, devices, plan, folder=tmp_path, operator="test")
        assert hidden.node.optical_switch("switch").read_pattern() == dict([OF_OTHERS])
    loss = record.quantity("loss")
    assert abs(loss.value - 1.03) < 4 * loss.statistical
    assert record.quantity("excess_loss").value == pytest.approx(1.03 - declared_db, abs=0.02)
    assert not any("voa" in line.name for line in record.quantity("excess_loss").contributions)
    assert (record.quality == "good") is (declared_db == 1.0)


KINDS = {
    "source": "source",
    "attenuator": "attenuator",
    "second_attenuator": "attenuator",
    "meter": "power_meter",
    "detectors": "detector",
    "switch": "optical_switch",
}
