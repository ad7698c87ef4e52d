"""What the case of polarization-alignment does not show: it stays aligned, and goes on where it was interrupted."""

import pytest

from qhal.calibration import calibrate
from qhal.calibration.receiver.polarization_alignment import KnownReceiver
from tests.calibration.cases.receiver.polarization_alignment import CASE
from tests.calibration.hidden import devices_of, hidden_world

BEFORE_DEG = (40.0, 80.0, 120.0)


def interrupt_after(visits):
    """ProgressCallback a calibration's progress to somebody who interrupts it."""
    begun = []

    def tell(progress):
        begun.append(progress.stage == "settings" and progress.done == 0)
        if sum(begun) > visits:
            raise KeyboardInterrupt

    return tell


def test_stays_aligned_and_goes_on_after_an_interruption(tmp_path):
    with hidden_world(CASE, 5) as hidden:
        CASE.prepare(hidden)
        devices = devices_of(CASE, hidden)
        controller, attenuator = devices["polarization"], devices["attenuator"]
        controller.set_angles_deg(BEFORE_DEG)
        with pytest.raises(KeyboardInterrupt):
            calibrate(CASE.calibration, devices, CASE.plan, folder=tmp_path, on_progress=interrupt_after(3))
        assert controller.read_angles_deg() == pytest.approx(BEFORE_DEG, abs=0.1)
        assert not devices["source"].read_emitting()
        (journal,) = tmp_path.glob("*.partial.jsonl")
        kept = journal.read_text().splitlines()
        assert sum('"visit"' in line for line in kept) == 3

        attenuation_db = attenuator.read_attenuation_db()
        record = calibrate(CASE.calibration, devices, CASE.plan, folder=tmp_path, resume=journal)
        aligned_deg = [record.quantity("aligned_angle", channel=n).value for n in (1, 2, 3)]
        assert controller.read_angles_deg() == pytest.approx(aligned_deg, abs=1e-6)
        assert attenuator.read_attenuation_db() == attenuation_db
        assert record.quantity("error_rate").value < CASE.plan.target_error_rate
        visits = record.tables["settings"]["visit"].tolist()
        assert visits == list(range(1, len(visits) + 1))
        # Those of the first session are in it as they were.
        first = list(record.tables["settings"].rows())[:3]
        assert all(str(row["clicks"].tolist()).replace(" ", "") in journal_text(kept) for row in first)


def journal_text(lines):
    return "".join(lines).replace(" ", "")


def test_a_known_receiver_must_be_possible():
    assert KnownReceiver().model().matrix.sum() == pytest.approx(4)
    with pytest.raises(ValueError, match="not of length 1"):
        KnownReceiver(directions=((1, 0, 0), (1, 1, 0))).model()
