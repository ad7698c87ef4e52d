"""What holds for every codec: nothing is lost or made up, however the bytes are cut, compiled or not."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qhal.errors import DataError
from qhal.tags.batch import TagBatch
from qhal.tags.codecs import compiled
from qhal.tags.codecs.picoquant import LAYOUTS
from qhal.tags.formats import FORMATS, TagWriter, open_tags
from qhal.tags.numbering import marker

MADE = 3000
PTU = [("ptu", {"record_type": layout.name, "resolution_ps": 4}) for layout in LAYOUTS.values()]
WRITABLE = [
    *PTU,
    ("swabian-dump", {}),
    ("qutag-raw", {}),
    ("qutag-raw", {"unit_ps": "80.955"}),
    ("idq-bin", {"channel": 3}),
    ("tdc1", {}),
    ("tdc1-64", {}),
    ("tdc2", {}),
    ("tdc2", {"swapped": True}),
    ("timestamp3", {}),
    ("arrow", {}),
    ("parquet", {}),
]
IDS = [f"{name}-{'-'.join(map(str, options.values()))}" for name, options in WRITABLE]


def made(name, options, seed):
    """Return tags that the format can hold exactly."""
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.exponential(3e5, MADE)).astype(np.int64)
    times[MADE // 2 :] += 3 * 10**11  # longer than any time field
    channels = rng.integers(1, 5, MADE).astype(np.uint8)
    record = options.get("record_type", "")
    if record.endswith("T3"):
        period, step = 12_500, 4
        channels[rng.random(MADE) < 0.05] = marker(5)
        delay = np.where(channels == marker(5), 0, times % period // step * step)
        times = times // period * period + delay
    elif record.endswith("T2"):
        times = times // 64 * 64  # PicoHarp 300 keeps marker bits in the lowest four bits of a 4 ps time
        channels[rng.random(MADE) < 0.05] = marker(9)
        channels[rng.random(MADE) < 0.05] = 0
    elif name == "idq-bin":
        channels[:] = 3
    elif name == "swabian-dump":
        channels[rng.random(MADE) < 0.2] = 103
    unit = {"tdc1": 2000, "tdc1-64": 2000, "timestamp3": 125, "tdc2": Fraction(125, 32)}.get(
        name, Fraction(options.get("unit_ps", 1))
    )
    ticks = times * Fraction(unit).denominator // Fraction(unit).numerator
    times = ticks * Fraction(unit).numerator // Fraction(unit).denominator
    # One detector clicks once in a time step.
    key = np.unique(times * 256 + channels)
    return key // 256, (key % 256).astype(np.uint8)


def pieces(times, channels, count):
    """Cut tags into batches."""
    cuts = np.unique(np.searchsorted(times, times[:: len(times) // count]))
    bounds = [*cuts.tolist(), len(times)]
    ends = [int(times[stop]) if stop < len(times) else int(times[-1]) + 1 for stop in bounds[1:]]
    starts = [0, *ends[:-1]]
    return [
        TagBatch(times[a:b], channels[a:b], start, stop)
        for a, b, start, stop in zip(bounds, bounds[1:], starts, ends, strict=False)
    ]


def write(path, name, options, times, channels):
    with TagWriter(path, name, options) as writer:
        for batch in pieces(times, channels, 7):
            writer.write(batch)
    assert writer.written == len(times)


def read_options(name, options):
    return {} if name == "ptu" else options  # the header says it


@pytest.fixture(params=["compiled", "numpy"])
def how(request, monkeypatch):
    if request.param == "numpy":
        monkeypatch.setattr(compiled, "kernels", None)
    return request.param


@pytest.mark.parametrize(("name", "options"), WRITABLE, ids=IDS)
def test_what_is_written_is_read(name, options, how, tmp_path, monkeypatch):
    times, channels = made(name, options, 1)
    path = tmp_path / "tags"
    write(path, name, options, times, channels)
    for chunk in (1 << 22, 1013):
        monkeypatch.setattr("qhal.tags.formats._CHUNK_BYTES", chunk)
        with open_tags(path, name, read_options(name, options)) as file:
            batches = list(file)
        for before, after in zip(batches, batches[1:], strict=False):
            assert before.stop_ps == after.start_ps
        found = TagBatch.concatenate(batches)
        assert (np.diff(found.times_ps) >= 0).all()
        assert found.start_ps <= found.times_ps[0]
        assert found.times_ps[-1] < found.stop_ps
        order = np.lexsort((found.channels, found.times_ps))
        np.testing.assert_array_equal(found.times_ps[order], times)
        np.testing.assert_array_equal(found.channels[order], channels)


@pytest.mark.parametrize(("name", "options"), WRITABLE[:-2], ids=IDS[:-2])
def test_a_cut_file_names_the_byte_after_all_before_it(name, options, tmp_path):
    times, channels = made(name, options, 2)
    path = tmp_path / "tags"
    write(path, name, options, times, channels)
    whole = path.read_bytes()
    with open_tags(path, name, read_options(name, options)) as file:
        size = file._decoder.record.itemsize
    path.write_bytes(whole[:-1])
    found = []
    with (
        open_tags(path, name, read_options(name, options)) as file,
        pytest.raises(DataError, match=f"cut after {size - 1} of {size} bytes") as caught,
    ):
        found.extend(file)
    assert caught.value.offset == len(whole) - size
    assert sum(map(len, found)) >= len(times) - 4


@pytest.mark.parametrize("name", ["arrow", "parquet"])
def test_own_files_that_are_cut(name, tmp_path):
    times, channels = made(name, {}, 3)
    path = tmp_path / "tags"
    write(path, name, {}, times, channels)
    path.write_bytes(path.read_bytes()[:-2000])
    found = []
    with pytest.raises(DataError), open_tags(path, name) as file:
        found.extend(file)
    assert len(found) == (5 if name == "arrow" else 0)  # a batch is checked by what follows it


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=lambda layout: layout.name)
@settings(max_examples=50, deadline=None)
@given(
    words=st.lists(st.integers(0, 2**32 - 1), max_size=50),
    overflow=st.integers(0, 2**50),
    limit=st.integers(2**50, 2**50 + 2**40) | st.just(2**63 - 2),
)
def test_kernel_and_numpy_agree_on_any_words(layout, words, overflow, limit):
    from qhal.tags.codecs import picoquant

    raw = np.array(words, np.uint32)
    fields = (
        layout.time_bits, layout.dtime_bits, layout.channel_shift, layout.special_channel, layout.lowest,
        layout.highest, layout.offset, layout.wrap, layout.counted, overflow, overflow, 1 << 20, limit,
    )  # fmt: skip
    results = []
    for decode in (compiled.kernels.decode_picoquant, picoquant._decode_plainly):
        out = np.zeros(50, np.int64), np.zeros(50, np.uint8), np.zeros(50 * layout.is_t3, np.uint16)
        found = tuple(map(int, decode(raw, *fields, *out)))
        results.append((*found, *(a[: found[0]].tolist() for a in out)))
    assert results[0] == results[1]


@settings(max_examples=200, deadline=None)
@given(
    words=st.lists(st.integers(0, 2**64 - 1) | st.integers(2**63, 2**63 + 2**20), max_size=40),
    constant=st.sampled_from([0, 0x300]),
    dummy=st.sampled_from([0, 16]),
    before=st.integers(0, 2**54 - 1),
    base=st.integers(-1, 131).map(lambda wraps: wraps * (125 << 49)),
    tolerance=st.integers(0, 2**54) | st.integers(0, 2**14),
)
def test_kernel_and_numpy_agree_on_any_events(words, constant, dummy, before, base, tolerance):
    from qhal.tags.codecs import sfifteen

    raw = np.array(words, np.uint64) | np.uint64(constant)
    results = []
    for decode in (compiled.kernels.decode_patterns, sfifteen._decode_plainly):
        out = np.zeros(20_000, np.int64), np.zeros(20_000, np.uint8)
        found = decode(
            raw, 0, before, base, base, 10, 54, 125, 5, np.uint64(dummy), np.uint64(constant),
            tolerance, 2**63 - 2, *out, 0,
        )  # fmt: skip
        results.append((*map(int, found), out[0][: found[1]].tolist(), out[1][: found[1]].tolist()))
    assert results[0] == results[1]


@pytest.mark.parametrize(("name", "options"), WRITABLE, ids=IDS)
def test_channels_that_a_format_does_not_hold(name, options, tmp_path):
    if name in ("arrow", "parquet"):
        pytest.skip("holds every channel")
    path = tmp_path / "tags"
    batch = TagBatch(np.array([1_000_000], np.int64), np.array([99 + 101], np.uint8), 0, 2_000_000)
    with pytest.raises(DataError, match="holds no"), TagWriter(path, name, options) as writer:
        writer.write(batch)
    assert list(tmp_path.iterdir()) == []


def test_every_format_is_tried():
    assert {name for name, _ in WRITABLE} == set(FORMATS) - {"qutag-binary", "idq-bin-ref"}
