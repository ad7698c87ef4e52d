"""What a unit cannot mean: refused by a verb, None and a problem in a status; what it may mean is taken."""

import json
import random
import re

import pytest

from qhal.devices.detector import DetectorState
from qhal.devices.power_meter import PowerMeter
from qhal.devices.status import Quality
from qhal.errors import DeviceError, NoValue, ProtocolError
from qhal_drivers.idquantique.datalink import DataLink
from tests.attacks.mangled import Unit
from tests.attacks.test_replies import OPTIONS


@pytest.fixture
def unit():
    def start(model, **options):
        found = Unit(model, random.Random(1), **OPTIONS.get(model, {}) | options)
        found.reopen()
        return found

    return start


def attenuation(device):
    return device.status().attenuation_db, device.read_attenuation_db


def sample_rate(device):
    return device.status().sample_rate_hz, device.stop


def first_input(device):
    return device.status().inputs[0], lambda: device.set_enabled(1, True)


def frequency(device):
    return device.status().frequency_thz, lambda: device.set_frequency_thz(193.0)


def first_angle(device):
    return device.status().angles_deg[0], device.read_angles_deg


def pattern(device):
    return device.status().pattern, device.read_pattern


CASES = {
    "attenuation beyond the range": (
        "ozoptics.dd100",
        {b"A?": b"Atten:99.00(dB)\r\nDone\r\n\r\n"},
        attenuation,
    ),
    "two points": ("ozoptics.dd100", {b"A?": b"Atten:1.60.00(dB)\r\nDone\r\n\r\n"}, attenuation),
    "400 digits": ("ozoptics.dd100", {b"A?": b"Atten:" + b"9" * 400 + b"(dB)\r\nDone\r\n\r\n"}, attenuation),
    "SCPI's no value": ("tektronix.awg5014", {b"FREQ?": b"9.9100E+37\n"}, sample_rate),
    "SCPI's infinity": ("tektronix.awg5014", {b"FREQ?": b"9.90000E+37\n"}, sample_rate),
    "rate beyond the range": ("tektronix.awg5014", {b"FREQ?": b"1.0E+20\n"}, sample_rate),
    "unknown unit": ("idquantique.id900", {b"INPU1:THRE?": b"0.1 kV"}, first_input),
    "threshold beyond the range": ("idquantique.id900", {b"INPU1:THRE?": b"250V"}, first_input),
    "delay that is not a whole number": ("idquantique.id900", {b"DELA1:VALU?": b"1.5"}, first_input),
    "frequency beyond the range": (
        "purephotonics.ppcl550",
        {bytes([0x40, 0x40, 0, 0]): bytes([0x44, 0x40, 0, 0])},
        frequency,
    ),
    "angle beyond the range": (
        "thorlabs.mpc320",
        {
            bytes.fromhex("90 04 01"): bytes.fromhex(
                "91 04 0e 00 81 50 01 00 ff ff ff 7f 00 00 00 00 00 00 00 80"
            )
        },
        first_angle,
    ),
    "ports that there are not": ("hubersuhner.polatis", {b"STAT?": b"(@1),(@999)\r\n"}, pattern),
    "an egress twice": ("hubersuhner.polatis", {b"STAT?": b"(@1,2),(@5,5)\r\n"}, pattern),
    "sides of different length": ("hubersuhner.polatis", {b"STAT?": b"(@1,2),(@5)\r\n"}, pattern),
}


@pytest.mark.parametrize("name", CASES)
def test_what_cannot_be_is_unknown_in_a_status_and_refused_by_a_verb(unit, name):
    model, instead, read = CASES[name]
    found = unit(model)
    assert found.device.status().quality is Quality.GOOD
    found.instead |= instead
    value, verb = read(found.device)
    assert value is None
    found.heal()
    status = found.device.status()
    assert status.quality is Quality.FAULTED
    assert status.problems
    found.heal()
    with pytest.raises((ProtocolError, NoValue), match=re.escape(found.device.name)):
        verb()
    found.instead.clear()
    found.heal()
    assert found.device.status().quality is Quality.GOOD


