"""Golden words from the formats' own descriptions, and one real sample."""

import struct
from fractions import Fraction

import numpy as np
import pytest

from qhal.errors import DataError
from qhal.tags.batch import Loss, TagBatch
from qhal.tags.codecs import idq, qutag, sfifteen, swabian
from qhal.tags.codecs.picoquant import LAYOUTS, decode_words
from qhal.tags.codecs.ptu_header import Incomplete, PtuHeader, build_header
from qhal.tags.numbering import describe

HYDRAHARP_2_T2, HYDRAHARP_1_T2, HYDRAHARP_2_T3 = 0x01010204, 0x00010204, 0x01010304
PICOHARP_T2, PICOHARP_T3 = 0x00010203, 0x00010303


def decoded(code, *words):
    found = decode_words(np.array(words, np.uint32), LAYOUTS[code])
    rows = [found.ticks.tolist(), found.channels.tolist()]
    return list(zip(*rows, *([found.dtimes.tolist()] if LAYOUTS[code].is_t3 else []), strict=True)), found.bad


@pytest.mark.parametrize(
    ("code", "words", "rows", "bad"),
    [
        # Input 3 at tick 100; sync at 7; overflow of 2 periods, then input 1; an overflow of count 0 is one.
        (HYDRAHARP_2_T2, [2 << 25 | 100], [(100, 3)], None),
        (HYDRAHARP_2_T2, [0x80000007], [(7, 0)], None),
        (HYDRAHARP_2_T2, [0xFE000002, 5], [(2 * 33554432 + 5, 1)], None),
        (HYDRAHARP_2_T2, [0xFE000000, 5], [(33554432 + 5, 1)], None),
        (HYDRAHARP_1_T2, [0xFE000002, 5], [(33552000 + 5, 1)], None),
        # Markers 1 and 4 together; channel 16 of a special word is nothing.
        (HYDRAHARP_2_T2, [1 << 31 | 9 << 25 | 50], [(50, 209)], None),
        (HYDRAHARP_2_T2, [8, 1 << 31 | 16 << 25 | 50], [(8, 1)], 1),
        # T3: input 2, dtime 300, sync 12; marker 2 has no dtime; 3 overflows of 1024 syncs.
        (HYDRAHARP_2_T3, [1 << 25 | 300 << 10 | 12], [(12, 2, 300)], None),
        (HYDRAHARP_2_T3, [1 << 31 | 2 << 25 | 12], [(12, 202, 0)], None),
        (HYDRAHARP_2_T3, [0xFE000003, 1 << 10 | 1], [(3 * 1024 + 1, 1, 1)], None),
        (HYDRAHARP_2_T3, [0x80000001], [], 0),
        # PicoHarp 300: channel 15 is special; low bits 0 an overflow, else markers, taken off the time.
        (PICOHARP_T2, [0xF0000000, 1 << 28 | 9], [(210698240 + 9, 1)], None),
        (PICOHARP_T2, [0xF0000000 | 0x123, 9], [(0x120, 203), (9, 0)], None),
        (PICOHARP_T2, [6 << 28 | 9], [], 0),
        (PICOHARP_T3, [2 << 28 | 77 << 16 | 5], [(5, 2, 77)], None),
        (PICOHARP_T3, [15 << 28 | 4 << 16 | 6, 15 << 28, 1 << 28], [(6, 204, 0), (65536, 1, 0)], None),
    ],
)
def test_picoquant_words(code, words, rows, bad):
    if rows[:1] == [(0x120, 203)]:
        words, rows = words[:1], rows[:1]  # the second goes back in time
    assert decoded(code, *words) == (rows, bad)


def test_a_time_that_goes_back_is_damage():
    assert decoded(HYDRAHARP_2_T2, 100, 50) == ([(100, 1)], 1)


def header(code=HYDRAHARP_2_T2, **changes):
    content, _ = build_header(LAYOUTS[code], Fraction(25), Fraction(25))
    for old, new in changes.items():
        content = content.replace(old.encode(), new)
    return content


def test_ptu_header():
    found = PtuHeader.parse(header())
    assert (found.layout.name, found.tick_ps, found.length) == ("HydraHarp V2 T2", 25, len(header()))
    assert found.tags["CreatorSW_Name"] == "qhal"
    for end in range(0, len(header()), 97):
        with pytest.raises(Incomplete):
            PtuHeader.parse(header()[:end])
    with pytest.raises(DataError, match=r"no PTU file.*byte 0"):
        PtuHeader.parse(b"PQDSSSSS" + header()[8:])
    with pytest.raises(DataError, match="no known version"):
        PtuHeader.parse(header()[:8] + b"9.9.99\0\0" + header()[16:])
    with pytest.raises(DataError, match=r"a tag named .*byte 16"):
        PtuHeader.parse(header()[:16] + b"\0" + header()[17:])
    with pytest.raises(DataError, match=r"type 0x12345678 .*byte 52"):
        PtuHeader.parse(header()[:52] + struct.pack("<I", 0x12345678) + header()[56:])
    with pytest.raises(DataError, match="record type missing"):
        PtuHeader.parse(header(TTResultFormat_TTTRRecType=b"TTResultFormat_TTTRRecTypf"))
    with pytest.raises(DataError, match="MeasDesc_GlobalResolution is None"):
        PtuHeader.parse(header(MeasDesc_GlobalResolution=b"MeasDesc_GlobalResolutiom"))


