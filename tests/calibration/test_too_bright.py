"""Scans that would become too bright for the detectors end before, or at once."""

import pytest

from qhal.errors import DeviceError
from tests.calibration.cases.channel import classical_noise
from tests.calibration.cases.receiver import filter_scan
from tests.calibration.hidden import Case, World, hidden_world, run_case


def refused(case: Case, plan, match, tmp_path, more=None):
    changed = Case(**{**vars(case), "plan": plan})
    with hidden_world(changed, 1, more) as hidden:
        with pytest.raises(DeviceError, match=match):
            run_case(changed, hidden, tmp_path)
        for name in ("quantum-laser", "classical-laser"):
            source = hidden.node.source(name)
            # A customer's light is as it was before.
            assert source.device.carries_traffic or not source.read_emitting()


def test_a_classical_power_that_would_be_too_bright_is_not_set(tmp_path):
    plan = classical_noise.PLAN.model_copy(update={"largest_rate_hz": 6e4})
    refused(classical_noise.CASE, plan, "13 dBm would give .* more than largest_rate_hz 60000", tmp_path)
    (journal,) = tmp_path.glob("*.partial.jsonl")
    assert all(f'"level": {level}' in journal.read_text() for level in (0, 1, 2))
    assert '"level": 3' not in journal.read_text()


def test_a_filter_far_from_the_laser_is_told(tmp_path):
    plan = filter_scan.PLAN.model_copy(update={"rate_hz": 1e4, "largest_rate_hz": 1e5})
    far = World(
        {"receiver": {"filter_order": 1, "filter_bandwidth_ghz": 20.0, "filter_centre_offset_ghz": 24.0}}
    )
    refused(filter_scan.CASE, plan, "the filter is far from 194.4000 THz", tmp_path, far)
