"""Opening and writing files of tags: wrong requests are refused, and nothing is left half-written."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qhal.errors import ConfigurationError, DataError
from qhal.files import NewFile
from qhal.tags import arrow
from qhal.tags.batch import Gap, Loss, TagBatch
from qhal.tags.formats import FORMATS, TagWriter, open_tags
from qhal.tags.numbering import describe, falling, input_of, marker, marker_bits


def batch(times, channels, start=0, stop=10**6, **more):
    return TagBatch(np.array(times, np.int64), np.array(channels, np.uint8), start, stop, **more)


GAPS = st.builds(
    lambda start, stop, missed, loss, channels: Gap(
        start, stop, 0 if loss is Loss.PAUSED else missed, loss, channels
    ),
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
    batches = [replace(each, epoch=10 * n + each.epoch) for n, each in enumerate(batches)]
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


GOOD = batch([5, 6], [1, 1], 0, 10, epoch=1)


@pytest.mark.parametrize("name", [name for name, form in FORMATS.items() if form.encoder or not form.decoder])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (replace(GOOD, start_ps=9, stop_ps=20, times_ps=np.array([9, 10])), "comes after one that ends at 10 ps"),
        (replace(GOOD, epoch=0), "of epoch 0 on comes after"),
        (replace(GOOD, epoch=2**32), "epoch is 4294967296, a whole number from 0 to 4294967295"),
        (replace(GOOD, epoch=-1), "epoch is -1"),
        (replace(GOOD, epoch=1.5), "epoch is 1.5"),
        (replace(GOOD, epoch=2, stop_ps=2**63), "stop_ps of the span is 9223372036854775808"),
        (replace(GOOD, epoch=2, start_ps=7, stop_ps=6), "the span goes from 7 to 6 ps"),
        (replace(GOOD, epoch=2, gaps=(Gap(4, 3),)), "a gap goes from 4 to 3 ps"),
        (replace(GOOD, epoch=2, gaps=(Gap(3, 4, -1),)), "missed is -1"),
        (replace(GOOD, epoch=2, gaps=(Gap(3, 4, 1, Loss.PAUSED),)), "missed is 1, a whole number from 0 to 0"),
        (replace(GOOD, epoch=2, gaps=(Gap(3, 4, 1, "much"),)), "'much' is not a valid Loss"),
        (replace(GOOD, epoch=2, gaps=(Gap(3, 4, channels=(256,)),)), "a channel of a gap is 256"),
        (replace(GOOD, epoch=2, times_ps=np.array([5.0, 6.0])), "times_ps is not a one-dimensional array of int64"),
        (replace(GOOD, epoch=2, channels=np.array([1, 300])), "channels is not a one-dimensional array of uint8"),
        (replace(GOOD, epoch=2, channels=np.ones(3, np.uint8)), "2 times, 3 channels"),
    ],
)  # fmt: skip
def test_batches_that_cannot_be_are_not_written(name, wrong, message, tmp_path):
    with pytest.raises(DataError, match=message):
        with_one(tmp_path / "tags", name, replace(GOOD, times_ps=GOOD.times_ps * 1), wrong)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["Arrow", "Parquet"])
@pytest.mark.parametrize(
    ("second", "message"),
    [
        (replace(GOOD, start_ps=9, stop_ps=9, times_ps=GOOD.times_ps[:0], channels=GOOD.channels[:0]), "comes after"),
        (replace(GOOD, epoch=0), "comes after"),
        (replace(GOOD, epoch=2, times_ps=GOOD.times_ps[::-1].copy()), "out of order"),
        (replace(GOOD, epoch=2, stop_ps=6), "not in their span"),
    ],
)  # fmt: skip
def test_own_files_with_a_good_hash_are_checked_all_the_same(kind, second, message, tmp_path):
    path = tmp_path / "tags"
    file = NewFile(path)
    writer = getattr(arrow, f"{kind}Writer")(file)
    for each in (GOOD, second):
        writer.write(each)
    writer.close()
    file.commit()
    found = []
    with open_tags(path) as tags, pytest.raises(DataError, match=message):
        found.extend(tags)
    assert len(found) == 1


def test_large_pieces_are_read_ahead_and_a_reader_may_leave(tmp_path):
    count = 3 * arrow.ROWS_WORTH_A_THREAD
    times = np.arange(count)
    for name in ("arrow", "parquet"):
        with TagWriter(tmp_path / name, name) as writer:
            for n in range(4):
                start = n * count
                writer.write(batch(times + start, times % 4 + 1, start, start + count))
        threads = threading.active_count()
        with open_tags(tmp_path / name) as file:
            assert len(next(iter(file))) == count
        assert threading.active_count() == threads
        content = bytearray((tmp_path / name).read_bytes())
        content[len(content) // 3] ^= 8
        (tmp_path / name).write_bytes(content)
        with open_tags(tmp_path / name) as file, pytest.raises(DataError, match=r"altered|damaged"):
            assert sum(map(len, file)) < 0
        assert threading.active_count() == threads


@pytest.mark.parametrize("name", ["arrow", "parquet"])
def test_numbers_of_numpy_are_numbers(name, tmp_path):
    gap = Gap(np.int64(3), np.uint8(4), np.int32(5), Loss.EXACT, (np.uint8(2),))
    written = replace(GOOD, epoch=np.uint32(7), start_ps=np.int64(0), stop_ps=np.int64(10), gaps=(gap,))
    with_one(tmp_path / "tags", name, written)
    with open_tags(tmp_path / "tags") as file:
        (found,) = file
    assert (found.epoch, found.start_ps, found.stop_ps, found.gaps) == (7, 0, 10, (gap,))


def test_a_batch_that_waits_to_be_written_is_the_writers_own(tmp_path):
    times = np.array([1, 2], np.int64)
    with TagWriter(tmp_path / "tags.parquet") as writer:
        writer.write(replace(GOOD, times_ps=times))
        times[:] = 9
    with open_tags(tmp_path / "tags.parquet") as file:
        assert next(iter(file)).times_ps.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("swabian-dump", {"types": [0, 1, 2, 3, 256]}, "types"),
        ("swabian-dump", {"types": [0, 1, 2, 3, 3]}, "give five different numbers"),
        ("qutag-raw", {"first_channel": 20, "first_marker": 20}, "must be less than first_marker=20"),
        ("ptu", {"record_type": "Generic T2", "resolution_ps": "0.0001"}, "1e-16"),
        ("ptu", {"record_type": "Generic T3", "sync_period_ps": str(10**13)}, "sync_period_ps"),
        ("ptu", {"record_type": "Generic T2", "resolution_ps": "80.95531234567"}, None),
    ],
)
def test_options_with_which_no_reader_would_agree(name, options, message, tmp_path):
    if message is None:
        with_one(tmp_path / "tags", name, GOOD)
        return
    with pytest.raises(ConfigurationError, match=message):
        TagWriter(tmp_path / "tags", name, options)


def test_inputs_whose_numbers_would_be_markers_are_refused(tmp_path):
    options = {"first_channel": 1, "first_marker": 9}
    with (
        pytest.raises(DataError, match=r"qutag-raw holds no input 9; it holds 1\.\.8, 201\.\.215"),
        TagWriter(tmp_path / "tags", "qutag-raw", options) as writer,
    ):
        writer.write(batch([1, 2], [8, 9]))


@pytest.mark.parametrize("loss", [Loss.AT_LEAST, Loss.UNKNOWN])
def test_a_dump_makes_no_count_exact(loss, tmp_path):
    with pytest.raises(DataError, match="swabian-dump holds no such gaps"):
        with_one(tmp_path / "tags", "swabian-dump", replace(GOOD, gaps=(Gap(5, 7, 3, loss, (1,)),)))
    with TagWriter(tmp_path / "tags", "swabian-dump") as writer:
        writer.write(
            replace(
                GOOD,
                gaps=(Gap(5, 7, 0, Loss.PAUSED), Gap(5, 6, 0, Loss.EXACT), Gap(5, 6, 9, Loss.EXACT, (1,))),
            )
        )
    assert writer.paused_ps == 2
    with open_tags(tmp_path / "tags", "swabian-dump") as file:
        found = TagBatch.concatenate(file)
    assert (found.missed, {gap.loss for gap in found.gaps}) == (9, {Loss.EXACT})


@pytest.mark.parametrize("name", ["tdc1", "tdc1-64", "tdc2", "timestamp3"])
def test_tags_of_one_detector_in_one_step_are_all_kept(name, tmp_path):
    with TagWriter(tmp_path / "tags", name) as writer:
        writer.write(batch([2000, 2001, 2001, 2002, 4000], [1, 2, 1, 1, 1]))
    with open_tags(tmp_path / "tags", name) as file:
        found = TagBatch.concatenate(file)
    assert sorted(found.channels.tolist()) == [1, 1, 1, 1, 2]
    assert writer.rounded_ps == 2002 - found.times_ps[:-1].min()


def test_wrong_requests(tmp_path):
    path = tmp_path / "tags"
    path.write_bytes(b"")
    with pytest.raises(ConfigurationError, match="no such file"):
        open_tags(tmp_path / "absent")
    with pytest.raises(ConfigurationError, match=r"channel: Input should be less than or equal to 99$"):
        open_tags(path, "idq-bin", {"channel": 100})
    allowed = r"unknown key 'chanel'; did you mean 'channel'\? allowed: disorder_ps, map, skip, channel$"
    with pytest.raises(ConfigurationError, match=allowed):
        open_tags(path, "idq-bin", {"chanel": 1})
    with pytest.raises(ConfigurationError, match="tags: is not a plain file"):
        open_tags(tmp_path.rename(tmp_path.with_name("tags")), "idq-bin")
    tmp_path.with_name("tags").rename(tmp_path)
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
