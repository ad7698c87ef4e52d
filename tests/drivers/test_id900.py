"""The ID900 driver over real ZeroMQ sockets, with everything that the sources leave open as an option."""

import socket
import threading
from contextlib import ExitStack

import numpy as np
import pytest
import zmq

from qhal import open_device
from qhal.devices.time_tagger import ClockReference, Coupling, Edge
from qhal.errors import (
    Busy,
    ConfigurationError,
    DeviceError,
    Disconnected,
    OutOfRange,
    QhalError,
    Unsupported,
    WrongDevice,
)
from qhal.tags.batch import Loss, TagBatch
from qhal.transport.control import SteppedClock
from qhal_simulators.servers.control_server import ControlServer

NAME = "idquantique.id900"
PERIOD_PS = 200_000_103_700


@pytest.fixture
def stepped(simulate):
    """An open tagger on a stepped world, its background and a way to make pulses."""
    with ExitStack() as stack:

        def start(*, inputs=(1, 2, 3, 4), driver_options=None, **options):
            background = simulate(NAME, stepped=True, **options)
            control = ControlServer(background.simulation)
            background.run(control.start)
            stack.callback(background.do, control.stop)
            clock = SteppedClock(control.address)
            stack.callback(clock.close)
            tagger = open_device(
                NAME,
                background.address(NAME),
                connections=background.connections(NAME),
                clock=clock,
                **(driver_options or {}),
            )
            stack.callback(tagger.close)
            for channel in inputs:
                tagger.set_enabled(channel, True)
            return tagger, background

        yield start


def pair_of(background, channel):
    unit = background.unit(NAME)
    return unit.pairs[unit.pair_ports[f"stream{channel}"].number]


def test_settings_are_read_back_as_achieved(bench):
    tagger, background = bench(NAME)
    assert tagger.set_threshold_v(2, 0.5) == pytest.approx(0.499712)
    assert tagger.set_delay_ps(3, 4000) == 4000
    tagger.set_edge(1, Edge.FALLING)
    tagger.set_coupling(1, Coupling.AC)
    tagger.set_clock_reference(ClockReference.EXTERNAL)
    status = tagger.status()
    assert (status.inputs[0].edge, status.inputs[0].coupling) == (Edge.FALLING, Coupling.AC)
    assert status.clock_reference is ClockReference.EXTERNAL
    assert background.unit(NAME).instrument.port.settings.delay_ps == (0, 0, 4000, 0)


def test_wrong_input_sends_nothing(bench):
    tagger, _ = bench(NAME)
    before = tagger.health.exchanges
    with pytest.raises(OutOfRange, match="threshold 5 is not between -2 and 2 V"):
        tagger.set_threshold_v(1, 5)
    with pytest.raises(Unsupported, match="input 5; there are 1 to 4"):
        tagger.set_enabled(5, True)
    with pytest.raises(OutOfRange, match="not a whole number"):
        tagger.set_delay_ps(1, 0.5)
    with pytest.raises(OutOfRange, match="period"):
        tagger.read_counts(100.0)
    assert tagger.health.exchanges == before


def test_another_device_is_refused(simulate):
    from qhal.node.device_factory import open_device

    background = simulate(NAME, idn="Somebody,Else,1,2")
    with pytest.raises(WrongDevice, match="Somebody,Else"):
        open_device(NAME, background.address(NAME))


@pytest.mark.parametrize("idn", ["ID1000 Time Controller", "IDQ;ID 900;v2"])
@pytest.mark.parametrize("set_reply", ["value", "empty"])
def test_texts_that_nobody_has_established(bench, idn, set_reply):
    tagger, _ = bench(NAME, idn=idn, set_reply=set_reply, separator="newline")
    tagger.set_enabled(1, True)
    assert tagger.status().inputs[0].enabled
    assert tagger.identity.model in ("ID900", "ID1000")


