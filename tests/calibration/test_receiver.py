"""What a record of the receiver is good for: an alignment that knows the receiver; and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from qhal.calibration import Site, calibrate
from qhal.calibration.detector.polarization_dependence import PolarizationDependencePlan, evaluate
from qhal.calibration.fitting.receiver_fit import receiver_model
from qhal.calibration.framework.data import Data
from qhal.calibration.receiver.polarization_alignment import KnownReceiver
from qhal.errors import ConfigurationError
from qhal.link.link_errors import NotEnoughCounts
from qhal.link.retarders import controller_rotation
from qhal.records.record import Table
from tests.calibration.cases.receiver import polarization_alignment, receiver_matrix
from tests.calibration.hidden import World, devices_of, hidden_world, run_case, shown

UNEVEN = World(
    {
        "receiver": {
            "basis_split": 0.6,
            "leaks": (0.02, 0.06, 0.05, 0.01),
            "analyser_tilt_deg": (9.0, -8.0),
        }
    }
)


@pytest.mark.long
def test_alignment_with_the_receiver_that_was_found(tmp_path):
    case = receiver_matrix.CASE
    with hidden_world(case, 4, UNEVEN) as hidden:
        record = run_case(case, hidden, tmp_path)
        model = receiver_model(record)
        told = [
            [record.quantity("receiver_matrix", state=s, detector=d).value for d in range(4)]
            for s in range(4)
        ]
        assert model.matrix == pytest.approx(np.array(told), abs=1e-9)
        known = KnownReceiver.of(record)
        assert known.model().directions == pytest.approx(model.directions)
        aligning = polarization_alignment.CASE
        assert aligning.calibration.plan_at(Site(), {}, [record]).receiver == known
        plan = aligning.plan.model_copy(update={"target_error_rate": 0.06})
        qualities, rates = {}, {}
        for name, receiver in (("found", known), ("ideal", KnownReceiver())):
            with_receiver = replace(aligning, plan=plan.model_copy(update={"receiver": receiver}))
            aligned = run_case(with_receiver, hidden, tmp_path)
            qualities[name] = aligned.quality
            rates[name] = aligned.quantity("error_rate").value
        assert qualities == {"found": "good", "ideal": "poor fit"}, shown(aligned)
        assert rates["found"] < rates["ideal"] + 0.002


def test_another_number_of_paddles_is_refused_before_anything_is_sent(tmp_path):
    case = receiver_matrix.CASE
    with hidden_world(case, 4) as hidden:
        devices = devices_of(case, hidden)
        plan = case.plan.model_copy(update={"retardances_pi": (0.5, 1.0)})
        with pytest.raises(ConfigurationError, match="retardances_pi: 2 values, polarization has 3 paddles"):
            calibrate(case.calibration, devices, plan, folder=tmp_path)


PLAN = PolarizationDependencePlan(settings=16, period_s=1.0)


def counted(vectors, seed=0):
    """Counts of detectors with these vectors, written out."""
    rng = np.random.default_rng(seed)
    angles_deg = rng.uniform(0, 170, (16, 3))
    stokes = controller_rotation(angles_deg, np.pi * np.array(PLAN.retardances_pi)) @ [0.6, 0.0, 0.8]
    rate = 1e5 * (1 + stokes @ np.array(vectors).T) + 100.0
    counts = rng.poisson(rate / (1 + rate * PLAN.dead_time_ns * 1e-9))
    settings = Table({"counts": counts, "period_s": np.ones(16), "reached_deg": angles_deg}, {})
    dark = Table({"counts": rng.poisson(1000, (1, len(vectors))), "period_s": np.full(1, 10.0)}, {})
    return Data({"settings": settings, "dark": dark})


def test_no_dependence_is_a_bound_and_no_number():
    found = evaluate(counted([[0.2, 0.1, 0.0], [0.0, 0.0, 0.0]]), PLAN)
    (only,) = found.quantities
    assert only.at == {"channel": 1}
    length = np.hypot(0.2, 0.1)
    assert only.value == pytest.approx(10 * np.log10((1 + length) / (1 - length)), abs=4 * only.uncertainty)
    assert only.uncertainty < 0.1
    (remark,) = [each for each in found.remarks if "channel 2" in each]
    assert "below 0.0" in remark


def test_a_dark_detector_is_not_evaluated():
    data = counted([[0.2, 0.1, 0.0], [0.0, 0.0, 0.0]])
    data["settings"]["counts"][3, 1] = 0
    with pytest.raises(NotEnoughCounts, match=r"channels \[2\]"):
        evaluate(data, PLAN)
