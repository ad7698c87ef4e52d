"""Files that are less orderly than their description: counts that do not hold, records out of order, odd channels."""

import struct
from fractions import Fraction

import numpy as np
import pytest

from qhal.errors import ConfigurationError, DataError
from qhal.tags.batch import TagBatch
from qhal.tags.codecs import compiled
from qhal.tags.codecs.picoquant import LAYOUTS, encode_words
from qhal.tags.codecs.ptu_header import build_header
from qhal.tags.formats import FORMATS, TagWriter, open_tags
from qhal.tags.numbering import falling

RAW = [name for name, form in FORMATS.items() if form.decoder is not None]


@pytest.fixture(params=["compiled", "numpy"])
def how(request, monkeypatch):
    if request.param == "numpy":
        monkeypatch.setattr(compiled, "kernels", None)


def read(path, format, options=None, chunk=None, monkeypatch=None):
    """Return all tags of a file and its error; what every reader owes is checked here."""
    found, error = [], None
    with open_tags(path, format, options) as file:
        try:
            found.extend(file)
        except DataError as raised:
            error = raised
        disorder = file.disorder
    for before, after in zip(found, found[1:], strict=False):
        assert before.stop_ps == after.start_ps
    whole = TagBatch.concatenate(found)
    assert (np.diff(whole.times_ps) >= 0).all()
    if len(whole):
        assert whole.start_ps <= whole.times_ps[0] <= whole.times_ps[-1] < whole.stop_ps
    return whole, error, disorder


# -- records that a header counts


def ptu(layout, count, words):
    header, at = build_header(layout, Fraction(1000), Fraction(4))
    return header[:at] + struct.pack("<q", count) + header[at + 8 :] + np.array(words, "<u4").tobytes()


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=lambda layout: layout.name)
@pytest.mark.parametrize("chunk", [1 << 22, 333])
def test_the_number_of_records_in_a_header_is_compared_with_what_came(layout, chunk, tmp_path, monkeypatch):
    monkeypatch.setattr("qhal.tags.formats._CHUNK_BYTES", chunk)
    ticks = np.arange(300, dtype=np.int64) * 3
    words, _ = encode_words(ticks, np.full(300, 2, np.uint8), np.zeros(300, np.uint16), layout)
    path = tmp_path / "tags.ptu"
    for count, handed_out, message in (
        (len(words), 300, None),
        (0, 300, None),
        (len(words) + 5, 300, f"{len(words)} of {len(words) + 5} records .*rest is missing"),
        (100, 100, "the header counts 100 records, and more follow"),
    ):
        content = ptu(layout, count, words)
        path.write_bytes(content)
        found, error, _ = read(path, None)
        assert len(found) == handed_out
        if message is None:
            assert error is None
        else:
            with pytest.raises(DataError, match=message):
                raise error
            assert error.offset == len(content) - 4 * (len(words) - min(count, len(words)))
    path.write_bytes(ptu(layout, -1, words))
    with pytest.raises(DataError, match="is -1, which is not a number of records"):
        open_tags(path)


# -- disorder