def test_streaming_needs_its_connections_and_its_firmware(simulate, bench):
    from qhal.node.device_factory import open_device

    background = simulate(NAME)
    with open_device(NAME, background.address(NAME)) as tagger:
        tagger.set_enabled(1, True)
        with pytest.raises(ConfigurationError, match="no address for connection 'dlt'"):
            tagger.stream()
    old, _ = bench(NAME, firmware="old")
    old.set_enabled(1, True)
    with pytest.raises(Unsupported, match="no REC block"):
        old.stream()


@pytest.mark.parametrize("end_frame", [True, False])
@pytest.mark.parametrize("empty_frame", [True, False])
def test_every_reading_of_an_empty_frame(stepped, monkeypatch, end_frame, empty_frame):
    monkeypatch.setattr("qhal_drivers.idquantique.datalink._LATE_MESSAGE_S", 0.02)
    tagger, _ = stepped(end_frame=end_frame, empty_frame=empty_frame, pulse_rate_hz=4.0)
    with tagger.stream() as tags:
        batches = list(tags.for_seconds(1.0))
    whole = TagBatch.concatenate(batches)
    assert (whole.start_ps, whole.stop_ps) == (0, 10**12)
    assert tags.delivered == len(whole) > 0
    if empty_frame:
        assert whole.complete
    with tagger.stream() as tags:
        assert next(tags).epoch == batches[0].epoch + 1


def test_same_world_same_tags_whatever_the_readers_do(stepped):
    tagger, _ = stepped(pulse_rate_hz=20_000.0)
    with tagger.stream() as tags:
        first = TagBatch.concatenate(tags.for_seconds(0.7))
    again, _ = stepped(pulse_rate_hz=20_000.0)
    with again.stream() as tags, again.stream() as other:
        second = TagBatch.concatenate([b for s in (0.1, 0.35, 0.25) for b in tags.for_seconds(s)])
        third = TagBatch.concatenate(other.for_seconds(0.7))
    for found in (second, third):
        np.testing.assert_array_equal(found.times_ps, first.times_ps)
        np.testing.assert_array_equal(found.channels, first.channels)
    assert first.live_time_s() == pytest.approx(0.7 - 3 * 103.7e-9, abs=1e-12)
    assert first.rates_hz()[2] == pytest.approx(20_000, rel=0.05)


def test_a_lost_message_is_a_gap_of_that_channel(stepped, monkeypatch):
    monkeypatch.setattr("qhal_drivers.idquantique.datalink._LATE_MESSAGE_S", 0.05)
    tagger, background = stepped(pulse_rate_hz=5_000.0)
    made = background.unit(NAME).instrument.readings.counts
    with tagger.stream() as tags:
        before = background.do(made)
        first = next(tags)
        pair_of(background, 3).silent = True
        second = next(tags)
        pair_of(background, 3).silent = False
        third = next(tags)
        after = background.do(made)
    assert first.complete
    assert third.complete
    lost = [gap for gap in second.gaps if gap.loss is not Loss.PAUSED]
    assert [(gap.channels, gap.start_ps, gap.loss) for gap in lost] == [((3,), PERIOD_PS, Loss.EXACT)]
    assert tags.missed == lost[0].missed > 800
    assert 3 not in second.counts()
    assert third.counts()[3] > 800
    made_in_all = sum(after) - sum(before)
    assert abs(tags.delivered + tags.missed - made_in_all) < 0.05 * made_in_all


