"""The example notebooks run from the first cell to the last, and leave records and pictures."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from qhal.records.store import RecordStore

EXAMPLES = Path(__file__).parents[1] / "examples"
NOTEBOOKS = {
    "characterise_detector": {"dark-counts", "dead-time", "attenuator-curve", "detection-efficiency"},
    "set_up_transmitter": {"modulator", "polarization-modulator", "intensity-ratio", "mean-photon-number"},
    "bring_up_link": {"clock-offset", "polarization-alignment", "classical-noise"},
}
pytestmark = pytest.mark.timeout(200)


def test_all_notebooks_are_run():
    assert {path.stem for path in EXAMPLES.glob("*.py")} - {"bench"} == set(NOTEBOOKS)


@pytest.mark.long
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook(name, tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / f"{name}.py"],
        capture_output=True,
        text=True,
        timeout=180,
        cwd=tmp_path,
        env=os.environ | {"QHAL_EXAMPLE_FOLDER": str(tmp_path)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = RecordStore(tmp_path).list()
    assert {each.record.calibration for each in found} == NOTEBOOKS[name]
    assert all(each.record.quality == "good" for each in found)
    assert len(list(tmp_path.glob("*.png"))) > len(NOTEBOOKS[name])
