"""The blocks of a simulated Time Controller and their links, as the vendor's examples and a second client use them."""

import json
import struct

import numpy as np
import pytest

from tests.simulators.test_id900 import Client

KHZ, MHZ = 1_000_000_000, 1_000_000
"""Periods in picoseconds."""


def with_tags(client, *tags, upto_s=10.0):
    """Let the inputs of a client see these tags: (time in ps, input)."""
    times, inputs = np.array(sorted(tags), np.int64).reshape(-1, 2).T
    waiting = [(times, inputs.astype(np.uint8))]

    def take():
        now_ps = client.clock.now_s() * 1e12
        (times, inputs) = waiting.pop()
        past = times <= now_ps
        waiting.append((times[~past], inputs[~past]))
        return times[past], inputs[past]

    client.unit.readings.take_tags = take
    client.unit.readings.counts = lambda: (0, 0, 0, 0)


def refused(client, text):
    reply = client(text)
    return b"SCPI_ERR" in reply or reply.startswith(b"No")


@pytest.mark.parametrize(
    "text",
    [
        "DEVI:CONFI:LOAD COUNT",
        "DEVICE:CONF:LOAD HISTO",
        "TSCOmbiner1:FIRst:LINK GEN1;:TSCO24:SECO:LINK GENE8",
        "GENerator8:TRIG:DELA 200000;LINK NONE;ARM:MODE AUTO;:GEN8:TRIG:ARM",
        "GEN2:ENABle ON;STOP;PWID 1000000;PPER 1004000;PNUM 1;PLAY",
        "OUTP1:ENAB ON;MODE TTL;PULSe OFF;DELAy 0;PULSE:WIDTH 100",
        "OUTPut4:LINK TSCO4;:OUTLoop:LINK INT;:OUTL:LINK NONE",
        "DEVIce:SYNC INTernal;RESolution LOWRES;LEDS ON",
        "RAW1:NUMErator 1;DENOminator 1;ENAB:LINK REC;:RAW1:REF:LINK STARt",
        "STARt:COUN:MODE CYCL;INTE 1000;RESEt;:START:HIRES:ERROR:CLEAR",
        "TSCO5:COUN:INTE 1000;MODE CYCL;RESE;:TSCO5:WIND:BEGI:DELA 0;EDGE RISI;LINK NONE",
        "INPU1:SELE OUTP;RESY AUTO;COUNter:INTEgrationtime 1000;MODE CYCLE",
        "REC:ENAB OFF;NUM 1;DUR 1.0e12;TRIG:DELA 0;LINK DELA4;ARM:MODE MANU",
    ],
)
def test_what_the_vendors_files_write_is_taken(text):
    assert not refused(Client(), text)


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("DEVI:CON:LOAD COUNT", b"SCPI_ERR_INVALID_CMD"),  # shorter than the short form
        ("DEVI:CONFX:LOAD COUNT", b"SCPI_ERR_INVALID_CMD"),
        ("TSCO25:OPIN AND", b"SCPI_ERR_INVALID_CMD"),
        ("TSCO1:FIR:LINK GEN9", b"No connection"),
        ("TSCO1:FIR:LINK INPU", b"SCPI_ERR_PARAM_TYPE"),
        ("DELA1:VALU 1000000000001", b"SCPI_ERR_PARAM_TYPE"),
        ("INPU1:COUN:INTE 65536", b"SCPI_ERR_PARAM_TYPE"),
        ("HIST1:BCOU 16385", b"SCPI_ERR_PARAM_TYPE"),
        ("RAW1:NUME 2", b"SCPI_ERR_PARAM_TYPE"),
        ("GEN1:ENAB ON;PPER 1000;PLAY", b"SCPI_ERR_PARAM_TYPE"),
        ("REC:ENAB ON;NUM INF;PWID 1;PPER 1;PLAY", b"SCPI_ERR_PARAM_TYPE"),
        ("REC:ENAB ON;NUM 2;PWID 200000000000;PPER 200000000001;PLAY", b"SCPI_ERR_PARAM_TYPE"),
    ],
)
def test_what_the_unit_cannot_do_is_refused(text, end):
    assert Client()(text).endswith(end)


def test_links_are_answered_in_one_form():
    client = Client()
    client("TSCO1:FIR:LINK GENERATOR3;:TSCO1:SEC:LINK gene4")
    assert client("TSCO1:FIR:LINK?;:TSCO1:SEC:LINK?") == b"GEN3\nGEN4"


@pytest.mark.parametrize(("firmware", "separator"), [("new", b"\n"), ("old", b";")])
def test_the_separator_follows_the_firmware(firmware, separator):
    assert Client(firmware=firmware)("INPU1:ENAB?;:INPU2:ENAB?") == b"OFF" + separator + b"OFF"