@pytest.mark.parametrize("change", ["end", "beginning", "middle", "all but one", "all"])
def test_what_is_cut_off_a_message_is_missed_and_told(stepped, monkeypatch, change):
    monkeypatch.setattr("qhal_drivers.idquantique.datalink._LATE_MESSAGE_S", 0.5)
    tagger, background = stepped(pulse_rate_hz=5_000.0)
    made = []

    def shortened(content):
        kept = {
            "end": content[:-8],
            "beginning": content[8:],
            "middle": content[:80] + content[160:],
            "all but one": content[:8],
            "all": b"",
        }[change]
        made.append(len(content) // 8)
        send(kept if len(made) in (1, 2, 5) else content)

    with tagger.stream() as tags:
        next(tags)
        pair = pair_of(background, 3)
        send = pair.send
        background.do(lambda: setattr(pair, "send", shortened))
        batches = [next(tags) for _ in range(7)]
    for number, batch in enumerate(batches):
        lost = [gap for gap in batch.gaps if gap.loss is not Loss.PAUSED]
        assert bool(lost) == (number in (0, 1, 4))
        assert all((gap.channels, gap.loss) == ((3,), Loss.EXACT) for gap in lost)
        assert batch.counts().get(3, 0) + batch.missed == made[number]
    assert tags.missed == made[0] + made[1] + made[4]


def test_more_timestamps_than_the_service_pushed(stepped):
    tagger, background = stepped(pulse_rate_hz=5_000.0)
    with tagger.stream() as tags:
        next(tags)
        pair = pair_of(background, 3)
        send = pair.send
        background.do(lambda: setattr(pair, "send", lambda content: send(content + content[-8:])))
        with pytest.raises(DeviceError, match="timestamps came, the service pushed"):
            next(tags)


def test_a_slow_reader_loses_its_own_batches_with_their_count(stepped):
    tagger, _ = stepped(pulse_rate_hz=5_000.0)
    with tagger.stream() as fast, tagger.stream(waiting_tags=5_000) as slow:
        made = sum(len(next(fast)) for _ in range(5))
        batches = [next(slow)]
        while batches[-1].stop_ps < 5 * PERIOD_PS:
            batches.append(next(slow))
    assert [b.stop_ps for b in batches[:-1]] == [b.start_ps for b in batches[1:]]
    lost = [gap for batch in batches for gap in batch.gaps if gap.loss is Loss.EXACT]
    assert sum(gap.missed for gap in lost) == slow.missed > 0
    assert slow.delivered + slow.missed == made


def test_leftovers_of_our_unit_are_stopped_and_others_left_alone(stepped):
    tagger, background = stepped(pulse_rate_hz=1_000.0, inputs=(1,))
    service, ports = background.unit(NAME).instrument.datalink, background.unit(NAME).pair_ports
    for address, connection in (("127.0.0.1", "stream1"), ("10.0.0.9", "stream2")):
        request = f"start-stream --address {address} --channel 1 --stream-port {ports[connection].number}"
        background.do(lambda request=request: service.answer(request))
    with tagger.stream() as tags:
        next(tags)
    assert background.do(lambda: service.answer("list")) == '["10.0.0.9:5556"]'


def test_a_taken_port_is_refused_by_the_service(stepped):
    tagger, background = stepped()
    port = background.unit(NAME).pair_ports["stream1"].number
    with zmq.Context.instance().socket(zmq.PAIR) as intruder:
        intruder.bind(f"tcp://127.0.0.1:{port}")
        with pytest.raises(DeviceError, match=f"port {port}: Address already in use"):
            next(tagger.stream())
    next(tagger.stream())


def test_the_ports_of_streams_are_kept_from_others(stepped):
    _, background = stepped()
    for port in background.unit(NAME).pair_ports.values():
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port.number))


def test_a_rate_beyond_the_limit_is_refused_with_the_numbers(bench):
    tagger, background = bench(NAME)
    tagger.set_enabled(1, True)
    unit, clock = background.unit(NAME).instrument, background.simulation.clock
    unit.readings.counts = lambda: (int(9e6 * clock.now_s()), 0, 0, 0)
    with pytest.raises(
        Busy, match=r"count (8\.99|9)[.0-9]*e\+06 /s .* starts below 80% of the limit of 1e\+07"
    ):
        tagger.stream()


def test_what_must_not_change_under_a_stream(stepped):
    tagger, _ = stepped()
    with tagger.stream():
        with pytest.raises(Busy, match="while tags are recorded"):
            tagger.set_clock_reference(ClockReference.EXTERNAL)
        assert tagger.status().streaming
    assert not tagger.status().streaming


