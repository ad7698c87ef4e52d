"""Signals while devices are put back: nothing is left half done, and what is said of it is true."""

import os
import signal

import pytest

from qhal.calibration.framework import device_state, runner
from qhal.errors import ConfigurationError, DeviceError
from qhal.records.store import RecordStore
from tests.calibration.hidden import devices_of, hidden_world, run_case
from tests.calibration.test_cases import CASES

CASE = CASES["dark_counts"]


@pytest.fixture
def signalled(monkeypatch):
    """Let a Ctrl-C come while devices are put back, and one device refuse if told so."""

    def start(failures=()):
        def struck(remembered, *, ended_well):
            os.kill(os.getpid(), signal.SIGINT)
            found, states = real(remembered, ended_well=ended_well)
            return [*found, *failures], states

        real = device_state.restore
        monkeypatch.setattr(device_state, "restore", struck)

    return start


def test_ctrl_c_after_it_ended_well_is_told_when_the_record_is_kept(signalled, tmp_path):
    signalled()
    with hidden_world(CASE, 1) as hidden:
        with pytest.raises(KeyboardInterrupt) as caught:
            run_case(CASE, hidden, tmp_path)
        assert hidden.node.detector("detectors").status().states == ("off",) * 4
    (found,) = RecordStore(tmp_path).list()
    assert caught.value.__notes__ == [
        f"it had ended, and the devices are as they were before; record {found.record.id} is kept"
    ]
    assert not list(tmp_path.glob("*.jsonl"))


@pytest.mark.parametrize("refuses", [False, True])
def test_a_second_ctrl_c_hides_nothing(refuses, signalled, tmp_path):
    signalled([DeviceError("voa: stuck")] if refuses else [])

    def interrupt(progress):
        raise KeyboardInterrupt

    with hidden_world(CASE, 1) as hidden, pytest.raises(KeyboardInterrupt) as caught:
        run_case(CASE, hidden, tmp_path, on_progress=interrupt)
    safe, resume = caught.value.__notes__
    assert safe == (
        "not safe, or not as it was: voa: stuck" if refuses else "the devices are safe (detectors: safe)"
    )
    assert "continue with: resume" in resume


def test_one_device_does_not_play_two_roles(tmp_path):
    case = CASES["detection_efficiency"]
    with hidden_world(case, 1) as hidden:
        devices = devices_of(case, hidden)
        devices["second_attenuator"] = devices["attenuator"]
        with pytest.raises(ConfigurationError, match=r"voa cannot be .*attenuator .* at once"):
            runner.calibrate(case.calibration, devices, case.plan, folder=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_no_plan_takes_what_is_no_number(value):
    for values in ({"valid_days": value}, {"rate_hz": value}, {"light_fractions": [value] * 4}):
        with pytest.raises(ConfigurationError, match=r"finite number|less than or equal"):
            CASES["detection_efficiency"].calibration.check_values(values)
