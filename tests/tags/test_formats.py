"""Opening and writing files of tags: wrong requests are refused, and nothing is left half-written."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qhal.errors import ConfigurationError, DataError
from qhal.tags.batch import Gap, Loss, TagBatch
from qhal.tags.formats import TagWriter, open_tags
from qhal.tags.numbering import describe, falling, input_of, marker, marker_bits


def batch(times, channels, start=0, stop=10**6, **more):
    return TagBatch(np.array(times, np.int64), np.array(channels, np.uint8), start, stop, **more)


GAPS = st.builds(
    Gap,
    st.integers(0, 500),
    st.integers(500, 1000),
    st.integers(0, 10**12),
    st.sampled_from(Loss),
    st.lists(st.integers(1, 20), max_size=3).map(tuple),
)
BATCHES = st.builds(
    lambda tags, gaps, epoch: batch(
        *zip(*sorted(tags), strict=True) if tags else ([], []), 0, 1000, epoch=epoch, gaps=tuple(gaps)
    ),
    st.lists(st.tuples(st.integers(0, 999), st.integers(0, 255)), max_size=20),
    st.lists(GAPS, max_size=3),
    st.integers(0, 3),
)


@pytest.mark.parametrize("name", ["arrow", "parquet"])
@settings(max_examples=30, deadline=None)
@given(batches=st.lists(BATCHES, max_size=6))
def test_own_files_keep_gaps_epochs_and_empty_batches(name, batches, tmp_path_factory):
    path = tmp_path_factory.mktemp("tags") / "own"
    with TagWriter(path, name) as writer:
        for each in batches:
            writer.write(each)
    with open_tags(path) as file:
        found = list(file)
    assert [(b.start_ps, b.stop_ps, b.epoch, b.gaps) for b in found] == [
        (b.start_ps, b.stop_ps, b.epoch, b.gaps) for b in batches
    ]
    for mine, theirs in zip(found, batches, strict=True):
        np.testing.assert_array_equal(mine.times_ps, theirs.times_ps)
        np.testing.assert_array_equal(mine.channels, theirs.channels)


def test_only_the_channels_asked_for(tmp_path):
    path = tmp_path / "tags.parquet"
    with TagWriter(path) as writer:
        writer.write(batch([1, 2, 3], [1, 2, 1], gaps=(Gap(5, 6, 1, Loss.EXACT, (2,)), Gap(7, 8))))
    with open_tags(path, channels=[1]) as file:
        (found,) = file
    assert (found.times_ps.tolist(), found.gaps) == ([1, 3], (Gap(7, 8),))


@pytest.mark.parametrize(
    ("content", "format", "message"),
    [
        (
            b"something else",
            None,
            r"neither content nor name says the format; name one of arrow \(.arrows\), parquet \(.parquet\), ptu",
        ),
        (b"something else", "ptu", r"no PTU file, it begins with b'somethin' \(byte 0\)"),
        (b"something else", "arrow", "no Arrow stream"),
        (b"something else", "parquet", "no Parquet file"),
        (b"something else", "qutag-binary", "cut within the header of 40 bytes"),
        (b"PQTTTR\0\x001.0.00\0\0", None, r"cut within the header \(byte 16\)"),
        (b"something else", "phu", "no format 'phu'; there are arrow"),
    ],
)
def test_files_of_the_wrong_kind(content, format, message, tmp_path):
    path = tmp_path / "tags"
    path.write_bytes(content)
    with pytest.raises((ConfigurationError, DataError), match=message):
        open_tags(path, format)


def test_a_table_that_holds_no_tags(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(DataError, match="no tags: its columns are a"):
        open_tags(tmp_path / "other.parquet")


@pytest.mark.parametrize("name", ["ptu", "idq-bin", "tdc2", "qutag-raw"])
def test_gaps_and_epochs_are_not_left_out_in_silence(name, tmp_path):
    lossy = batch([5, 6], [1, 1], gaps=(Gap(10, 20, 3, Loss.EXACT),))
    with pytest.raises(DataError, match="holds no gaps, and tags from 10 to 20 ps are missing"):
        with_one(tmp_path / "one", name, lossy)
    with pytest.raises(DataError, match="after epoch 0 comes 1"):
        with_one(tmp_path / "two", name, batch([5], [1]), batch([5], [1], epoch=1))
    assert list(tmp_path.iterdir()) == []
    with TagWriter(tmp_path / "three", name, drop_gaps=True) as writer:
        writer.write(lossy)
    assert writer.written == 2


def with_one(path, name, *batches):
    with TagWriter(path, name) as writer:
        for each in batches:
            writer.write(each)


def test_wrong_requests(tmp_path):
    path = tmp_path / "tags"
    path.write_bytes(b"")
    with pytest.raises(ConfigurationError, match="no such file"):
        open_tags(tmp_path / "absent")
    with pytest.raises(
        ConfigurationError, match=r"channel: Input should be less than or equal to 99 \(given: 100\)"
    ):
        open_tags(path, "idq-bin", {"channel": 100})
    with pytest.raises(
        ConfigurationError, match=r"chanel: Extra inputs.*; options are disorder_ps, map, skip, channel"
    ):
        open_tags(path, "idq-bin", {"chanel": 1})
    with pytest.raises(ConfigurationError, match=r"tdc2 has no channel 7; it has 1\.\.4$"):
        open_tags(path, "tdc2", channels=[1, 7])
    with pytest.raises(ConfigurationError, match=r"no channel 200; it has 0\.\.99, 101\.\.199, 201\.\.215$"):
        open_tags(path, "parquet", channels=[1, 200])
    with pytest.raises(ConfigurationError, match="qutag-binary is read only"):
        TagWriter(path, "qutag-binary")
    with pytest.raises(ConfigurationError, match="no folder"):
        TagWriter(tmp_path / "absent" / "tags.parquet")
    with pytest.raises(ConfigurationError, match="record_type 'T4'; known are PicoHarp 300 T2"):
        TagWriter(path, "ptu", {"record_type": "T4"})


@pytest.mark.parametrize("name", ["arrow", "parquet", "ptu", "tdc1"])
def test_nothing_is_left_half_written(name, tmp_path):
    path = tmp_path / "tags"
    path.write_bytes(b"what was there before")

    def interrupted():
        with TagWriter(path, name) as writer:
            writer.write(batch([1, 2000], [1, 2]))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [each.name for each in tmp_path.iterdir()] == ["tags"]
    assert path.read_bytes() == b"what was there before"


def test_numbering():
    assert [describe(c) for c in (0, 7, 107, 203)] == ["sync", "input 7", "input 7 falling", "marker 0b0011"]
    assert (input_of(falling(7)), marker_bits(marker(3)), input_of(0), marker_bits(7)) == (7, 3, None, None)
    for wrong in (0, 100):
        with pytest.raises(ValueError, match=r"there are 1\.\.99"):
            falling(wrong)
    for wrong in (0, 16):
        with pytest.raises(ValueError, match=r"there are 1\.\.15"):
            marker(wrong)
