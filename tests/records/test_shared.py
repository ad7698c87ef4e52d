"""What results have in common is counted once, in one record and across records."""

from datetime import UTC, datetime

import numpy as np
import pytest

from qhal.records.record import Instrument, Quantity, Record, Validity
from qhal.records.shared import correlation
from qhal.records.uncertain import standard_uncertainty, statistical, systematic

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def record(name, numbers, serial_number="7"):
    found = tuple(Quantity.of("value", "1", number, channel=n) for n, number in enumerate(numbers, 1))
    meter = Instrument(role="meter", device="m", driver_model="", model="PM", serial_number=serial_number)
    made = Record(
        id=name, calibration="some", title="", method="", started=NOW, finished=NOW, operator="", software="",
        instruments=(meter,), inputs={}, quantities=found, validity=Validity(until=NOW),
        correlation=correlation([each.number for each in found]),
    )  # fmt: skip
    return Record.model_validate_json(made.model_dump_json())  # as it is read from a file


def values(made):
    return [made.value("value", channel=n) for n in range(1, len(made.quantities) + 1)]


def test_statistical_errors_of_one_record_go_together_as_they_did():
    rng = np.random.default_rng(1)
    for mix in (rng.normal(size=(5, 8)), rng.normal(size=(5, 2)), np.zeros((3, 2))):
        errors = [statistical(f"error {n}", 0.0, 1.0) for n in range(mix.shape[1])]
        numbers = [1.0 + sum(share * error for share, error in zip(row, errors, strict=True)) for row in mix]
        weights = rng.normal(size=len(numbers))
        read = values(record("some-1", numbers))
        wanted = standard_uncertainty(sum(w * number for w, number in zip(weights, numbers, strict=True)))
        found = standard_uncertainty(sum(w * number for w, number in zip(weights, read, strict=True)))
        assert found == pytest.approx(wanted, rel=1e-6, abs=1e-12)


def test_a_value_that_is_read_twice_is_one_value():
    made = record("some-2", [statistical("noise", 1.0, 0.1) + systematic("scale", 0.0, 0.2)])
    assert standard_uncertainty(values(made)[0] - values(made)[0]) == 0.0
    again = record("some-3", [statistical("noise", 1.0, 0.1) + systematic("scale", 0.0, 0.2)])
    apart = values(made)[0] - values(again)[0]
    assert standard_uncertainty(apart) == pytest.approx((2 * 0.1**2 + 2 * 0.2**2) ** 0.5)


def test_an_error_of_an_instrument_is_the_same_in_all_its_records():
    scale = systematic("meter scale", 0.0, 0.2)
    one, other = values(record("some-4", [1 + scale])) + values(record("some-5", [1 - scale]))
    assert standard_uncertainty(one + other) == pytest.approx(0.0, abs=1e-12)
    (stranger,) = values(record("some-6", [1 - scale], serial_number="8"))
    assert standard_uncertainty(one + stranger) == pytest.approx(0.2 * 2**0.5)


def test_an_error_that_came_from_another_record_is_still_that_one():
    curve = record("curve-1", [2.0 + systematic("loss", 0.0, 0.2), 3.0 + systematic("meter scale", 0.0, 0.1)])
    loss, scale = values(curve)
    built = record("built-1", [5.0 - loss, scale * 2])
    assert standard_uncertainty(values(built)[0] + loss) == pytest.approx(0.0, abs=1e-12)
    assert standard_uncertainty(values(built)[1] - 2 * scale) == pytest.approx(0.0, abs=1e-12)