@pytest.mark.parametrize(
    ("part", "reply", "expected"),
    [
        (b"INPU1:THRE?", b"250 mV", ("threshold_v", 0.25)),
        (b"INPU1:THRE?", b"100mV\0", ("threshold_v", 0.1)),
        (b"DELA1:VALU?", b"1.5ns", ("delay_ps", 1500)),
        (b"DELA1:VALU?", b"3MTB", ("delay_ps", 3_000_000)),
    ],
)
def test_known_units_are_scaled(unit, part, reply, expected):
    found = unit("idquantique.id900")
    found.instead[part] = reply
    (first, *_), problems = found.device.status().inputs, found.device.status().problems
    assert (getattr(first, expected[0]), problems) == (pytest.approx(expected[1], rel=1e-12), ())


def test_resolution_and_counts_with_units(unit):
    found = unit("idquantique.id900")
    found.device.close()
    found.instead[b"BWID?"] = b"0.1ns"
    with found.device:
        assert found.device.capabilities.resolution_ps == 100
    found.reopen()
    for wrong in (b"12.3k", b"-5", b"1e300", b"nan", b"99999999999999"):
        found.instead[b"INPU1:COUN?"] = wrong
        with pytest.raises((ProtocolError, NoValue)):
            found.device.read_counts(0.1)
        found.heal()


@pytest.mark.parametrize("reply", [b"(-INF)", b"(-9.9E37)", b"(-9.90000E+37)", b"(-60.00)", b"(NINF)"])
def test_no_light_is_an_answer(unit, reply):
    switch = unit("hubersuhner.polatis").device
    switch_unit = switch.connection.transport.unit
    switch_unit.instead[b"PMON:POW? (@5)"] = reply + b"\r\n"
    meter = switch.get(PowerMeter)
    before = switch.health
    assert meter.read_power_dbm(5) is None
    status = meter.status()
    assert status.power_dbm[5] is None
    assert 5 in status.below_range
    assert (status.quality, status.problems) == (Quality.GOOD, ())
    assert (switch.health.state, switch.health.reconnects) == ("ready", before.reconnects)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (b"(9.91E+37)", NoValue),
        (b"(INF)", DeviceError),
        (b"(99.00)", ProtocolError),
        (b"(-1e30)", ProtocolError),
    ],
)
def test_other_powers_that_are_none(unit, reply, error):
    found = unit("hubersuhner.polatis")
    found.instead[b"PMON:POW? (@5)"] = reply + b"\r\n"
    meter = found.device.get(PowerMeter)
    status = meter.status()
    assert status.power_dbm[5] is None
    assert 5 not in status.below_range
    assert len(status.problems) == 1
    with pytest.raises(error):
        meter.read_power_dbm(5)


def labels(unit, **changed):
    """Return what a WebSQ answers, with other values."""
    values = {
        "NumberOfDetectors": 4,
        "DetectorEnable": True,
        "BiasCurrent": [10.0] * 4,
        "TriggerLevel": [100.0] * 4,
    }
    values |= {"BiasVoltage": [5.0] * 4} | changed
    chunks = [json.dumps({"label": name, "value": {"value": value}}) for name, value in values.items()]
    return {b"labelProps": "".join(chunks).encode() + b"\x17"}


NAN = float("nan")
UNKNOWN, BIASED, LATCHED = DetectorState.UNKNOWN, DetectorState.BIASED, DetectorState.LATCHED


@pytest.mark.parametrize(
    ("voltages", "states"),
    [
        ([5.0, 2400.0, 5.0, 5.0], (BIASED, LATCHED, BIASED, BIASED)),
        ([5.0, NAN, 5.0, 5.0], (BIASED, UNKNOWN, BIASED, BIASED)),
        ([True, 5.0, None, "5"], (UNKNOWN, BIASED, UNKNOWN, UNKNOWN)),
        ([-2000.0, 5.0, 1e9, float("inf")], (UNKNOWN, BIASED, UNKNOWN, UNKNOWN)),
        *[(wrong, (UNKNOWN,) * 4) for wrong in ([], [5.0] * 3, [5.0] * 5, NAN, "good", None, {})],
    ],
)
def test_an_unknown_voltage_is_an_unknown_state_and_a_problem(unit, voltages, states):
    found = unit("singlequantum.websq")
    found.instead |= labels(found, BiasVoltage=voltages)
    status = found.device.status()
    assert status.states == states
    assert status.quality is Quality.FAULTED
    assert status.problems
    if UNKNOWN in states:
        with pytest.raises(ProtocolError):
            found.device.unlatch()


