"""Golden messages of the WebSQ electronics, in the styles of both known clients."""

import json

import pytest

from qhal_simulators.instruments.singlequantum.websq import WebSq
from qhal_simulators.instruments.singlequantum.websq_options import WebSqOptions
from qhal_simulators.simulated_time import SimulationClock


class Unit:
    def __init__(self, **options):
        self.clock = SimulationClock(stepped=True)
        self.unit = WebSq(self.clock, options=WebSqOptions(**options))
        self.sent, self.lines = [], []
        self.control = self.unit.connect("main", self.sent.append)
        self.counts = self.unit.connect("counts", self.lines.append)

    def ask(self, *chunks):
        for chunk in chunks:
            self.control.receive(chunk)
        reply, self.sent[:] = b"".join(self.sent), []
        return reply


def objects(reply):
    decoder, found = json.JSONDecoder(), []
    for chunk in reply.decode().split("\x17"):
        while chunk:
            message, end = decoder.raw_decode(chunk)
            found.append((message["label"], message["value"]))
            chunk = chunk[end:]
    return found


@pytest.mark.parametrize("glued", [False, True])
def test_label_properties(glued):
    reply = Unit(glued=glued).ask(b'{"request": "labelProps", "value": "None"}')
    assert reply.endswith(b"}\x17")
    labels = dict(objects(reply))
    assert labels["NumberOfDetectors"] == {"value": 4}
    assert labels["BiasCurrent"] == {"value": [0.0, 0.0, 0.0, 0.0]}
    assert reply.count(b"\x17") == (1 if glued else len(labels))


def test_set_ups_are_told_to_every_client():
    unit, other = Unit(), []
    unit.unit.connect("main", other.append)
    period = b'{"command":"SetMeasurementPeriod","label":"InptMeasurementPeriod","value":200}'
    bias = b'{"command": "SetAllBiasCurrents", "label": "BiasCurrent", "value": [1, 2, 3, 4]}\n'
    assert unit.ask(period[:30], period[30:] + bias) == (
        b'{"label": "InptMeasurementPeriod", "value": 200}\x17'
        b'{"label": "BiasCurrent", "value": [1.0, 2.0, 3.0, 4.0]}\x17'
    )
    assert len(other) == 2
    unit.ask(b'{"command": "DetectorEnable", "label": "DetectorEnable", "value": true}')
    assert unit.unit.port.settings.enabled
    assert unit.unit.port.settings.bias_ua == (1.0, 2.0, 3.0, 4.0)


def test_a_line_of_counts_each_period():
    unit = Unit(unix_start_s=1000.0)
    clicks = [(0, 0, 0, 0), (5, 6, 7, 8), (15, 6, 7, 9)]
    unit.unit.readings.counts = lambda: clicks[min(2, round(unit.clock.now_s() / 0.2))]
    unit.ask(b'{"command": "SetMeasurementPeriod", "label": "InptMeasurementPeriod", "value": 200}')
    unit.clock.advance_to(0.5)
    assert unit.lines == [b"1000.200000,5,6,7,8\n", b"1000.400000,10,0,0,1\n"]


@pytest.mark.parametrize(
    "request_",
    [
        b'{"command": "SetAllBiasCurrents", "value": [1, 2]}',
        b'{"command": "SetAllBiasCurrents", "value": [1, 2, 3, 91]}',
        b'{"command": "SetMeasurementPeriod", "value": 5}',
        b'{"command": "Nonsense"}',
        b'{"request": "Nonsense"}',
        b'{"label": "IVScanStart", "value": 100}',
    ],
)
def test_errors_are_labels(request_):
    [(label, value)] = objects(Unit().ask(request_))
    assert "Error" in label
    assert value


@pytest.mark.parametrize(
    "chunks",
    [
        (b'{bad}{"request": "NumberOfDetectors"}',),
        (b'}}]{"request": "NumberOfDetectors"}',),
        (b'{"a": "\n', b'{"request": "NumberOfDetectors"}'),
        (b'{"a": {"b": "}\\"{"}', b"}", b'{"request": "NumberOfDetectors"}'),
        (b"\xff", b'{"request": "Number', b'OfDetectors"}'),
    ],
)
def test_a_broken_request_is_an_error_and_no_more(chunks):
    *wrong, (label, value) = objects(Unit().ask(*chunks))
    assert (label, value) == ("NumberOfDetectors", 4)
    assert [label for label, _ in wrong] == ["ErrorMessage"]


def test_temperatures_come_with_their_times():
    unit = Unit(unix_start_s=1_715_929_317.25)
    unit.ask(b'{"request": "TemperatureHistory"}')
    unit.clock.advance_to(60)
    [(label, history)] = objects(unit.ask(b'{"request": "TemperatureHistory"}'))
    assert label == "temperature_long_memory"
    assert history["x"] == ["17-May-24 07:01:57.250000", "17-May-24 07:02:57.250000"]
    assert {len(values) for values in history.values()} == {2}
    assert history["T"] == [2.5, 2.5]