FRESH = {
    "swabian-dump": lambda t, c: struct.pack("<BBHiq", 0, 0, 0, c, t),
    "qutag-raw": lambda t, c: struct.pack("<qh", t, c - 1),
    "qutag-binary": lambda t, c: struct.pack("<qh", t, c - 1),
    "idq-bin": lambda t, c: struct.pack("<Q", t),
    "idq-bin-ref": lambda t, c: struct.pack("<QQ", t, 3),
    "tdc1": lambda t, c: struct.pack("<I", t // 2000 % 2**27 << 5 | 1 << (c - 1)),
    "tdc1-64": lambda t, c: struct.pack("<Q", t // 2000 % 2**45 << 19 | 1 << (c - 1)),
    "tdc2": lambda t, c: struct.pack("<Q", t * 32 // 125 % 2**54 << 10 | 0x300 | 1 << (c - 1)),
    "timestamp3": lambda t, c: struct.pack("<II", *divmod(t // 125 % 2**49 << 15 | 1 << (c - 1), 2**32)),
}
HEADERS = {"qutag-binary": bytes(40)}
START = {"tdc1": 2000 * (2**27 - 50_000), "tdc2": 125 * (2**49 - 10**6), "timestamp3": 125 * (2**49 - 10**6)}
"""Shortly before the time field wraps, where there is one."""


def test_every_raw_format_is_tried():
    assert set(FRESH) == set(RAW)


def late_times(name, by_ps):
    """Return times whose middle stands after what comes ``by_ps`` later, rounded so that every format holds them."""
    times = START.get(name, 0) + np.arange(1, 1001) * 200_000
    block = slice(480, 520)
    times[block] += by_ps // 2000 * 2000
    return np.concatenate((times[:480], times[block], times[520:]))


@pytest.mark.parametrize("name", RAW)
@pytest.mark.parametrize("chunk", [1 << 22, 1013])
def test_disorder_within_a_bound_is_put_in_order_and_told(name, chunk, how, tmp_path, monkeypatch):
    monkeypatch.setattr("qhal.tags.formats._CHUNK_BYTES", chunk)
    times = late_times(name, 30_000_000)
    path = tmp_path / "tags"
    path.write_bytes(HEADERS.get(name, b"") + b"".join(FRESH[name](int(t), 1) for t in times))
    found, error, disorder = read(path, name, {"disorder_ps": 40_000_000})
    assert error is None
    np.testing.assert_array_equal(found.times_ps, np.sort(times))
    highest = np.maximum.accumulate(times)
    assert disorder.late == np.count_nonzero(highest > times)
    assert disorder.furthest_ps == (highest - times).max()
    found, error, _ = read(path, name, {"disorder_ps": 10_000_000})
    assert len(found) >= 520
    size = len(FRESH[name](0, 1))
    assert error.offset == len(HEADERS.get(name, b"")) + size * int(np.argmax(highest - times > 10_000_000))
    with pytest.raises(DataError, match=r"before an earlier .*disorder_ps=10000000"):
        raise error


@pytest.mark.parametrize(
    ("name", "usual_ps"),
    [("tdc1", 97e6), ("tdc1-64", 97e6), ("tdc2", 97e6), ("timestamp3", 97e6), ("qutag-raw", 86e3), ("idq-bin", 86e3)],
)  # fmt: skip
def test_what_real_files_show_needs_no_option(name, usual_ps, tmp_path):
    times = late_times(name, int(usual_ps))
    path = tmp_path / "tags"
    path.write_bytes(b"".join(FRESH[name](int(t), 1) for t in times))
    found, error, _ = read(path, name)
    assert (len(found), error) == (1000, None)


def test_ptu_records_out_of_order(how, tmp_path):
    layout = LAYOUTS[0x01010204]
    words = [1000, 900, 2 << 25 | 100, 1100]
    path = tmp_path / "tags.ptu"
    path.write_bytes(ptu(layout, 4, words))  # 1 ns ticks
    found, error, disorder = read(path, None)
    assert (found.times_ps.tolist(), error) == ([100_000, 900_000, 1_000_000, 1_100_000], None)
    assert (disorder.late, disorder.furthest_ps) == (2, 900_000)
    found, error, _ = read(path, None, {"disorder_ps": "500000"})
    assert found.times_ps.tolist() == [900_000, 1_000_000]
    assert error.offset == path.stat().st_size - 8


@pytest.mark.parametrize("name", ["tdc1", "tdc1-64", "tdc2"])
def test_dummy_words_order_no_events(name, how, tmp_path):
    event = [FRESH[name](t, 1) for t in (10**9, 2 * 10**9, 3 * 10**9, 4 * 10**9)]
    number = int.from_bytes(FRESH[name](30 * 10**9, 1), "little")
    dummy = (number & ~1 | 16).to_bytes(len(event[0]), "little")
    path = tmp_path / "tags"
    path.write_bytes(dummy + event[0] + dummy + event[1] + event[2] + event[3] + dummy)
    found, error, disorder = read(path, name)
    assert error is None
    assert (np.diff(found.times_ps) == 10**9).all()
    assert disorder.late == 0
    assert found.stop_ps >= 30 * 10**9


def test_tags_that_may_all_be_late_are_not_held_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr("qhal.tags.codecs.codec._MOST_HELD", 5000)
    monkeypatch.setattr("qhal.tags.formats._CHUNK_BYTES", 8000)
    path = tmp_path / "tags"
    path.write_bytes(struct.pack("<Q", 7) * 20_000)
    found, error, _ = read(path, "idq-bin")
    assert 5000 < len(found) <= 6000
    with pytest.raises(DataError, match="more than 5000 tags within 1000000 ps"):
        raise error


@pytest.mark.parametrize("name", ["ptu", *RAW])
@pytest.mark.parametrize("wrong", ["-1", "1e6", str(10**13), "x"])
def test_a_bound_that_cannot_be(name, wrong, tmp_path):
    path = tmp_path / "tags"
    path.write_bytes(ptu(LAYOUTS[0x01010204], 0, [1]))
    with pytest.raises(ConfigurationError, match="disorder_ps: Input should"):
        open_tags(path, name, {"disorder_ps": wrong})


# -- channels


def numbered(name, rows):
    record = {"swabian-dump": lambda t, n: struct.pack("<BBHiq", 0, 0, 0, n, t)}.get(
        name, lambda t, n: struct.pack("<qh", t, n)
    )
    return HEADERS.get(name, b"") + b"".join(record(t, n) for t, n in rows)


ODD = {
    "swabian-dump": (1, (1001, 0, 101, 201, -201, -(2**31))),
    "qutag-raw": (0, (99, 115, 1001, -1, -(2**15))),
    "qutag-binary": (0, (99, 115, 1001, -1, -(2**15))),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("chunk", [1 << 22, 333])
def test_odd_channels_are_mapped_skipped_or_told_and_the_rest_is_read(name, chunk, tmp_path, monkeypatch):
    monkeypatch.setattr("qhal.tags.formats._CHUNK_BYTES", chunk)
    usual, odd = ODD[name]
    rng = np.random.default_rng(1)
    rows = [(1000 * n, usual) for n in range(300)]
    for place, number in zip(rng.choice(300, len(odd), replace=False), odd, strict=True):
        rows[place] = (rows[place][0], number)
    path = tmp_path / "tags"
    content = numbered(name, rows)
    path.write_bytes(content)
    size = len(numbered(name, rows[:1])) - len(HEADERS.get(name, b""))
    first = next(n for n, (_, number) in enumerate(rows) if number != usual)

    found, error, _ = read(path, name)
    assert found.times_ps.tolist() == [t for t, number in rows if number == usual]
    with pytest.raises(DataError, match=r"left out: .*channel 1001 \(1 of the records\).*map= or skip="):
        raise error
    assert error.offset == len(HEADERS.get(name, b"")) + first * size

    for skip in ("others", ",".join(map(str, odd))):
        found, error, _ = read(path, name, {"skip": skip})
        assert (len(found), error) == (300 - len(odd), None)
    mapped = {number: 50 + n for n, number in enumerate(odd)}
    for given in (mapped, ",".join(f"{number}:{channel}" for number, channel in mapped.items())):
        found, error, _ = read(path, name, {"map": given})
        assert error is None
        assert found.channels.tolist() == [mapped.get(number, 1) for _, number in rows]


def test_ranges_of_channels_in_a_map(tmp_path):
    rows = [(n, number) for n, number in enumerate([0, 7, 101, 118, -101, -118, 1001])]
    path = tmp_path / "tags"
    path.write_bytes(numbered("swabian-dump", rows))
    options = {"map": "0..7:1,101..118:11,-101..-118:111", "skip": "1000..1009"}
    found, error, _ = read(path, "swabian-dump", options)
    assert error is None
    assert found.channels.tolist() == [1, 8, 11, 28, falling(11), falling(28)]


@pytest.mark.parametrize("name", ["ptu", *RAW])
def test_any_format_maps_and_skips(name, tmp_path):
    path = tmp_path / "tags"
    content = ptu(LAYOUTS[0x01010204], 0, range(9))
    if name in FRESH:
        content = HEADERS.get(name, b"") + b"".join(FRESH[name](10**9 * (n + 1), 1) for n in range(9))
    path.write_bytes(content)
    number = 0 if name.startswith("qutag") else 1
    assert read(path, name, {"map": {number: 77}})[0].channels.tolist() == [77] * 9
    assert len(read(path, name, {"skip": str(number)})[0]) == 0


@pytest.mark.parametrize(
    ("option", "wrong", "message"),
    [
        ("map", "1", "give NUMBER:CHANNEL"),
        ("map", "1:250", "channel 250 does not exist"),
        ("map", "x:1", "'x' is not a channel"),
        ("map", "0..999:1", "at most 256 channels"),
        ("skip", "x", "'x' is not a channel"),
        ("skip", "1...2", "is not a channel"),
    ],
)
def test_maps_that_cannot_be(option, wrong, message, tmp_path):
    path = tmp_path / "tags"
    path.write_bytes(b"")
    with pytest.raises(ConfigurationError, match=message):
        open_tags(path, "swabian-dump", {option: wrong})


def test_a_gap_does_not_shrink_where_records_are_held_back(tmp_path):
    rows = [(0, 0, 1, 100), (2, 0, 0, 200), (4, 7, 1, 300), (3, 0, 0, 500), (0, 0, 1, 450), (0, 0, 1, 600)]
    path = tmp_path / "tags"
    path.write_bytes(b"".join(struct.pack("<BBHiq", kind, 0, missed, c, t) for kind, missed, c, t in rows))
    found, error, disorder = read(path, "swabian-dump", {"disorder_ps": 100})
    assert (error, disorder.late, found.missed) == (None, 1, 7)
    assert found.times_ps.tolist() == [100, 450, 600]
    assert found.live_time_s() == pytest.approx((601 - 100 - 300) * 1e-12)


def test_tags_out_of_order_are_not_written(tmp_path):
    good = TagBatch(np.array([1, 2]), np.ones(2, np.uint8), 0, 10)
    for name, form in FORMATS.items():
        if form.encoder is None and form.decoder is not None:
            continue
        for wrong in ([5, 4], [-1, 5], [5, 10]):
            batch = TagBatch(np.array(wrong), np.ones(2, np.uint8), 0, 10)
            with pytest.raises(DataError, match=r"order|span"):
                write(tmp_path / "tags", name, good, batch)
    assert list(tmp_path.iterdir()) == []


def write(path, name, *batches):
    with TagWriter(path, name) as writer:
        for batch in batches:
            writer.write(batch)
