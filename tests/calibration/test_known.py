"""Records of other calibrations fill a plan in; what the user says counts for more, and each is named in the record."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from uncertainties import covariance_matrix

from qhal.calibration import Site, calibrations, load_calibration
from qhal.calibration.framework.data import Data
from qhal.calibration.framework.points import tables_of
from qhal.calibration.optics.staircase import BINS
from qhal.calibration.transmitter.polarization_modulator import PolarizationModulatorPlan, evaluate
from qhal.errors import ConfigurationError, InvalidRecord
from qhal.records.hdf5 import read_record
from qhal.records.origin import RecordOrigin
from qhal.records.quantity import contributions_of
from qhal.records.record import Instrument, Quantity, Record, Validity
from qhal.records.store import RecordStore
from qhal.records.uncertain import statistical

SITE = Site("here")


def steep_counts():
    """Counts so fast that a dead time matters, of light that turns about an axis."""
    settings = PolarizationModulatorPlan(repetitions=2)
    levels_v, rows = settings.staircase().levels_v, []
    rng = np.random.default_rng(1)
    for n in range(2):
        angle = np.pi * levels_v / 1.9
        outputs = (1 + np.cos(angle), 1 - np.cos(angle), 1 + np.sin(angle), 1 - np.sin(angle))
        counts = rng.poisson(np.repeat(4e3 * (0.05 + np.array(outputs)), BINS, axis=1))
        row = {
            "repetition": n + 1,
            "played_v": levels_v.tolist(),
            "counts": counts.tolist(),
            "bin_s": 0.001,
        }
        rows.append(("staircase", row))
    return Data(tables_of(rows))


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
    assert found.dead_time_error.std_dev == pytest.approx(1.0)
    default = type(found)(path=[])
    told = efficiency.plan_at(site, {"path": [], "dead_time_ns": 20.0}, [DEAD])
    assert (told.dead_time_ns, told.dead_time_uncertainty_ns) == (20.0, default.dead_time_uncertainty_ns)
    assert told.from_records == ()
    of_others = efficiency.plan_at(Site("here", names={"detectors": "others"}), {"path": []}, [DEAD])
    assert of_others.dead_time_ns == default.dead_time_ns


def test_plans_refer_to_the_quantities_of_a_record():
    (budget,) = plan("detection-efficiency", [DEAD], path=[]).from_records
    assert budget.parameter == "dead_time_ns"
    lines = budget.contributions
    assert {line.origin for line in lines} == {RecordOrigin(DEAD.id)}
    assert {line.name for line in lines} == {
        *(f"statistical error of {q.label}" for q in DEAD.quantities),
        "difference of the channels, dead_time + recovery_time",
    }
    # As a plan is kept in a journal, read again, and as another calibration has it: one error.
    first, other = plan("filter-scan", [DEAD]), plan("modulator", [DEAD])
    again = type(first).model_validate_json(first.model_dump_json())
    assert again == first
    for each in (again, other):
        assert (first.dead_time_error - each.dead_time_error).std_dev == pytest.approx(0, abs=1e-9)
    own = type(first)()
    assert (first.dead_time_error - own.dead_time_error).std_dev == pytest.approx(2**0.5)


def test_results_with_one_record_of_the_dead_time_share_its_error(tmp_path):
    """Two modulators, each measured once; both rest on one record, or each has a guess of its own."""

    def vpi_of(name, values):
        evaluation = evaluate(steep_counts(), PolarizationModulatorPlan(**values))
        made = record("polarization-modulator", {"channel": 2})
        made = made.model_copy(update={"id": name, "quantities": tuple(evaluation.quantities)})
        return read_record(RecordStore(tmp_path).save(made)).value("vpi")

    own = {"repetitions": 2, "dead_time_ns": 44.0, "dead_time_uncertainty_ns": 5.745}
    known = plan("polarization-modulator", [DEAD], repetitions=2).model_dump()
    for number, (values, common) in enumerate(((own, False), (known, True))):
        one, other = (vpi_of(f"vpi-{number}-{n}", values) for n in (1, 2))
        (_, shared), _ = covariance_matrix([one, other])
        dead_time = sum(
            line.value**2 for line in contributions_of(one) if line.origin == RecordOrigin(DEAD.id)
        )
        assert shared == pytest.approx(dead_time, rel=1e-6, abs=1e-20)
        assert (dead_time > 0) is common


def test_only_records_and_units_are_origins_of_a_plan():
    line = {"kind": "systematic", "name": "dead time", "value": 1.0}
    for budgets, message in (
        ({"parameter": "dead_time_ns", "contributions": [line]}, "dead time: neither a record nor a unit"),
        ({"parameter": "dead_time", "contributions": []}, "dead_time is not a parameter"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            plan("detection-efficiency", [], path=[], from_records=[budgets])


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
