"""Records of other calibrations fill a plan in; what the user says counts for more, and each is named in the record."""

from datetime import UTC, datetime, timedelta

import pytest

from qhal.calibration import Site, calibrations, load_calibration
from qhal.errors import ConfigurationError, InvalidRecord
from qhal.records.record import Instrument, Quantity, Record, Validity
from qhal.records.uncertain import statistical

SITE = Site("here")


def record(calibration, inputs, *found, instruments=()):
    now = datetime(2026, 11, 1, tzinfo=UTC)
    return Record(
        id=f"{calibration}-{inputs.get('channel', 0)}",
        calibration=calibration,
        title=calibration,
        method="by hand",
        started=now,
        finished=now,
        operator="test",
        software="qhal",
        instruments=instruments,
        inputs=inputs,
        quantities=tuple(
            Quantity.of(name, "1", statistical("noise", value, sigma), **at)
            for name, value, sigma, at in found
        ),
        validity=Validity(until=now + timedelta(days=30)),
    )


def modulator(channel, v0_v, vpi_v):
    at = {"channel": channel}
    found = [("v0", v0_v, 0.01, at), ("vpi", vpi_v, 0.02, at), ("extinction_ratio", 27.0, 0.1, at)]
    return record("modulator", {"channel": channel}, *found)


TURNED = record("polarization-modulator", {"channel": 2}, ("vpi", 2.0, 0.01, {"channel": 2}))
CARVER, DECOY = modulator(4, 0.2, 2.1), modulator(1, -0.1, 1.9)
RATIOS = record(
    "intensity-ratio",
    {"fractions": [0.5, 0.3, 0.2], "period_ps": 20_000.0},
    ("intensity_ratio", 0.25, 0.001, {"intensity": 1}),
    ("intensity_ratio", 0.01, 0.002, {"intensity": 2}),
)


def plan(name, records, **values):
    return load_calibration(name).plan_at(SITE, values, records)


@pytest.mark.parametrize("name", ["intensity-ratio", "clock-offset", "timing-profile", "receiver-matrix"])
def test_a_transmitter_is_known_by_its_modulators(name):
    found = plan(name, [TURNED, CARVER, DECOY])
    assert (found.carver.v0_v, found.carver.vpi_v, found.carver.extinction_db) == (0.2, 2.1, 27.0)
    assert (found.decoy.v0_v, found.polarization.vpi_v) == (-0.1, 2.0)
    assert plan(name, [CARVER], carver={"v0_v": 1.0}).carver.v0_v == 1.0
    if name == "receiver-matrix":
        assert found.vpi_uncertainty == pytest.approx(0.005)


def test_other_modulators_are_held_open_and_the_own_one_at_its_ends():
    assert plan("modulator", [CARVER, DECOY], channel=1).held_v == {4: 0.2}
    assert plan("polarization-modulator", [CARVER, DECOY]).held_v == {4: 0.2, 1: -0.1}
    hold = plan("modulator-bias", [CARVER, DECOY])
    assert hold.start_v == pytest.approx(-1.9)  # 0.2 V - 2.1 V is nearer to 0 V than their sum
    assert (hold.vpi_v, hold.vpi_uncertainty_v, hold.held_v) == (2.1, pytest.approx(0.02), {1: -0.1})
    pulses = plan("photon-statistics", [CARVER, DECOY])
    assert (pulses.open_v, pulses.closed_v) == (0.2, pytest.approx(-1.9))


BIAS_UA = (25.0, 27.0)


def of_detectors(calibration, **quantities):
    biased = Instrument(
        role="detectors",
        device="detectors",
        driver_model="",
        settings={"bias_ua": list(BIAS_UA)},
        setting_tolerances={"bias_ua": 0.005},
    )
    found = [
        (name, value, 1.0, {"channel": channel})
        for name, values in quantities.items()
        for channel, value in enumerate(values, 1)
    ]
    return record(calibration, {}, *found, instruments=(biased,))


DEAD = of_detectors("dead-time", dead_time=(30.0, 36.0), recovery_time=(10.0, 12.0))
AFTER = of_detectors("afterpulse", afterpulse_probability=(0.01, 0.01))


def test_dead_time_recovery_and_afterpulses_come_from_the_detectors():
    site = Site("here", names={"detectors": "detectors"})
    efficiency = load_calibration("detection-efficiency")
    found = efficiency.plan_at(site, {"path": []}, [DEAD, AFTER])
    assert found.dead_time_ns == 44.0  # effective: with the recovery, on average over the channels
    # Two channels of 40 and 48 ns, each known to 2^0.5 ns: what the plan's one value is off by for either.
    assert found.dead_time_uncertainty_ns == pytest.approx((1.0 + 32.0) ** 0.5)
    assert (found.afterpulse_probability, found.afterpulse_uncertainty) == (0.01, pytest.approx(0.5**0.5))
    assert plan("linearity", [DEAD]).recovery_time_ns == 11.0
    default = type(found)(path=[])
    told = efficiency.plan_at(site, {"path": [], "dead_time_ns": 20.0}, [DEAD])
    assert (told.dead_time_ns, told.dead_time_uncertainty_ns) == (20.0, default.dead_time_uncertainty_ns)
    of_others = efficiency.plan_at(Site("here", names={"detectors": "others"}), {"path": []}, [DEAD])
    assert of_others.dead_time_ns == default.dead_time_ns


def test_detectors_at_another_bias_are_others():
    values = {"path": [], "bias_ua": [25, 28]}
    with pytest.raises(InvalidRecord, match=r"bias_ua is \(25, 28\), was \(25.0, 27.0\)"):
        plan("detection-efficiency", [DEAD], **values)
    for bias_ua in ([25, 27], [25.003, 26.998]):
        assert plan("detection-efficiency", [DEAD], path=[], bias_ua=bias_ua).dead_time_ns == 44.0
    with pytest.raises(ConfigurationError, match="bias_ua"):
        plan("detection-efficiency", [DEAD], path=[], bias_ua="x")


def test_intensities_come_from_the_pattern_that_was_counted():
    found = plan("mean-photon-number", [RATIOS], path=[], set_db=[55.0])
    assert found.ratios == (1.0, 0.25, 0.01)
    assert found.ratio_uncertainties == (0.0, 0.001, 0.002)
    assert found.pulse_rate_hz == 50e6
    assert found.probabilities == (0.5, 0.3, 0.2)


def test_two_records_of_one_thing_are_refused():
    with pytest.raises(InvalidRecord, match="are both of output 4: give one"):
        plan("clock-offset", [CARVER, CARVER])
    with pytest.raises(InvalidRecord, match="are all of intensity-ratio: give one"):
        plan("mean-photon-number", [RATIOS, RATIOS], path=[])


def test_what_nobody_tells_is_asked_for():
    for name in ("detection-efficiency", "mean-photon-number", "loss-budget", "classical-noise"):
        values = {"set_db": [55.0], "pulse_rate_hz": 1e8} if name == "mean-photon-number" else {}
        with pytest.raises(ConfigurationError, match=f"{name}: path: it is needed"):
            plan(name, [], **values)
    for name in ("afterpulse", "linearity"):
        with pytest.raises(ConfigurationError, match=f"{name}: recovery_time_ns: it is needed"):
            plan(name, [])


def test_every_calibration_that_takes_records_names_those_that_there_are():
    for name in calibrations():
        found = load_calibration(name)
        assert set(found.uses) <= set(calibrations())
