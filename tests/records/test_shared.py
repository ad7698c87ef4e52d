"""Errors that results share are counted once, in one record and across records; origins identify them, not names."""

from datetime import UTC, datetime

import numpy as np
import pytest
from pydantic import ValidationError

from qhal.errors import InvalidRecord
from qhal.records.origin import RecordOrigin, RoleOrigin, UnitOrigin, UnknownOrigin
from qhal.records.quantity import Contribution, Quantity
from qhal.records.record import Instrument, Record, Validity
from qhal.records.shared import correlation
from qhal.records.uncertain import standard_uncertainty, statistical, systematic

NOW = datetime(2026, 1, 1, tzinfo=UTC)
METER = RoleOrigin("meter")


def record(name, numbers, serial_number="7", node="lab"):
    quantities = tuple(Quantity.of("value", "1", number, channel=n) for n, number in enumerate(numbers, 1))
    meter = Instrument(role="meter", device="m", driver_model="", model="PM", serial_number=serial_number)
    made = Record(
        id=name, calibration="some", title="", method="", started=NOW, finished=NOW, operator="", software="",
        node=node, instruments=(meter,), inputs={}, quantities=quantities, validity=Validity(until=NOW),
        correlation=correlation([each.number for each in quantities]),
    )  # fmt: skip
    return Record.model_validate_json(made.model_dump_json())  # as it is read from a file


def values(made):
    return [made.value("value", channel=n) for n in range(1, len(made.quantities) + 1)]


def test_statistical_errors_of_one_record_keep_their_correlation():
    rng = np.random.default_rng(1)
    mixes = (rng.normal(size=(5, 8)), rng.normal(size=(5, 2)), np.zeros((3, 2)))
    for run, mix in enumerate(mixes):
        errors = [statistical(f"error {n}", 0.0, 1.0) for n in range(mix.shape[1])]
        numbers = [
            1.0 + sum(weight * error for weight, error in zip(row, errors, strict=True)) for row in mix
        ]
        weights = rng.normal(size=len(numbers))
        read = values(record(f"some-1-{run}", numbers))
        for one, number in zip(read, numbers, strict=True):
            assert standard_uncertainty(one) == pytest.approx(standard_uncertainty(number), rel=1e-9)
        expected = standard_uncertainty(sum(w * number for w, number in zip(weights, numbers, strict=True)))
        result = standard_uncertainty(sum(w * number for w, number in zip(weights, read, strict=True)))
        assert result == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_a_value_that_is_read_twice_is_one_value():
    made = record("some-2", [statistical("noise", 1.0, 0.1) + systematic("scale", 0.0, 0.2)])
    assert standard_uncertainty(values(made)[0] - values(made)[0]) == 0.0
    again = record("some-3", [statistical("noise", 1.0, 0.1) + systematic("scale", 0.0, 0.2)])
    apart = values(made)[0] - values(again)[0]
    assert standard_uncertainty(apart) == pytest.approx((2 * 0.1**2 + 2 * 0.2**2) ** 0.5)


def test_an_error_of_an_instrument_is_the_same_in_all_its_records():
    scale = systematic("scale", 0.0, 0.2, METER)
    one, other = values(record("some-4", [1 + scale])) + values(record("some-5", [1 - scale]))
    assert standard_uncertainty(one + other) == pytest.approx(0.0, abs=1e-12)
    (stranger,) = values(record("some-6", [1 - scale], serial_number="8"))
    assert standard_uncertainty(one + stranger) == pytest.approx(0.2 * 2**0.5)


def test_units_without_a_serial_number_are_told_apart_by_node_and_name():
    scale = systematic("scale", 0.0, 0.2, METER)
    here, there = (record(f"some-{n}", [1 + scale], serial_number="", node=n) for n in ("here", "there"))
    again = record("some-again", [1 + scale], serial_number="", node="here")
    assert standard_uncertainty(values(here)[0] - values(again)[0]) == pytest.approx(0.0, abs=1e-12)
    assert standard_uncertainty(values(here)[0] - values(there)[0]) == pytest.approx(0.2 * 2**0.5)


@pytest.mark.parametrize("name", ["meter scale", "scale (PM 7)", "scale (some-7)"])
def test_the_spelling_of_a_name_correlates_nothing(name):
    scale = systematic(name, 0.0, 0.2)
    one, other = values(record("some-7", [1 + scale])) + values(record("some-8", [1 - scale]))
    assert standard_uncertainty(one + other) == pytest.approx(0.2 * 2**0.5)


def test_errors_from_another_record_keep_their_origin():
    loss, noise = systematic("loss", 0.0, 0.2), statistical("noise", 0.0, 0.3)
    curve = record("curve-1", [2.0 + loss + noise, 3.0 + systematic("scale", 0.0, 0.1, METER) - noise])
    first, second = values(curve)
    built = record("built-1", [5.0 - first, second * 2])
    other = record("built-2", [first * second])
    unit = UnitOrigin("", "PM", "7")
    assert {line.origin for line in built.quantities[1].contributions} == {RecordOrigin("curve-1"), unit}
    assert standard_uncertainty(values(built)[0] + first) == pytest.approx(0.0, abs=1e-9)
    assert standard_uncertainty(values(built)[1] - 2 * second) == pytest.approx(0.0, abs=1e-9)
    # Two results that both used the record, neither with it: its statistical error is one error in both.
    product = values(other)[0] - 3.0 * first - 2.0 * second
    assert standard_uncertainty(product) == pytest.approx(0.0, abs=1e-9)


def test_what_is_read_from_a_record_is_new_at_no_repetition():
    (read,) = values(record("some-9", [statistical("noise", 1.0, 0.1)]))
    used = Quantity.of("a", "1", 2.0 * read + statistical("counts", 0.0, 0.3))
    assert (used.statistical, used.systematic) == (pytest.approx(0.3), pytest.approx(0.2))


def test_a_number_that_is_not_stored_is_not_made_up():
    made = Quantity.of("gain", "1", statistical("noise", 1.0, 0.1))
    assert standard_uncertainty(made.number) == pytest.approx(0.1)
    read = Quantity.model_validate_json(made.model_dump_json())
    with pytest.raises(InvalidRecord, match=r"gain: .*Record\.value"):
        _ = read.number


def test_origins_that_no_record_has_are_refused():
    with pytest.raises(ValidationError, match="a statistical error has no origin but its own record"):
        Contribution(kind="statistical", name="noise", value=0.1, origin=RecordOrigin("curve-1"))
    with pytest.raises(ValidationError, match="value: scale: no instrument of the record is its 'monitor'"):
        record("some-10", [1 + systematic("scale", 0.0, 0.2, RoleOrigin("monitor"))])
    with pytest.raises(ValidationError, match="origin"):
        Contribution.model_validate(
            {"kind": "systematic", "name": "a", "value": 0.1, "origin": {"type": "x"}}
        )


def test_errors_of_unknown_origin_are_those_of_their_record():
    noise = Contribution(kind="statistical", name="noise", value=0.1, origin=UnknownOrigin())
    scale = Contribution(kind="systematic", name="meter scale", value=0.2, origin=UnknownOrigin())
    quantity = Quantity(name="value", unit="1", value=1.0, contributions=(noise, scale), at={"channel": 1})
    one, other = (
        record(name, [1.0]).model_copy(update={"quantities": (quantity,)}) for name in ("old-1", "old-2")
    )
    assert standard_uncertainty(values(one)[0] - values(one)[0]) == 0.0
    assert standard_uncertainty(values(one)[0] - values(other)[0]) == pytest.approx((0.02 + 0.08) ** 0.5)
