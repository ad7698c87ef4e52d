"""``qhal tags``: what is in a file, conversion and plots, and wrong requests."""

import json

import numpy as np
import pytest

from qhal.cli.tags import app
from qhal.errors import ConfigurationError
from qhal.tags.batch import Gap, Loss, TagBatch
from qhal.tags.formats import TagWriter, open_tags
from tests.cli import command


def qhal(*words):
    return command.qhal("tags", *words, check=False)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("tags") / "recording.parquet"
    rng = np.random.default_rng(1)
    times = np.sort(rng.integers(0, 10**12, 20_000))
    channels = rng.integers(1, 4, len(times)).astype(np.uint8)
    gap = Gap(3 * 10**11, 4 * 10**11, 7, Loss.EXACT, (2,))
    with TagWriter(path) as writer:
        writer.write(TagBatch(times, channels, 0, 10**12, gaps=(gap,)))
        writer.write(TagBatch(times[:5], channels[:5], 0, 10**12, epoch=1))
    return path


def test_info(recording):
    done = qhal("info", recording, "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 0
    assert (found["format"], found["tags"], found["missed"], found["gaps"]) == (
        "parquet",
        20_005,
        7,
        {"exact": 1},
    )
    assert found["channels"]["2"]["rate_hz"] == pytest.approx(found["channels"]["2"]["tags"] / 1.9)
    assert "input 2" in qhal("info", recording).stdout


def test_a_damaged_file_is_told_with_the_byte(recording, tmp_path):
    path = tmp_path / "tags.ptu"
    assert qhal("convert", recording, path, "--epoch", 1).returncode == 0
    path.write_bytes(path.read_bytes()[:-1])
    done = qhal("info", path)
    assert done.returncode == 1
    assert f"cut after 3 of 4 bytes of a record (byte {path.stat().st_size - 3})" in done.stderr
    assert "tags    4, missed 0" in done.stdout


def test_convert_and_plot(recording, tmp_path):
    target = tmp_path / "one.bin"
    done = qhal("convert", recording, target, "--to", "idq-bin", "-c", 1, "--epoch", 0)
    assert done.returncode == 0, done.stderr
    with open_tags(recording, channels=[1]) as file:
        expected = next(iter(file)).times_ps
    np.testing.assert_array_equal(np.fromfile(target, "<u8").astype(np.int64), expected)
    assert qhal("plot", recording, tmp_path / "picture.png").returncode == 0
    assert (tmp_path / "picture.png").read_bytes()[:4] == b"\x89PNG"


def test_a_recording_with_pauses_is_converted_and_they_are_told(tmp_path):
    source, target = tmp_path / "recording.arrows", tmp_path / "tags.ptu"
    step = 200_000_103_700
    with TagWriter(source) as writer:
        for n in range(5):
            times = n * step + np.arange(100) * 10**9
            gap = Gap((n + 1) * step - 103_700, (n + 1) * step, 0, Loss.PAUSED)
            batch = TagBatch(times, np.ones(100, np.uint8), n * step, (n + 1) * step, gaps=(gap,))
            writer.write(batch)
    done = qhal("convert", source, target)
    assert (done.returncode, done.stdout) == (0, f"500 tags in {target}\n")
    assert "5.18e-07 s in which the tagger paused" in done.stderr
    with TagWriter(source) as writer:
        lost = Gap(batch.start_ps, batch.stop_ps, 3, Loss.EXACT)
        writer.write(TagBatch(batch.times_ps, batch.channels, batch.start_ps, batch.stop_ps, gaps=(lost,)))
    done = qhal("convert", source, target)
    assert done.returncode == 1
    assert "--drop-gaps" in done.stderr
    assert qhal("convert", source, target, "--drop-gaps").returncode == 0


@pytest.mark.parametrize("how", ["same", "relative", "symbolic link", "hard link", "folder link"])
@pytest.mark.parametrize("command", ["convert", "plot"])
def test_a_file_is_never_its_own_target(command, how, recording, tmp_path, monkeypatch):
    source = tmp_path / "here" / "tags.png"
    source.parent.mkdir()
    source.write_bytes(recording.read_bytes())
    target = tmp_path / "other.png"
    if how == "same":
        target = source
    elif how == "relative":
        target = source.parent / ".." / "here" / "tags.png"
    elif how == "symbolic link":
        target.symlink_to(source)
    elif how == "hard link":
        target.hardlink_to(source)
    else:
        (tmp_path / "there").symlink_to(source.parent)
        target = tmp_path / "there" / "tags.png"
    to = ["--to", "arrow"] if command == "convert" else []
    with pytest.raises(ConfigurationError, match="is the file that is read"):
        app([command, str(source), str(target), *to], standalone_mode=False)
    assert source.read_bytes() == recording.read_bytes()
    assert [each.name for each in source.parent.iterdir()] == ["tags.png"]


def test_an_epoch_that_never_came(recording, tmp_path):
    done = qhal("convert", recording, tmp_path / "tags.arrows", "--epoch", 7)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no epoch 7; its epochs are 0, 1" in " ".join(done.stderr.split())
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_header_is_json_too(tmp_path):
    path = tmp_path / "tags.parquet"
    path.write_bytes(b"PAR1" + bytes(50))
    done = qhal("info", path, "--json")
    assert done.returncode == 1
    assert "no Parquet file" in json.loads(done.stdout)["error"]["message"]
    assert "no Parquet file" in done.stderr


def test_rounding_is_told(recording, tmp_path):
    target = tmp_path / "tags"
    done = qhal("convert", recording, target, "-t", "tdc1", "--epoch", 0, "--drop-gaps", "--json")
    assert done.returncode == 0, done.stderr
    assert 1900 < json.loads(done.stdout)["rounded_ps"] < 2000
    assert "ps earlier: the format has coarser steps" in " ".join(done.stderr.split())


def test_disorder_is_told(tmp_path):
    path = tmp_path / "tags"
    path.write_bytes(np.array([100, 200, 150], "<u8").tobytes())
    for words in (("info", path), ("convert", path, tmp_path / "t.parquet")):
        done = qhal(*words, "-f", "idq-bin")
        assert done.returncode == 0
        assert "1 tags came late, by up to 50 ps" in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("info", "absent"), 2, "no such file"),
        (("info", "{file}", "-f", "phu"), 2, "'phu'; allowed are arrow"),
        (("info", "{file}", "-o", "channel"), 2, "--option 'channel': KEY=VALUE is needed"),
        (("convert", "{file}", "{folder}/a.ptu"), 1, "ptu holds no gaps"),
        (("convert", "{file}", "{folder}/a.ptu", "--drop-gaps"), 1, "after epoch 0 comes 1"),
        (("convert", "{file}", "{folder}/a.tags"), 2, "neither content nor name says the format"),
        (
            ("convert", "{file}", "{folder}/a", "-t", "idq-bin"),
            1,
            "idq-bin holds no input 2, input 3; it holds 1",
        ),
        (("plot", "{file}", "{folder}/absent/a.png"), 2, "no folder"),
        (("plot", "{file}", "{folder}/a.xyz"), 2, "PICTURE must end in .png, .pdf or .svg"),
        (("plot", "{file}", "/proc/a.png"), 2, "/proc/a.png: cannot be written: No such file"),
        (("convert", "{file}", "/proc/a.parquet"), 2, "/proc/a.parquet: cannot be written: No such file"),
        (("convert", "{file}", "/dev/null", "-t", "arrow"), 2, "/dev/null: exists and is not a regular file"),
        (("convert", "{file}", "{folder}", "-t", "arrow"), 2, "exists and is not a regular file"),
    ],
)
def test_wrong_requests(words, code, message, recording, tmp_path):
    done = qhal(*(word.format(file=recording, folder=tmp_path) for word in words))
    assert done.returncode == code, done.stderr
    assert message in " ".join(done.stderr.split())
    assert list(tmp_path.iterdir()) == []