@pytest.mark.parametrize("fault", ["restart", "reset"])
def test_a_stream_that_breaks_says_so_and_goes_on(stepped, fault):
    tagger, background = stepped(pulse_rate_hz=5_000.0)
    threads = threading.active_count()
    with tagger.stream() as tags:
        first = next(tags)
        if fault == "restart":
            background.run(lambda: background.simulation.restart(NAME))
        else:
            background.do(lambda: background.simulation.unplug(NAME, reset=True))
        with pytest.raises(Disconnected):
            next(tags)
        if fault == "reset":
            with pytest.raises(QhalError):
                next(tags)  # still away
            background.run(lambda: background.simulation.plug(NAME))
        else:
            with pytest.raises(DeviceError, match="no input is enabled"):
                next(tags)  # after a power cycle its inputs are off: told, not set again in silence
            for channel in range(1, 5):
                tagger.set_enabled(channel, True)
        gap = next(tags)
        assert len(gap) == 0
        assert gap.gaps[0].loss is Loss.UNKNOWN
        assert gap.epoch == first.epoch
        after = next(tags)
        assert after.epoch > first.epoch
        assert after.start_ps == 0
        assert len(after) > 0
    assert tagger.health.reconnects >= 1
    if fault == "restart":
        assert tagger.health.settings_changed["input_1_enabled"] == ("True", "False")
    assert threading.active_count() <= threads


def test_a_silent_stream_is_an_error_within_its_time(stepped, monkeypatch):
    monkeypatch.setattr("qhal.tags.pump._OVERDUE_S", 0.2)
    monkeypatch.setattr("qhal_drivers.idquantique.datalink._LATE_MESSAGE_S", 0.8)
    tagger, background = stepped(pulse_rate_hz=1_000.0)
    with tagger.stream() as tags:
        next(tags)
        for channel in range(1, 5):
            pair_of(background, channel).silent = True
        with pytest.raises(QhalError, match="no tags"):
            next(tags)


def test_closing_the_device_ends_its_streams(stepped):
    tagger, background = stepped(pulse_rate_hz=1_000.0)
    tags = tagger.stream()
    next(tags)
    tagger.close()
    assert background.unit(NAME).instrument.recorder.stage == "IDLE"
    with pytest.raises(Disconnected):
        next(tags)


def test_transfer_errors_are_not_kept_quiet(stepped):
    tagger, background = stepped(pulse_rate_hz=1_000.0)
    tags = tagger.stream()
    next(tags)
    background.unit(NAME).instrument.recorder.raw_errors[1] = 7
    with pytest.raises(DeviceError, match=r"transfer errors by input: \{2: 7\}"):
        tags.close()


def test_golden_requests_in_the_order_of_the_vendors_example(stepped):
    tagger, background = stepped(inputs=(2,))
    unit, sent = background.unit(NAME).instrument, []
    carry_out, answer = unit.table.run, unit.datalink.answer

    def note_scpi(message, errors):
        sent.append(message.decode())
        return carry_out(message, errors)

    def note_dlt(request):
        sent.append(request)
        return answer(request)

    unit.table.run, unit.datalink.answer = note_scpi, note_dlt
    tagger.set_threshold_v(2, 0.5)
    assert sent[0] == "INPU2:THRE 0.500000V"
    with tagger.stream() as tags:
        sent.clear()
        next(tags)
    port = background.unit(NAME).pair_ports["stream2"].number
    status = "status --id 127.0.0.1:5557"
    assert [text for text in sent if text != status] == [
        "REC:STOP",
        "stop --id 127.0.0.1:5557",
        "RAW2:SEND OFF",
        "RAW2:ERRORS?",
    ]
    assert status in sent
    sent.clear()
    tagger.stream().close()
    started = sent[sent.index("REC:STOP") : sent.index("REC:PLAY") + 1]
    assert started == [
        "REC:STOP",
        "list",
        "REC:TRIG:ARM:MODE MANU",
        "REC:ENAB ON",
        "REC:NUM INF",
        "REC:PWID 200000000000",
        "REC:PPER 200000103700",
        "RAW2:ERRORS:CLEAR",
        "RAW2:REF:LINK NONE",
        f"start-stream --address 127.0.0.1 --channel 2 --stream-port {port}",
        "RAW2:SEND ON",
        "REC:PLAY",
    ]
