"""The switch's losses from readings made up here."""

import numpy as np
import pytest

from qhal.calibration.channel.switch_loss import NO_DRIFT, SwitchLossPlan, evaluate
from qhal.calibration.framework.data import Data
from qhal.calibration.framework.points import tables_of
from qhal.records.record import Quantity

PLAN = SwitchLossPlan(repetitions=6, readings=4)
PORTS = (17, 18, 19)
LOSS_DB = {17: 1.0, 18: 1.3, 19: 0.8}


def readings(
    repeats_db=0.05, crosstalk_db=lambda connected, port: 40.0, lowest_dbm=-60.0, drift_db=0.0, dark_dbm=-90.0
):
    noise, rows = np.random.default_rng(3), []
    dark = {
        "ingress": 1,
        "egresses": list(PORTS),
        "power_dbm": [max(lowest_dbm, dark_dbm)] * 3,
        "lowest_dbm": lowest_dbm,
    }
    for visit in range(18):
        connected = PORTS[visit % 3]
        landing_db = repeats_db * noise.standard_normal() + drift_db * visit
        lost_db = [
            LOSS_DB[port] + (landing_db if port == connected else crosstalk_db(connected, port))
            for port in PORTS
        ]
        entering = 5.0 + 0.01 * noise.standard_normal(4)
        leaving = 5.0 - np.array(lost_db) + 0.01 * noise.standard_normal((4, 3))
        leaving = 10 * np.log10(10 ** (leaving / 10) + 10 ** (dark_dbm / 10))
        row = {"egress": connected, "at_s": float(visit), "entering_dbm": entering.tolist()}
        rows.append(("visits", row | {"leaving_dbm": np.maximum(leaving, lowest_dbm).tolist()}))
    return Data(tables_of([("dark", dark), *rows]))


def by_name(found, name) -> list[Quantity]:
    return [q for q in found.quantities if q.name == name]


def test_what_is_there_is_found():
    found = evaluate(readings(), PLAN)
    for q in by_name(found, "insertion_loss"):
        assert abs(q.value - LOSS_DB[q.at["egress"]]) < 4 * q.statistical
        # Scatter of six visits; both monitors' scales.
        assert q.statistical == pytest.approx(0.05 / 6**0.5, rel=0.6)
        assert q.systematic == pytest.approx(PLAN.scale_uncertainty_db * 2**0.5, rel=0.01)
    for q in by_name(found, "crosstalk"):
        assert abs(q.value - 40.0) < 4 * q.statistical
        assert q.systematic == pytest.approx(4 * PLAN.nonlinearity_uncertainty_db_per_10db, rel=0.01)
    (repeatability,) = by_name(found, "repeatability")
    assert repeatability.value == pytest.approx(0.05, abs=4 * repeatability.uncertainty)
    assert not any(fit.poor for fit in found.fits)


@pytest.mark.parametrize(("lowest_dbm", "dark_dbm"), [(-60.0, -55.0), (-40.0, -41.0), (-40.0, -60.0)])
def test_light_from_elsewhere_is_no_crosstalk(lowest_dbm, dark_dbm):
    found = evaluate(readings(lowest_dbm=lowest_dbm, dark_dbm=dark_dbm), PLAN)
    for q in by_name(found, "crosstalk"):
        assert abs(q.value - 40.0) < 4 * q.statistical + 3**0.5 * q.systematic
    assert len(by_name(found, "crosstalk")) == 3


def test_crosstalk_that_depends_on_the_connection_is_a_poor_fit_with_its_scatter():
    found = evaluate(readings(crosstalk_db=lambda connected, port: 40.0 + 0.1 * (connected - 18)), PLAN)
    poor = [fit for fit in found.fits if fit.poor]
    assert len(poor) == 3
    assert all(fit.scaled and fit.model != NO_DRIFT for fit in poor)
    assert all(q.statistical > 0.05 for q in by_name(found, "crosstalk"))


def test_a_drift_is_a_poor_fit_with_the_scatter_of_visits():
    found = evaluate(readings(drift_db=0.03), PLAN)
    assert [fit.model for fit in found.fits if fit.poor] == [NO_DRIFT]
    assert all(q.statistical > 0.1 for q in by_name(found, "insertion_loss"))


def test_what_cannot_be_resolved_is_a_limit():
    found = evaluate(readings(repeats_db=0.0, lowest_dbm=-36.0), PLAN)
    assert {q.name for q in found.quantities} == {"insertion_loss"}
    told = " ".join(found.remarks)
    assert "crosstalk from 1 to 18: at least 37 dB" in told
    assert "repeat to better than 0.0" in told
