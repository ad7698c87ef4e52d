"""A new file is there whole or not at all, whatever goes wrong, for every format of tags and for pictures."""

import errno
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from qhal.errors import Busy, ConfigurationError, DataError
from qhal.files import NewFile, read_whole, write_whole
from qhal.tags.batch import TagBatch
from qhal.tags.formats import FORMATS, TagWriter, open_tags

WRITABLE = [name for name, form in FORMATS.items() if form.encoder is not None or form.decoder is None]


def tags(count=20_000, start=0):
    times = start + np.arange(count, dtype=np.int64) * 50_000
    return TagBatch(times, np.ones(count, np.uint8), start, start + count * 50_000)


@pytest.fixture
def full(monkeypatch):
    """Make every disk full after so many bytes."""

    class Full:
        def __init__(self, file, room):
            self._file, self._room = file, room

        def write(self, data):
            self._room -= memoryview(data).nbytes
            if self._room < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return self._file.write(data)

        def close(self):
            self._file.close()
            if self._room < 0:  # what was buffered fails once more
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def __getattr__(self, name):
            return getattr(self._file, name)

    fdopen = os.fdopen

    def start(room):
        monkeypatch.setattr(os, "fdopen", lambda *words: Full(fdopen(*words), room))

    return start


@pytest.mark.parametrize("name", WRITABLE)
@pytest.mark.parametrize("room", [0, 100, 500, "all but the end"])
def test_a_full_disk_leaves_one_typed_error_and_nothing_else(name, room, full, tmp_path):
    path = tmp_path / "tags"
    path.write_bytes(b"before")
    if room == "all but the end":
        write(tmp_path / "whole", name, 2)
        room = (tmp_path / "whole").stat().st_size - 1
        (tmp_path / "whole").unlink()
    if name not in ("ptu", "arrow", "parquet") and room == 0:
        room = 1
    descriptors = len(os.listdir("/proc/self/fd"))
    full(room)
    with pytest.raises(DataError, match="tags: cannot be written: No space left on device"):
        write(path, name, 2)
    assert path.read_bytes() == b"before"
    assert [each.name for each in tmp_path.iterdir()] == ["tags"]
    assert len(os.listdir("/proc/self/fd")) == descriptors


def write(path, name, batches):
    with TagWriter(path, name) as writer:
        for n in range(batches):
            writer.write(tags(start=n * 10**9))


def test_a_full_disk_when_the_file_is_put_on_the_disk(monkeypatch, tmp_path):
    def fail(descriptor):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(DataError, match="Input/output error"):
        write(tmp_path / "tags", "arrow", 1)
    with pytest.raises(ConfigurationError, match="Input/output error"):
        write_whole(tmp_path / "tags", b"x")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_made(tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name, message in (
        ("folder", "not a regular file"),
        ("pipe", "not a regular file"),
        ("absent/a", "no folder"),
        ("x" * 250, "File name too long"),
        ("a\0b", "null"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            TagWriter(tmp_path / name, "arrow")
    for path in ("/proc/x", "/dev/null"):
        with pytest.raises(ConfigurationError):
            TagWriter(path, "arrow")


def test_no_link_is_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "tags.part").symlink_to(victim)
    (tmp_path / "tags").symlink_to(victim)
    with pytest.raises(ConfigurationError, match="not a regular file"):
        write(tmp_path / "tags", "arrow", 1)
    (tmp_path / "tags").unlink()
    write(tmp_path / "tags", "arrow", 1)
    assert victim.read_text() == "precious"
    assert not (tmp_path / "tags").is_symlink()


def test_a_second_writer_is_told_before_it_begins(tmp_path):
    path = tmp_path / "tags.arrows"
    code = f"from qhal.tags.formats import TagWriter; TagWriter({str(path)!r})"
    with TagWriter(path) as first:
        first.write(tags())
        with pytest.raises(Busy, match="is being written by another program"):
            TagWriter(path)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50)
        assert "Busy" in done.stderr
        write(tmp_path / "tags.arrows.2", "arrow", 1)  # another name
    assert sorted(each.name for each in tmp_path.iterdir()) == ["tags.arrows", "tags.arrows.2"]
    with open_tags(path) as file:
        assert sum(map(len, file)) == 20_000
    write(path, "arrow", 1)  # and now it is free


def test_a_writer_that_was_killed_blocks_nobody(tmp_path):
    path = tmp_path / "tags.arrows"
    code = f"from qhal.tags.formats import TagWriter; import os, signal; w = TagWriter({str(path)!r}); os.kill(os.getpid(), {int(signal.SIGKILL)})"  # noqa: E501
    assert subprocess.run([sys.executable, "-c", code], timeout=50).returncode == -signal.SIGKILL
    assert not path.exists()
    write(path, "arrow", 1)
    assert path.exists()


def test_a_file_that_nobody_commits_is_not_there(tmp_path):
    NewFile(tmp_path / "a").close()
    file = NewFile(tmp_path / "a")
    file.write(b"x")
    file.discard()
    file.write(b"nothing happens")
    with pytest.raises(DataError, match="was discarded"):
        file.commit()
    writer = TagWriter(tmp_path / "b.parquet")
    writer.write(tags(10))
    del writer
    assert list(tmp_path.iterdir()) == []


def test_what_others_name_is_read_with_a_limit(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 100)
    os.mkfifo(tmp_path / "pipe")
    assert read_whole(tmp_path / "a", 100) == b"x" * 100
    for path, message in (
        (tmp_path / "a", "more than 99 bytes"),
        ("/dev/full", "not a regular file"),
        (tmp_path / "pipe", "not a regular file"),
        (tmp_path, "not a regular file|Is a directory"),
        (tmp_path / "b", "no such file"),
    ):
        with pytest.raises(DataError, match=message):
            read_whole(path, 99)


def test_the_umask_decides_who_may_read(tmp_path):
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "a", b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640
