"""The curve of an attenuator, read from a record made by hand."""

from datetime import UTC, datetime

import numpy as np
import pytest

from qhal.errors import InvalidRecord, OutOfRange
from qhal.records.curve import AttenuatorCurve
from qhal.records.origin import RecordOrigin
from qhal.records.record import Instrument, Quantity, Record, Validity
from qhal.records.uncertain import ErrorSource, budget, statistical, systematic

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def curve_of(places, values, repeatability_db=0.03):
    loss, meter = systematic("insertion loss", 0.0, 0.2), systematic("meter nonlinearity", 0.0, 0.01)
    quantities = [
        Quantity.of(
            "attenuation", "dB", statistical("readings", v, 0.005) + loss + meter * (v / 10), set_db=place
        )
        for place, v in zip(places, values, strict=True)
    ]
    quantities.append(Quantity.of("repeatability", "dB", statistical("scatter", repeatability_db, 0.001)))
    record = Record(
        id="attenuator-curve-x", calibration="attenuator-curve", title="", method="", started=NOW, finished=NOW,
        operator="", software="", instruments=(Instrument(role="attenuator", device="voa", driver_model=""),),
        inputs={}, quantities=tuple(quantities), validity=Validity(until=NOW),
    )  # fmt: skip
    return AttenuatorCurve(record)


def test_what_is_common_cancels_in_a_difference():
    curve = curve_of([0.0, 10.0, 20.0, 30.0], [1.0, 11.5, 21.8, 32.4])
    change = curve.attenuation_db(30.0) - curve.attenuation_db(10.0)
    assert change.nominal_value == pytest.approx(20.9)
    # Two moves, two readings, the meter over 20.9 dB; no insertion loss.
    assert change.std_dev == pytest.approx(
        np.sqrt(2 * 0.03**2 + 2 * 0.005**2 + (0.001 * 20.9) ** 2), rel=1e-6
    )
    again = curve.attenuation_db(10.0) - curve.attenuation_db(10.0)
    assert again.std_dev == pytest.approx(0.03 * 2**0.5), "the move alone is new"


def test_between_set_points_it_may_be_off_by_the_bend():
    places = np.arange(0.0, 41.0, 2.0)

    def truly(set_db):
        return 1.2 + set_db + 0.3 * np.sin(2 * np.pi * set_db / 12)

    curve = curve_of(places, truly(places), repeatability_db=0.0)
    middles = places[:-1] + 1.0
    found = [curve.attenuation_db(middle) for middle in middles]
    off_db = truly(middles) - [value.nominal_value for value in found]
    origin = RecordOrigin("attenuator-curve-x")
    expected_db = [
        budget(value)[ErrorSource("systematic", f"interpolation of voa at {middle:g} dB", origin)]
        for value, middle in zip(found, middles, strict=True)
    ]
    assert np.sqrt(np.mean(off_db**2)) == pytest.approx(np.mean(expected_db), rel=0.15)
    assert not any("interpolation" in source.name for source in budget(curve.attenuation_db(4.0)))


def test_the_set_point_for_an_attenuation_leads_back():
    curve = curve_of([1.2, 10.0, 20.0, 30.0], [1.0, 11.5, 21.8, 32.4])
    for set_db in (1.2, 5.5, 10.0, 29.0):
        assert curve.set_point_db(curve.attenuation_db(set_db).nominal_value) == pytest.approx(set_db)


def test_beyond_the_curve_nothing_is_made_up():
    curve = curve_of([1.2, 10.0, 20.0], [1.0, 11.5, 21.8])
    with pytest.raises(OutOfRange, match=r"voa: set point 20.1 dB; its curve is known from 1.2 to 20 dB"):
        curve.attenuation_db(20.1)
    with pytest.raises(OutOfRange, match=r"voa: 0.5 dB is beyond its curve, 1.00 to 21.80 dB"):
        curve.set_point_db(0.5)
    with pytest.raises(InvalidRecord, match="does not increase"):
        curve_of([1.2, 10.0, 20.0], [1.0, 11.5, 11.5])