@pytest.mark.parametrize(("kept", "inputs", "delay"), [(True, b"ON", b"500TB"), (False, b"OFF", b"0TB")])
def test_a_wiring_keeps_the_inputs_or_not(kept, inputs, delay):
    client = Client(load_keeps_inputs=kept)
    for name in ("HISTO", "COUNT"):
        client("INPU2:ENAB ON;:DELA2:VALU 500;:DELA6:VALU 700")
        client(f"DEVI:CONF:LOAD {name}")
        assert client("INPU2:ENAB?;:DELA2:VALU?;:DELA6:VALU?") == b"\n".join((inputs, delay, b"0TB"))
    client("INPU2:ENAB ON;:DEVI:CONF:LOAD INIT")
    assert client("INPU2:ENAB?") == b"OFF"


@pytest.mark.parametrize(("meaning", "stage"), [("endless", b"PLAYING"), ("one", b"IDLE")])
def test_a_record_number_of_zero(meaning, stage):
    client = Client(record_number_zero=meaning)
    client("REC:ENAB ON;NUM 0;PWID 200000000000;PPER 200000103700;PLAY")
    client.clock.advance_to(1.0)
    assert client("REC:STAG?") == stage


def test_a_record_keeps_what_was_set_when_it_began():
    client = Client(pulse_rate_hz=0)
    client("REC:ENAB ON;NUM INF;PWID 200000000000;PPER 200000103700;PLAY;PPER 1;PWID 1")
    client.clock.advance_to(3)
    assert client("REC:STAG?") == b"PLAYING"


# What the vendor's example sets for a window of w: each counter's opening and closing, in units of w.
COINCIDENCES = {
    (1, 2): (6, 0.5, 1.5), (1, 3): (7, 1.5, 2.5), (1, 4): (8, 2.5, 3.5),
    (2, 3): (3, 1.5, 2.5), (2, 4): (4, 2.5, 3.5), (3, 4): (5, 2.5, 3.5),
    (1, 2, 3): (13, 0, 2), (1, 2, 4): (14, 1, 3), (1, 3, 4): (15, 0, 2), (2, 3, 4): (16, 0, 2),
    (1, 2, 3, 4): (24, 1, 3),
}  # fmt: skip
WINDOW_PS = 10_000


def coincidence_client(mode):
    client = Client()
    client("DEVI:CONFI:LOAD COUNT")
    for n in (2, 3, 4):
        client(f"DELA{n + 4}:VALU {WINDOW_PS * (n - 1)}")
    for combiner, begin, end in COINCIDENCES.values():
        client(f"TSCO{combiner}:WIND:BEGI:DELA {int(begin * WINDOW_PS)}")
        client(f"TSCO{combiner}:WIND:END:DELA {int(end * WINDOW_PS)}")
        client(f"TSCO{combiner}:COUN:MODE {mode};INTE 1000;RESEt")
    return client


def coincidences(client):
    reply = client(";:".join(f"TSCO{combiner}:COUNter?" for combiner, *_ in COINCIDENCES.values()))
    return dict(zip(COINCIDENCES, map(int, reply.split(b"\n")), strict=True))


def test_coincidence_counters_see_what_comes_together():
    client, tags = coincidence_client("ACCU"), []
    for number, inputs in enumerate(COINCIDENCES):
        tags += [((number + 1) * KHZ + 1000 * n, n) for n in inputs]
    tags += [(20 * KHZ, 1), (20 * KHZ + WINDOW_PS, 2), (21 * KHZ, 3), (21 * KHZ - 6_000, 4)]  # too far apart
    with_tags(client, *tags)
    client.clock.advance_to(0.2)
    expected = {inputs: sum(set(inputs) <= set(others) for others in COINCIDENCES) for inputs in COINCIDENCES}
    assert coincidences(client) == expected


def test_coincidence_counters_show_the_last_whole_second():
    client = coincidence_client("CYCL")
    pairs = [time for n, s in ((3, 0), (5, 1), (7, 2)) for time in s * 10**12 + KHZ * np.arange(10, 10 + n)]
    with_tags(client, *((t, n) for t in pairs for n in (1, 2)))
    seen = []
    for seconds in (0.5, 1.5, 2.1, 3.2):
        client.clock.advance_to(seconds)
        seen.append(coincidences(client)[1, 2])
    assert seen == [0, 3, 5, 7]