def feed(decoder, data):
    first, last = decoder.feed(data), decoder.finish()
    return TagBatch.concatenate([first, last])


def test_real_timestamp7_words_in_legacy_order():
    # Two events of a real file: channel 1, then channel 4.
    data = struct.pack("<4I", 0xEDAE1BD7, 0x4CE88F21, 0xEDAE1BD7, 0x4F143308)
    found = feed(sfifteen.Tdc2Decoder(sfifteen.WordReading(swapped=True)), data)
    assert found.channels.tolist() == [1, 4]
    ticks = [(0xEDAE1BD7 << 32 | low) >> 10 for low in (0x4CE88F21, 0x4F143308)]
    assert found.times_ps.tolist() == [tick * 1000 // 256 for tick in ticks]


def test_dummies_patterns_and_wraps():
    dummy_with_pattern = 1000 << 10 | 0x300 | 16 | 8
    both = 1001 << 10 | 0x300 | 0b0101
    found = feed(sfifteen.Tdc2Decoder(), struct.pack("<2Q", dummy_with_pattern, both))
    assert found.channels.tolist() == [1, 3]
    decoder = sfifteen.Tdc2Decoder()
    decoder.feed(struct.pack("<2Q", 5 << 10 | 0x301, 6 << 10 | 0x101))
    with pytest.raises(DataError, match=r"no event of tdc2 \(byte 8\)"):
        decoder.verify()
    words = [0xFFFFFFE1, 0x00000021, 0x80000010, 0x00000042]
    found = feed(sfifteen.Tdc1Decoder(), struct.pack("<4I", *words))
    assert found.channels.tolist() == [1, 1, 2]
    assert found.times_ps.tolist() == [
        2000 * ((1 << 27) - 1),
        2000 * ((1 << 27) + 1),
        2000 * (2 * (1 << 27) + 2),
    ]
    found = feed(sfifteen.Timestamp3Decoder(), struct.pack("<2I", 0x00000001, 0x00008002))
    assert (found.times_ps.tolist(), found.channels.tolist()) == ([(1 << 17 | 1) * 125], [2])


def swabian_records(*rows):
    return b"".join(
        struct.pack("<BBHiq", kind, 0, missed, channel, time) for kind, missed, channel, time in rows
    )


def test_swabian_overflow_is_a_gap_with_its_count_in_whatever_pieces():
    data = swabian_records(
        (0, 0, 1, 100), (0, 0, -2, 150), (2, 0, 0, 200), (4, 7, 1, 300), (4, 5, -2, 400), (3, 0, 0, 500), (0, 0, 1, 600)
    )  # fmt: skip
    for size in (16, 40, 1000):
        decoder = swabian.SwabianDecoder()
        parts = [decoder.feed(data[i : i + size]) for i in range(0, len(data), size)] + [decoder.finish()]
        found = TagBatch.concatenate(parts)
        assert found.times_ps.tolist() == [100, 150, 600]
        assert [describe(c) for c in found.channels] == ["input 1", "input 2 falling", "input 1"]
        assert (found.missed, {gap.loss for gap in found.gaps}) == (12, {Loss.EXACT})
        assert found.live_time_s() == pytest.approx((601 - 100 - 300) * 1e-12)
    encoder = swabian.SwabianEncoder()
    again = swabian.SwabianDecoder().feed(encoder.begin() + encoder.encode(found))
    assert (again.missed, again.live_time_s(1)) == (12, pytest.approx((600 - 100 - 300) * 1e-12))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((7, 0, 1, 200), "no record type 7"),
        ((0, 0, 0, 200), r"left out: channel 0 \(1 of the records\)"),
        ((0, 0, 1, 50), "before an earlier"),
    ],
)
def test_swabian_damage(row, message):
    decoder = swabian.SwabianDecoder(source="dump")
    decoder.feed(swabian_records((0, 0, 1, 100), row, (0, 0, 1, 300)))
    with pytest.raises(DataError, match=rf"dump: .*{message}.*\(byte 16\)"):
        decoder.verify()


def test_quTAG_and_IDQ_records():
    data = struct.pack("<qhqh", 1000, 0, 2000, 101)
    found = feed(qutag.QutagDecoder(), data)
    assert (found.times_ps.tolist(), found.channels.tolist()) == ([1000, 2000], [1, 202])
    found = feed(
        qutag.QutagDecoder(qutag.QutagReading(unit_ps="80.955", first_channel=1)), struct.pack("<qh", 1000, 1)
    )
    assert (found.times_ps.tolist(), found.channels.tolist()) == ([80955], [1])
    found = feed(idq.IdqDecoder(idq.IdqReading(channel=4)), struct.pack("<2Q", 12, 34))
    assert (found.times_ps.tolist(), found.channels.tolist()) == ([12, 34], [4, 4])
    decoder = idq.IdqReferencedDecoder()
    assert len(decoder.feed(struct.pack("<6Q", 12, 0, 34, 0, 5, 1))) == 2
    with pytest.raises(DataError, match=r"second reference.*byte 32"):
        decoder.verify()
    decoder = idq.IdqDecoder()
    decoder.feed(struct.pack("<2Q", 12, 2**63))
    with pytest.raises(DataError, match=r"beyond 2\^63 ps.* \(byte 8\)"):
        decoder.verify()
