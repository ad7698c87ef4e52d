"""The WebSQ driver over two real sockets, under every option."""

import random
import time

import pytest

from qhal.devices.detector import DetectorState
from qhal.errors import DeviceError, OutOfRange, ReplyTimeout, WrongDevice

NAME = "singlequantum.websq"
BIAS = (20.0, 21.0, 22.0, 23.0)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"glued": True},
        {"broadcast": False},
        {"voltage_unit": "V"},
        {"detectors": 2},
        {"new_period": "next"},
        {"shown_after_s": 0.2},
        {"label_order": "voltages first"},
    ],
)
def test_bias_and_counts(bench, options):
    detector, background = bench(NAME, **options)
    port = background.unit(NAME).instrument.port
    bias = BIAS[: options.get("detectors", 4)]
    assert detector.set_bias_ua(bias) == bias
    detector.set_trigger_mv([120.0] * len(bias))
    detector.enable()
    assert port.settings.enabled
    assert port.settings.bias_ua[: len(bias)] == bias
    reading = detector.read_counts(0.05)
    assert len(reading.counts) == len(bias)
    assert sum(reading.counts) > 0
    assert reading.period_s == 0.05
    status = detector.status()
    assert set(status.states) == {DetectorState.BIASED}
    detector.make_safe()
    assert not port.settings.enabled


@pytest.mark.parametrize("new_period", ["at once", "next"])
@pytest.mark.parametrize("lag_s", [0.0, 0.15])
def test_counts_are_of_a_period_that_began_after_the_call(bench, new_period, lag_s):
    detector, background = bench(NAME, new_period=new_period)
    unit, draw = background.unit(NAME), random.Random(1)
    instrument, clock = unit.instrument, unit.instrument.clock
    instrument.readings.counts = lambda: (round(1e6 * clock.now_s()),) * 4
    if lag_s:
        background.do(lambda: setattr(unit.endpoints["counts"], "delay_s", lambda: lag_s))
    for period_s in (0.2, 0.05, 0.05, 0.01, 0.1, 0.03, 0.03):
        time.sleep(draw.uniform(0, 0.05))  # anywhere within a period that runs
        called_s = background.do(clock.now_s)
        reading = detector.read_counts(period_s)
        began_s = reading.device_time_s - instrument.options.unix_start_s - period_s
        assert began_s >= called_s - 1e-4
        assert reading.period_s == period_s
    assert detector.health.timeouts == detector.health.protocol_errors == 0


def test_a_unit_that_pushes_no_counts_is_named(bench):
    detector, background = bench(NAME)
    background.do(lambda: setattr(background.unit(NAME).endpoints["counts"], "silent", True))
    with pytest.raises(ReplyTimeout, match="no line of counts"):
        detector.read_counts(0.01)
    assert detector.status()


def test_a_period_that_another_client_changes_is_an_error(bench, monkeypatch):
    detector, background = bench(NAME)
    unit, open_connection = background.unit(NAME).instrument, detector.session.open_connection

    def open_and_change(name):
        connection = open_connection(name)
        background.do(lambda: unit.set("InptMeasurementPeriod", 200))
        return connection

    monkeypatch.setattr(detector.session, "open_connection", open_and_change)
    with pytest.raises(DeviceError, match=r"became 0.2 s during a reading of 0.1 s; another client"):
        detector.read_counts(0.1)


def test_a_set_up_that_never_shows_is_an_error(bench):
    detector, _ = bench(NAME, shown_after_s=3600.0)
    with pytest.raises(DeviceError, match=r"BiasCurrent is \[0.0, 0.0, 0.0, 0.0\] .* after setting"):
        detector.set_bias_ua(BIAS)


@pytest.mark.parametrize("unit", ["mV", "V"])
def test_latched_and_unlatched(bench, unit):
    detector, background = bench(NAME, voltage_unit=unit, driver_options={"voltage_unit": unit})
    instrument = background.unit(NAME).instrument
    port, apply = instrument.port, instrument.port.apply
    latched = [False, True, False, False]

    def unlatching(settings):
        apply(settings)
        latched[1] = latched[1] and settings.bias_ua[1] > 0

    port.apply = unlatching
    instrument.readings.voltages_v = lambda: tuple(2.4 if bad else 0.007 for bad in latched)
    detector.set_bias_ua(BIAS)
    detector.enable()
    assert detector.status().states[1] is DetectorState.LATCHED
    assert detector.status().problems == ("channel 2 is latched",)
    detector.unlatch()
    assert DetectorState.LATCHED not in detector.status().states
    assert port.settings.bias_ua == BIAS


def test_wrong_requests_send_nothing(bench):
    detector, _ = bench(NAME)
    before = detector.health.exchanges
    with pytest.raises(OutOfRange, match="3 values of bias, 4 are needed"):
        detector.set_bias_ua(BIAS[:3])
    with pytest.raises(OutOfRange, match=r"bias of channel 4 51.0 is not between 0 and 50 uA"):
        detector.set_bias_ua((*BIAS[:3], 51.0))
    with pytest.raises(OutOfRange, match="period"):
        detector.read_counts(0.001)
    assert detector.health.exchanges == before


def test_another_clients_changes_do_not_disturb(bench, simulate):
    from qhal import open_device

    detector, background = bench(NAME)
    with open_device(NAME, background.address(NAME), connections=background.connections(NAME)) as other:
        for current in (5.0, 6.0, 7.0):
            other.set_bias_ua([current] * 4)
            assert detector.status().bias_ua == (current,) * 4


def test_power_cycle_takes_the_bias_away_and_is_reported(bench):
    detector, background = bench(NAME)
    detector.set_bias_ua(BIAS)
    detector.enable()
    background.run(lambda: background.simulation.restart(NAME))
    assert detector.status().states == (DetectorState.OFF,) * 4
    assert detector.health.settings_changed["enabled"] == ("True", "False")
    assert not background.unit(NAME).instrument.port.settings.enabled


def test_wrong_shape(simulate):
    from qhal import open_device

    background = simulate(NAME, detectors=2)
    with pytest.raises(WrongDevice, match="'2 detectors', '4 detectors' is expected"):
        open_device(
            NAME,
            background.address(NAME),
            connections=background.connections(NAME),
            expected={"shape": "4 detectors"},
        )