def test_random_coincidences_come_as_often_as_they_must():
    client = Client(pulse_rate_hz=50_000.0)
    client("INPU1:ENAB ON;:INPU2:ENAB ON;:DEVI:CONF:LOAD COUNT;:DELA6:VALU 100000")
    client("TSCO6:WIND:BEGI:DELA 50000;:TSCO6:WIND:END:DELA 150000;:TSCO6:COUN:MODE ACCU;RESE")
    client.clock.advance_to(1.0)
    expected = 50_000.0**2 * 100e-9 * 1.0
    assert abs(int(client("TSCO6:COUN?")) - expected) < 5 * expected**0.5


def test_generators_are_a_source_of_timestamps():
    client = Client()
    client(f"GEN1:ENAB ON;PPER {10 * MHZ};PWID 20000;PNUM INF;PLAY;TRIG:LINK NONE")
    client("TSCO1:FIR:LINK GEN1;:RAW1:STOP:LINK TSCO1;:RAW1:REF:LINK NONE;:RAW1:SEND ON")
    client.dlt("start-stream --address a --channel 1 --stream-port 4242")
    client("REC:ENAB ON;NUM 2;PWID 200000000000;PPER 200000400000;PLAY")
    client.clock.advance_to(0.5)
    first, second, end = client.pushed[4242]
    for frame in (first, second):
        times = np.frombuffer(frame, "<u8").astype(np.int64)
        assert len(times) == 20_000
        assert set(np.diff(times)) == {10 * MHZ}
    assert end == b""


def test_generators_start_by_another():
    client = Client()
    client("GEN8:PNUM 1;PWID 4000;PPER 8000;TRIG:LINK NONE;:GEN8:ENAB ON")
    for n, delay, number in ((1, 0, "INF"), (2, 200_000, "INF"), (3, 0, "1000")):
        client(
            f"GEN{n}:PNUM {number};PWID 500000;PPER {MHZ};TRIG:DELA {delay};LINK GEN8;:GEN{n}:ENAB ON;TRIG:ARM"
        )
        client(f"TSCO{n}:FIR:LINK GEN{n};:TSCO{n}:COUN:MODE ACCU;RESE")
    client("HIST1:REF:LINK TSCO1;:HIST1:STOP:LINK TSCO2;:HIST1:MIN 0;BWID 100;BCOU 4000")
    client("REC:ENAB ON;NUM 1;DUR 100000000000;PLAY")
    client.clock.advance_to(0.05)
    assert client("TSCO1:COUN?") == b"0", "nothing before the trigger"
    client("GEN8:PLAY")
    client.clock.advance_to(0.2)
    assert client("TSCO3:COUN?") == b"1000"
    histogram = json.loads(client("HIST1:DATA?"))
    assert [n for n, count in enumerate(histogram) if count] == [2000]
    assert 45_000 < histogram[2000] <= 50_001


def test_a_dead_time_by_a_generator():
    """10 MHz of one generator, and another that is triggered and busy for 199.9 ns: every second pulse is left."""
    client = Client()
    client("GEN5:ENAB ON;PNUM 1;PWID 4000;PPER 199900;TRIG:DELA 0;LINK DELA1;ARM:MODE AUTO")
    client("GEN1:ENAB ON;PNUM INF;PWID 40000;PPER 100000;PLAY;:TSCO1:FIR:LINK GEN1;:TSCO5:FIR:LINK GEN5")
    client("OUTP1:ENAB ON;LINK TSCO1;:INPU1:SELE OUTP;COUN:INTE 10;:TSCO5:COUN:INTE 10")
    client("HIST1:STOP:LINK TSCO5;:HIST1:REF:LINK TSCO5;:HIST1:MIN 0;BWID 100;BCOU 4000")
    client("REC:ENAB ON;NUM 1;DUR 10000000000;PLAY")
    client.clock.advance_to(0.1)
    assert client("INPU1:COUN?;:TSCO5:COUN?") == b"100000\n50000"
    histogram = json.loads(client("HIST1:DATA?"))
    assert {n: count for n, count in enumerate(histogram) if count} == {2000: 49_999}


def test_a_window_filters_events():
    client = Client()
    client("INPU1:ENAB ON;:INPU2:ENAB ON;:TSCO5:WIND:BEGI:LINK DELA2;:TSCO5:WIND:END:LINK DELA2;DELA 20000")
    client("TSCO5:WIND:ENAB ON;:TSCO5:OPIN ONLYFIR;OPOU MUTE;:RAW1:REF:LINK TSCO6;:RAW1:SEND ON")
    client.dlt("start-stream --address a --channel 1 --stream-port 1 --with-ref-index")
    start, at = 10 * KHZ, [5_000, 15_000, 25_000]
    with_tags(
        client, *((start + KHZ * k, 2) for k in range(3)), *((start + KHZ * k + at[k], 1) for k in range(3))
    )
    client("REC:ENAB ON;NUM 1;DUR 100000000000;PLAY")
    client.clock.advance_to(0.2)
    assert list(struct.iter_unpack("<QQ", client.pushed[1][0])) == [(5_000, 1), (15_000, 2)]


