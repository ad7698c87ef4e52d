"""The journal of what was measured: what cannot be written, or is none, is told in one line."""

import errno
import random
import subprocess
import sys
from pathlib import Path

import pytest

from qhal.calibration import calibrate
from qhal.calibration.framework.journal import FORMAT, Journal, line_of
from qhal.errors import Busy, ConfigurationError, DataError, InvalidRecord
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
    journal._file = Full(journal._file, 140)
    journal.append("t", {"a": 1})
    with pytest.raises(DataError, match=r"a\.partial\.jsonl: No space left"):
        journal.append("t", {"a": 2})
    journal._file._room = 1000
    journal.append("t", {"a": 3})
    journal.close()
    again, _ = Journal.resume(path)
    again.close()
    assert again.rows == [("t", {"a": 1}), ("t", {"a": 3})]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (line_of({"format": FORMAT}), "the time of its start is missing"),
        (line_of({"format": FORMAT, "started": "x"}), "the time of its start is missing"),
        (line_of({"format": "other"}), "not a qhal calibration journal"),
        (b'{"format": "qhal calibration journal"}\n', "line 1: altered or damaged"),
        (b"[" * 100_000 + b"\n", "not a qhal calibration journal"),
        (line_of({"format": FORMAT}).replace(b"}", b"]"), "line 1: altered or damaged"),
    ],
)
def test_what_is_no_journal_is_refused_before_anything_is_sent(content, message, tmp_path):
    path = tmp_path / "a.partial.jsonl"
    path.write_bytes(content)
    with hidden_world(CASE, 1) as hidden, pytest.raises(DataError, match=message):
        calibrate(CASE.calibration, devices_of(CASE, hidden), CASE.plan, folder=tmp_path, resume=path)


@pytest.fixture
def whole(tmp_path):
    """A journal of five rows, and what it holds."""
    path = tmp_path / "whole.partial.jsonl"
    journal = Journal.create(path, {"calibration": "x", "started": "now"})
    for n in range(5):
        journal.append("t", {"counts": 123456 + n, "bias_ua": 25.1, "v": float("nan") if n == 3 else n})
    journal.close()
    return path, journal.rows


def test_any_change_of_any_byte_is_told_with_its_line(whole):
    path, rows = whole
    content = path.read_bytes()
    last = content.rindex(b"\n", 0, -1) + 1
    rng = random.Random(1)
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        if place == len(content) - 1:  # the end of the last line: that is what a crash leaves
            journal, _ = Journal.resume(path)
            journal.close()
            assert len(journal.rows) == len(rows) - 1
            continue
        # A line that was cut in two is told as what it begins with.
        line = content.count(b"\n", 0, place) + 1
        message = rf"line {line}: altered or damaged|not a qhal calibration journal: it begins"
        with pytest.raises(DataError, match=message):
            Journal.resume(path)
        assert path.read_bytes() == changed
    assert last < len(content)


def test_lines_that_are_moved_left_out_or_doubled(whole):
    path, _ = whole
    lines = path.read_bytes().splitlines(keepends=True)
    for wrong, line in (
        ([0, 2, 1, 3, 4, 5], 2),
        ([0, 1, 3, 4, 5], 3),
        ([0, 1, 1, 2, 3], 3),
        ([1, 2, 3], None),
    ):
        path.write_bytes(b"".join(lines[n] for n in wrong))
        with pytest.raises(
            DataError, match=f"line {line}: altered" if line else "not a qhal calibration journal"
        ):
            Journal.resume(path)


def test_a_journal_may_end_anywhere_within_its_last_line(whole):
    path, rows = whole
    content = path.read_bytes()
    for end in range(content.rindex(b"\n", 0, -1) + 1, len(content)):
        path.write_bytes(content[:end])
        journal, header = Journal.resume(path)
        assert (len(journal.rows), header) == (4, {"calibration": "x", "started": "now"})
        journal.append(*rows[4])
        journal.close()
        assert path.read_bytes() == content


def test_two_processes_do_not_go_on_with_one_journal(whole):
    path, _ = whole
    first, _ = Journal.resume(path)
    code = "from pathlib import Path; from qhal.calibration.framework.journal import Journal; "
    code += f"Journal.resume(Path({str(path)!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50)
    assert "Busy" in done.stderr
    assert "another process has this journal open" in done.stderr
    with pytest.raises(Busy):
        Journal.resume(path)
    first.append("t", {"counts": 1})
    first.close()
    second, _ = Journal.resume(path)
    second.close()
    assert len(second.rows) == 6


def test_a_journal_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr("qhal.calibration.framework.journal.MOST_BYTES", 1000)
    path = tmp_path / "a.partial.jsonl"
    path.write_bytes(line_of({"format": FORMAT}) + b"x" * 1000)
    with pytest.raises(DataError, match="more than 1000 bytes"):
        Journal.resume(path)
    with pytest.raises(DataError, match="not a regular file"):
        Journal.resume(Path("/dev/zero"))


def test_another_plan_is_told_by_what_differs(tmp_path):
    def interrupt(progress):
        raise KeyboardInterrupt

    with hidden_world(CASE, 1) as hidden:
        devices = devices_of(CASE, hidden)
        with pytest.raises(KeyboardInterrupt):
            calibrate(CASE.calibration, devices, CASE.plan, folder=tmp_path, on_progress=interrupt)
        (path,) = tmp_path.iterdir()
        other = CASE.plan.model_copy(update={"period_s": 9.0})
        with pytest.raises(InvalidRecord) as caught:
            calibrate(CASE.calibration, devices, other, folder=tmp_path, resume=path)
    assert str(caught.value) == f"{path}: another plan: period_s {CASE.plan.period_s} there, 9.0 now"