def test_a_scan_ends_with_the_bias_curve():
    unit = Unit()
    unit.ask(
        b'{"command": "SetMeasurementPeriod", "value": 200}{"label": "IVScanStart", "value": 27}'
        b'{"label": "IVScanEnd", "value": 29}{"label": "IVScanIncrement", "value": 0.5}'
        b'{"command": "SetAllBiasCurrents", "value": [20, 20, 20, 20]}'
    )
    unit.ask(b'{"command": "IVScanEnable", "label": "IVScanEnable", "value": true}')
    [(label, value)] = objects(unit.ask(b'{"command": "SetAllBiasCurrents", "value": [1, 1, 1, 1]}'))
    assert (label, "running" in value) == ("ErrorMessage", True)
    unit.clock.advance_to(0.99)
    assert unit.ask(b'{"request": "IVScanEnable"}').endswith(b"true}\x17")
    unit.clock.advance_to(1.01)
    labels = dict(objects(unit.ask(b'{"request": "IVHistory"}')))
    assert labels["IVScanEnable"] is False
    counts, voltages = labels["ic_scan_history"], labels["iv_scan_history"]
    assert [point["biasCurrent"] for point in counts] == [27, 27.5, 28, 28.5, 29]
    assert [point["y1"] > 1000 for point in counts] == [False, False, True, False, False], (
        "latched from 28.1 uA"
    )
    assert [point["v1"] > 1000 for point in voltages] == [False, False, False, True, True]
    assert voltages[0].keys() == {"biasCurrent", "v1", "v2", "v3", "v4"}
    properties = dict(objects(unit.ask(b'{"request": "labelProps"}')))
    assert properties["ic_scan_history"] == {"value": counts}
    assert unit.unit.port.settings.bias_ua == (20.0,) * 4
    assert not unit.unit.port.settings.enabled, "as it was before the scan"
    assert not any(unit.unit.readings.latched())


def dark_rates_hz(unit, currents):
    unit.ask(json.dumps({"command": "SetAllBiasCurrents", "value": currents}).encode())
    unit.ask(b'{"command": "DetectorEnable", "value": true}')
    before = unit.unit.readings.counts()
    unit.clock.advance_to(unit.clock.now_s() + 50)
    return [(now - then) / 50 for now, then in zip(unit.unit.readings.counts(), before, strict=True)]


@pytest.mark.parametrize(("per", "factor"), [("period", 10.0), ("second", 1.0)])
def test_the_automatic_search_finds_the_dark_counts_asked_for(per, factor):
    unit, wanted = Unit(search_counts=per, dark_rate_hz=20.0), [1000, 2000, 400, 4000]
    unit.ask(json.dumps({"command": "DarkCountsAutoIV", "value": wanted}).encode())
    assert unit.ask(b'{"command": "AutoCaliBiasCurrents", "value": true}').endswith(b"true}\x17")
    unit.clock.advance_to(5)
    labels = dict(objects(unit.ask(b"")))
    assert labels["StartAutoIV"] is False
    assert labels["BiasCurrent"] == labels["BiasCurrentAutoIV"]
    rates_hz = dark_rates_hz(unit, labels["BiasCurrentAutoIV"])
    for rate_hz, counts in zip(rates_hz, wanted, strict=True):
        assert rate_hz == pytest.approx(counts * factor, rel=0.5)


def test_a_search_without_an_answer_is_an_error_and_changes_nothing():
    unit = Unit()
    unit.ask(b'{"command": "SetAllBiasCurrents", "value": [5, 6, 7, 8]}')
    unit.ask(b'{"command": "DarkCountsAutoIV", "value": [100, 100, 100, 1e9]}')
    unit.ask(b'{"command": "AutoCaliBiasCurrents", "value": true}')
    unit.clock.advance_to(5)
    labels = dict(objects(unit.ask(b"")))
    assert "detector 4" in labels["ErrorMessage"]
    assert "BiasCurrentAutoIV" not in labels
    assert unit.unit.labels["BiasCurrent"] == [5.0, 6.0, 7.0, 8.0]


def test_bias_off_ends_a_search_at_once():
    unit = Unit()
    unit.ask(b'{"command": "AutoCaliBiasCurrents", "value": true}')
    unit.clock.advance_to(0.3)
    assert unit.unit.port.settings.enabled
    unit.ask(b'{"command": "DetectorEnable", "value": false}')
    unit.clock.advance_to(5)
    assert not unit.unit.port.settings.enabled
    assert unit.unit.labels["StartAutoIV"] is False
