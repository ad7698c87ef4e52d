"""The journal of what was measured: what cannot be written, or is none, is told in one line."""

import errno

import pytest

from qhal.calibration.calibrate import calibrate
from qhal.calibration.journal import Journal
from qhal.errors import ConfigurationError, DataError, InvalidRecord
from tests.calibration.hidden import devices_of, hidden_world
from tests.calibration.test_cases import CASES

CASE = CASES["dark_counts"]


class Full:
    """A file on a disk with room for some bytes."""

    def __init__(self, file, room):
        self._file, self._room = file, room

    def write(self, data):
        if self._room < len(data):
            raise OSError(errno.ENOSPC, "No space left on device")
        self._room -= len(data)
        return self._file.write(data)

    def __getattr__(self, name):
        return getattr(self._file, name)


def test_a_folder_that_is_none(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "x"):
        with pytest.raises(ConfigurationError, match="file"):
            Journal.create(folder / "a.partial.jsonl", {})


def test_a_full_disk(tmp_path):
    path = tmp_path / "a.partial.jsonl"
    journal = Journal.create(path, {"plan": {}})
    journal._file = Full(journal._file, 40)
    journal.append("t", {"a": 1})
    with pytest.raises(DataError, match=r"a\.partial\.jsonl: No space left"):
        journal.append("t", {"a": 2})
    journal.close()
    again, _ = Journal.resume(path)
    again.close()
    assert again.rows == [("t", {"a": 1})]


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", DataError, "it has no line"),
        ('{"format": "qhal calibration journal"}\n', DataError, "does not say when it was started"),
        ('{"format": "qhal calibration journal", "started": "x"}\n', DataError, "does not say when"),
        ('{"format": "other"}\n', DataError, "no qhal calibration journal"),
    ],
)
def test_what_is_no_journal_is_refused_before_anything_is_sent(text, error, message, tmp_path):
    path = tmp_path / "a.partial.jsonl"
    path.write_text(text)
    with hidden_world(CASE, 1) as hidden, pytest.raises(error, match=message):
        calibrate(CASE.calibration, devices_of(CASE, hidden), CASE.plan, folder=tmp_path, resume=path)


def test_another_plan_is_told_by_what_differs(tmp_path):
    def interrupt(progress):
        raise KeyboardInterrupt

    with hidden_world(CASE, 1) as hidden:
        devices = devices_of(CASE, hidden)
        with pytest.raises(KeyboardInterrupt):
            calibrate(CASE.calibration, devices, CASE.plan, folder=tmp_path, tell=interrupt)
        (path,) = tmp_path.iterdir()
        other = CASE.plan.model_copy(update={"period_s": 9.0})
        with pytest.raises(InvalidRecord) as caught:
            calibrate(CASE.calibration, devices, other, folder=tmp_path, resume=path)
    assert str(caught.value) == f"{path}: another plan: period_s {CASE.plan.period_s} there, 9.0 now"
