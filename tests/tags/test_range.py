"""Times in 64 bits: exact up to 2^63 ps whatever the unit and the format, and refused beyond, reading and writing."""

import struct
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qhal.errors import ConfigurationError, DataError
from qhal.tags.batch import TagBatch
from qhal.tags.codecs import compiled
from qhal.tags.codecs.picoquant import LAYOUTS
from qhal.tags.codecs.ptu_header import build_header
from qhal.tags.codecs.units import MAX_PS, beyond, last_tick, last_time, meant, to_ps, to_ticks
from qhal.tags.formats import FORMATS, TagWriter, open_tags

UNITS = ("80.9553", "1/3", "125/32", "999.999999999", "1000003/7", "73000", "0.004")
T2 = [layout.name for layout in LAYOUTS.values() if not layout.is_t3]
T3 = [layout.name for layout in LAYOUTS.values() if layout.is_t3]
SECOND = 10**12
SPANS = {"a second": SECOND, "15 min": 920 * SECOND, "an hour": 3600 * SECOND, "30 days": 30 * 86400 * SECOND}


@settings(max_examples=300, deadline=None)
@given(
    unit=st.fractions(min_value=Fraction(1, 10**6), max_value=10**9, max_denominator=10**14).filter(
        lambda unit: max(unit.as_integer_ratio()) < 2**50
    ),
    share=st.integers(-(2**60), 2**60),
)
@example(unit=Fraction(809553, 10_000), share=2**60)
@example(unit=Fraction(1, 2**49), share=-(2**60))
def test_every_conversion_is_exact(unit, share):
    last = min(last_tick(unit), 2**63 - 1)
    ticks = [last * share // 2**60, last, last - 1, -last, 0, 1, -1]
    expected = [tick * unit.numerator // unit.denominator for tick in ticks]
    times = to_ps(np.array(ticks, np.int64), unit)
    assert times.tolist() == expected
    latest = last_time(unit)
    kept = np.array([time for time in expected if -latest <= time <= latest], np.int64)
    back = to_ticks(kept, unit)
    assert (to_ps(back, unit) <= kept).all()
    if unit >= 1:  # every tick has a time of its own
        np.testing.assert_array_equal(to_ps(back, unit), kept)
    if last < 2**63 - 1:
        assert beyond(np.array([5, last, last + 1]), unit) == 2
        assert (last + 1) * unit.numerator // unit.denominator > MAX_PS


@settings(max_examples=200)
@given(unit=st.fractions(min_value=Fraction(1, 1000), max_value=10**9, max_denominator=1000))
@example(unit=Fraction("80.95531234"))
@example(unit=Fraction(73_000_000))
def test_a_resolution_in_seconds_means_the_number_that_was_rounded(unit):
    assert meant(float(unit / 10**12)) == unit


def held(name, **options):
    """Return a time in ticks, and what the format makes of it, for formats with a unit of their own."""
    unit = {"tdc1": 2000, "tdc1-64": 2000, "timestamp3": 125, "tdc2": Fraction(125, 32)}.get(name)
    return Fraction(unit or options.get("unit_ps") or options.get("resolution_ps") or 1)


CASES = [
    *[("qutag-raw", {"unit_ps": unit}) for unit in UNITS],
    *[("ptu", {"record_type": name, "resolution_ps": unit}) for name in T2[2:4] for unit in UNITS[:4]],
    *[("ptu", {"record_type": name, "resolution_ps": "4", "sync_period_ps": unit})
      for name in T3[-1:] for unit in ("12500.337", "1000003/7", "999999.999999")],
    ("swabian-dump", {}), ("idq-bin", {}), ("tdc1-64", {}), ("tdc2", {}), ("timestamp3", {}), ("tdc1", {}),
    ("arrow", {}), ("parquet", {}),
]  # fmt: skip


def written(path, name, options, times):
    with TagWriter(path, name, options) as writer:
        writer.write(
            TagBatch(times, np.ones(len(times), np.uint8), min(0, int(times[0])), int(times[-1]) + 1)
        )


def read(path, name, options):
    with open_tags(path, name, {} if name == "ptu" else options) as file:
        return np.concatenate([batch.times_ps for batch in file])


@pytest.mark.parametrize(
    ("name", "options"), CASES, ids=lambda case: "-".join(case.values()) if isinstance(case, dict) else case
)
@pytest.mark.parametrize("span", SPANS.values(), ids=SPANS)
def test_times_after_a_long_run_are_exact_both_ways(name, options, span, tmp_path):
    unit = held(name, **options)
    if "sync_period_ps" in options:
        unit = Fraction(options["sync_period_ps"])
    first = span * unit.denominator // unit.numerator
    ticks = [first + n * 12_345 for n in range(200)]
    times = np.unique(np.array([tick * unit.numerator // unit.denominator for tick in ticks], np.int64))
    path = tmp_path / "tags"
    days = span >= SPANS["30 days"]
    if "V1 T2" in options.get("record_type", "") and span > SECOND:  # one word for each 33.5 us
        with pytest.raises(DataError, match="HydraHarp V1 T2 is not meant for that"):
            written(path, name, options, times)
        return
    if "sync_period_ps" in options and (days or (span > SECOND and unit < 100_000)):
        pytest.skip("millions of words")
    if name == "timestamp3" and days:  # a reader could not tell the wraps
        with pytest.raises(DataError, match="no words for times without a tag"):
            written(path, name, options, times)
        return
    if name == "tdc1" and days:
        pytest.skip("a dummy word every 134 ms")
    if options.get("unit_ps") == "0.004" and days:
        with pytest.raises(DataError, match="qutag-raw holds times of -"):
            written(path, name, options, times)
        return
    written(path, name, options, times)
    np.testing.assert_array_equal(read(path, name, options), times)


@pytest.mark.parametrize("name", [name for name, form in FORMATS.items() if form.encoder])
def test_times_that_a_format_cannot_hold_are_not_written(name, tmp_path):
    options = {"unit_ps": "1/3"} if name == "qutag-raw" else {"resolution_ps": "1/3"} if name == "ptu" else {}
    times = np.array([2**63 - 2], np.int64)
    if name in ("swabian-dump", "idq-bin"):
        written(tmp_path / "tags", name, options, times)
        np.testing.assert_array_equal(read(tmp_path / "tags", name, options), times)
    elif name.startswith("tdc2") or name == "tdc1-64":
        written(tmp_path / "tags", name, options, times // 2000 * 2000)
        np.testing.assert_array_equal(read(tmp_path / "tags", name, options), times // 2000 * 2000)
    else:
        with pytest.raises(DataError, match=r"holds times of|has no words for|dummy words in a row"):
            written(tmp_path / "tags", name, options, times)
    if name not in ("swabian-dump", "qutag-raw"):
        with pytest.raises(DataError, match="holds times of 0 to"):
            written(tmp_path / "negative", name, options, np.array([-5], np.int64))


def ptu(layout, words, tick_ps, dtime_ps=4, count=0):
    header, at = build_header(layout, Fraction(tick_ps), Fraction(dtime_ps))
    header = header[:at] + struct.pack("<q", count) + header[at + 8 :]
    return header + np.array(words, "<u4").tobytes(), len(header)


@pytest.fixture(params=["compiled", "numpy"])
def how(request, monkeypatch):
    if request.param == "numpy":
        monkeypatch.setattr(compiled, "kernels", None)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=lambda layout: layout.name)
def test_overflow_words_without_end_are_no_time(layout, how, tmp_path):
    photon = (layout.lowest + 1) << layout.channel_shift
    wrap = layout.special_channel + (63 if layout.special_channel == 64 else 0)
    most = (1 << layout.time_bits) - 1 if layout.counted else 0
    tick = 10**12 if layout.is_t3 else 10_000
    step = layout.wrap * max(most, 1) * tick
    fit = MAX_PS // step
    if fit > 2**22:
        pytest.skip("needs more words than a test should make")
    words = [photon | 1, *[wrap << layout.channel_shift | most] * (fit + 1), photon | 1]
    content, begins = ptu(layout, words, tick)
    path = tmp_path / "tags.ptu"
    path.write_bytes(content)
    found = []
    with open_tags(path) as file, pytest.raises(DataError, match=r"beyond 2\^63 ps") as caught:
        found.extend(batch.times_ps for batch in file)
    assert caught.value.offset == begins + 4 * (fit + 1)
    assert np.concatenate(found).tolist() == [tick]


RECORDS = {
    "idq-bin": lambda time: struct.pack("<Q", time),
    "idq-bin-ref": lambda time: struct.pack("<QQ", time, 0),
    "swabian-dump": lambda time: struct.pack("<BBHiq", 0, 0, 0, 1, time),
    "qutag-raw": lambda time: struct.pack("<qh", time, 0),
}


@pytest.mark.parametrize("name", RECORDS)
def test_the_last_picosecond_is_read_and_the_next_is_named_with_its_byte(name, tmp_path):
    path = tmp_path / "tags"
    good = RECORDS[name](2**63 - 2)
    path.write_bytes(good + RECORDS[name](2**63 - 1))
    found = []
    with open_tags(path, name) as file, pytest.raises(DataError, match=r"beyond 2\^63 ps") as caught:
        found.extend(file)
    assert caught.value.offset == len(good)
    assert np.concatenate([batch.times_ps for batch in found]).tolist() == [2**63 - 2]
    assert found[-1].stop_ps == 2**63 - 1


def test_wraps_of_event_words_beyond_the_range(how, tmp_path):
    half = 1 << 53
    words = [(n * half % (1 << 54)) << 10 | 0x301 for n in range(400)]
    path = tmp_path / "tags"
    path.write_bytes(struct.pack("<400Q", *words))
    found = []
    with open_tags(path, "tdc2") as file, pytest.raises(DataError, match=r"beyond 2\^63 ps") as caught:
        found.extend(file)
    times = np.concatenate([batch.times_ps for batch in found]).tolist()
    assert times == [n * half * 125 // 32 for n in range(caught.value.offset // 8)]
    assert (caught.value.offset // 8) * half * 125 // 32 > MAX_PS


@pytest.mark.parametrize(
    "unit", ["0", "-1", "nan", "1/0", "inf", "1e99999999", "9" * 30, "0x10", "", "1.2.3"]
)
def test_a_unit_that_is_no_number(unit, tmp_path):
    path = tmp_path / "tags"
    path.write_bytes(b"")
    with pytest.raises(ConfigurationError, match="unit_ps"):
        open_tags(path, "qutag-raw", {"unit_ps": unit})


@pytest.mark.parametrize(
    ("tick_ps", "dtime_ps", "code", "message"),
    [
        (73_000_000, 25, 0x00010206, "GlobalResolution is 7.3e-05; 1e-15 s to 1e-08 s can be"),
        (4, 25, 0x00010206, None),
        (10**12 * 2, 4, 0x01010304, "GlobalResolution is 2.0"),
        (12_500, 10**10, 0x01010304, "MeasDesc_Resolution is 0.01"),
    ],
)
def test_a_resolution_that_cannot_be(tick_ps, dtime_ps, code, message, tmp_path):
    path = tmp_path / "tags.ptu"
    path.write_bytes(ptu(LAYOUTS[code], [5], tick_ps, dtime_ps)[0])
    if message is None:
        with open_tags(path) as file:
            assert sum(map(len, file)) == 1
        return
    with pytest.raises(DataError, match=message):
        open_tags(path)
