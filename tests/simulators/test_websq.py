"""Golden messages of the WebSQ electronics, in the styles of both known clients."""

import json

import pytest

from qhal_simulators.clock import SimulationClock
from qhal_simulators.instruments.singlequantum.websq import WebSq, WebSqOptions


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
    assert unit.unit.port.enabled
    assert unit.unit.port.bias_ua == (1.0, 2.0, 3.0, 4.0)


def test_a_line_of_counts_each_period():
    unit = Unit(unix_start_s=1000.0)
    clicks = [(0, 0, 0, 0), (5, 6, 7, 8), (15, 6, 7, 9)]
    unit.unit.port.read_clicks = lambda: clicks[min(2, round(unit.clock.now_s() / 0.2))]
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