@pytest.mark.parametrize("enabled", ["false", [0], 0, 1, None, NAN])
def test_enabled_is_true_or_false(unit, enabled):
    found = unit("singlequantum.websq")
    found.instead |= labels(found, DetectorEnable=enabled)
    assert found.device.status().states == (UNKNOWN,) * 4
    for switch in (found.device.enable, found.device.disable):
        with pytest.raises((ProtocolError, DeviceError)):
            switch()
        found.heal()


@pytest.mark.parametrize(
    "bias", [[10.0, NAN, 10.0, 10.0], [10.0, 1e300, 10.0, 10.0], [10.0], [10.0, True, 10.0, 10.0]]
)
def test_a_bias_that_cannot_be_is_unknown(unit, bias):
    found = unit("singlequantum.websq")
    found.instead |= labels(found, BiasCurrent=bias)
    status = found.device.status()
    assert status.bias_ua[1] is None
    assert status.trigger_mv == (100.0,) * 4
    assert status.problems
    with pytest.raises((ProtocolError, DeviceError)):
        found.device.set_bias_ua([10.0] * 4)


@pytest.mark.parametrize("number", [-3, True, 10**12, 0, "4", NAN, 2.5, None, [4]])
def test_number_of_detectors(unit, number):
    found = unit("singlequantum.websq")
    found.device.close()
    found.instead |= labels(found, NumberOfDetectors=number)
    with pytest.raises(ProtocolError, match="NumberOfDetectors"):
        found.device.open()


@pytest.mark.parametrize(
    "line",
    [
        b"1700000000.5,1,2,-5,4",
        b"1700000000.5,1,2,1e300,4",
        b"nan,1,2,3,4",
        b"1700000000.5,1,2,nan,4",
        b"1,2,3",
        b"1,2.5,3,4,5",
    ],
)
def test_counts_that_cannot_be(unit, line):
    found = unit("singlequantum.websq")
    detector = found.device
    found.between = lambda reply: [line + b"\n"] if reply[:1].isdigit() else [reply]
    with pytest.raises((ProtocolError, NoValue)):
        detector.read_counts(0.1)
    del found.between
    found.heal()
    assert len(detector.read_counts(0.1).counts) == 4


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (b'{"error": "busy"}', DeviceError),
        (b'{"error": {"description": "no such id"}}', DeviceError),
        *[
            (b'{"errors": [], "acquisitions_count": %s, "timestamps_count": 3}' % wrong, ProtocolError)
            for wrong in (b"null", b'"1e3"', b"-5", b"true", b"1.5", b"NaN", b"1e400", b"[1]")
        ],
        (b"[1]", ProtocolError),
        (b"{", ProtocolError),
        (b"[" * 100_000, ProtocolError),
        (b'{"errors": 3, "acquisitions_count": 1, "timestamps_count": 3}', ProtocolError),
    ],
)
def test_counts_of_the_service(unit, reply, error):
    found = unit("idquantique.id900")
    found.instead[b"status --id"] = reply
    with pytest.raises(error):
        DataLink(found.device.session.connection("dlt")).counts("127.0.0.1:5556")


@pytest.mark.parametrize("model", ["tektronix.awg5014", "hubersuhner.polatis"])
@pytest.mark.parametrize(
    "reply",
    [b"0,No error\n", b'0,  "No error"\n', b'0, "No error"\0\r\n', b'0, "No error"\n\r', b"+0\t,x\r\n"],
)
def test_looks_of_the_error_queue_do_not_matter(unit, model, reply):
    found = unit(model)
    found.device.close()
    found.instead[b"SYST:ERR?"] = reply
    with found.device:
        assert found.device.identity.model


def test_a_velocity_of_zero_is_refused(unit):
    found = unit("thorlabs.mpc320")
    found.instead[bytes.fromhex("31 05")] = bytes.fromhex("32 05 0c 00 81 50") + bytes(12)
    with pytest.raises(ProtocolError, match="velocity reads 0 %"):
        found.device.set_angles_deg((10.0, 20.0, 30.0))


def test_a_unit_with_one_odd_setting_still_opens(unit):
    found = unit("tektronix.awg5014")
    found.device.close()
    found.instead[b"FREQ?"] = b"9.9100E+37\n"
    with found.device as generator:
        assert generator.settings["sample_rate_hz"] is None
        assert generator.status().sample_rate_hz is None
        assert generator.health.state == "ready"