@pytest.mark.parametrize(
    ("operation", "times"),
    [("AND", [2_001]), ("OR", [1_000, 2_000, 2_001, 3_000]), ("ONLYSEC", [2_001, 3_000])],
)
def test_operations_of_a_combiner(operation, times):
    client = Client()
    client(
        f"INPU1:ENAB ON;:INPU2:ENAB ON;:TSCO9:FIR:LINK DELA1;:TSCO9:SEC:LINK DELA2;:TSCO9:OPOU {operation}"
    )
    client("RAW1:STOP:LINK TSCO9;:RAW1:SEND ON;:REC:ENAB ON;NUM 1;DUR 100000000000")
    client.dlt("start-stream --address a --channel 1 --stream-port 1")
    with_tags(
        client, *((MHZ * t, n) for n, t in ((1, 1_000), (1, 2_000), (2, 3_000))), (MHZ * 2_000 + 1_000, 2)
    )
    client("REC:PLAY")
    client.clock.advance_to(0.2)
    found = np.frombuffer(client.pushed[1][0], "<u8").astype(np.int64)
    assert sorted(found) == sorted(MHZ * 2_000 + 1_000 if t == 2_001 else MHZ * t for t in times)


def test_links_in_a_circle_carry_nothing():
    client = Client()
    client("TSCO1:FIR:LINK TSCO2;:TSCO2:FIR:LINK TSCO1;:TSCO1:COUN:MODE ACCU;RESE")
    client.clock.advance_to(1.0)
    assert client("TSCO1:COUN?") == b"0"


@pytest.mark.parametrize(("period_ps", "counted"), [(None, 0), (MHZ, 100_000)])
def test_start_as_a_reference_counts_from_its_pulses_or_not_at_all(period_ps, counted):
    client = Client(pulse_rate_hz=10_000.0, start_period_ps=period_ps)
    client("INPU1:ENAB ON;:STAR:ENAB ON;COUN:INTE 100;:HIST1:REF:LINK STAR;:HIST1:MIN 0;BWID 1000000;BCOU 10")
    client("REC:ENAB ON;NUM 1;DUR 1000000000000;PLAY")
    client.clock.advance_to(1.2)
    histogram = json.loads(client("HIST1:DATA?"))
    assert int(client("STAR:COUN?")) == counted
    assert (9_000 < histogram[0] < 11_000) == (period_ps is not None)
    assert sum(histogram[1:]) == 0


def test_old_states_have_the_layout_that_a_client_takes_apart():
    client = Client(firmware="old")
    client(":HIST1:INPORT:STOP:LINK TSCO5;:HIST1:INPORT:REF:LINK STAR;:RAW1:INPORT:STOP:LINK TSCO5")
    assert client("DELAY2:STATE?") == b"DELA2:VALUe 0TB;INPO:LINK INPU2;"
    assert client(":HIST1:STATE?") == (
        b"HIST1:INPOrt:STOP:LINK TSCO5;:HIST1:INPOrt:REF:LINK STAR;:HIST1:INPOrt:ENAB:LINK TSGE8;"
        b":HIST1:MIN 0TB;BWID 100TB;BCOUnt 10000;"
    )
    assert client("START:STATE?") == (
        b"STAR:ENAB OFF;COUP DC;EDGE RISING;THRE 0.999424V;SELE UNSHAPED;DELA 0TB;"
        b":STAR:COUNter:INTEgrationtime 1000;MODE CYCLE"
    )
    assert client("START:COUNTER:RESET") == b"Counter value set to 0 "
    assert client("START:COUNTER?") == b"0"


def test_the_gate_of_the_old_firmware_records_a_histogram():
    client = Client(firmware="old", pulse_rate_hz=1000.0)
    client("INPUT1:ENABLE ON;:HIST1:MINIMUM 0;BWIDTH 1000000000;BCOUNT 2000")
    assert client(":TSGE8:ENABLE ON").endswith(b"ON")
    client.clock.advance_to(1.0)
    assert client(":TSGE8:ENABLE OFF").endswith(b"OFF")
    client.clock.advance_to(2.0)
    histogram = json.loads(client(":HIST1:DATA?"))
    assert 850 < sum(histogram[:1000]) < 1150
    assert sum(histogram[1000:]) == 0
