"""Every driver passes its suites under each value of what the sources leave open."""

import inspect
from importlib import import_module
from typing import Literal, get_args, get_origin

import pytest

from qhal.testing.interfaces import INTERFACES
from qhal_simulators.instrument_registry import instruments, load

DRIVER_OPTIONS = ("voltage_unit",)
"""Options that a driver must be told, because the wire does not tell them."""
OTHERWISE_TESTED = {
    ("idquantique.id900", "firmware"),  # the old one cannot stream: tests/drivers/test_id900.py
    ("ozoptics.dd100", "fault"),
    ("purephotonics.ppcl550", "stuck"),
}


def alternatives():
    """Yield instrument, option and value for each value of an option that is no default."""
    for name in sorted(instruments()):
        for option, field in load(name).options_model.model_fields.items():
            if (name, option) in OTHERWISE_TESTED:
                continue
            if field.annotation is bool:
                values = (not field.default,)
            elif get_origin(field.annotation) is Literal:
                values = tuple(v for v in get_args(field.annotation) if v != field.default)
            else:
                continue
            yield from ((name, option, value) for value in values)


@pytest.mark.parametrize(("name", "option", "value"), list(alternatives()))
def test_suites_pass(bench, name, option, value):
    driver_options = {option: value} if option in DRIVER_OPTIONS else {}
    device, _ = bench(name, speed=20.0, driver_options=driver_options, **{option: value})
    ran = 0
    for fixture, interface in INTERFACES.items():
        if not device.offers(interface):
            continue
        suite = import_module(f"qhal.testing.suites.test_{fixture}")
        for test_name, test in inspect.getmembers(suite, inspect.isfunction):
            if test_name.startswith("test_") and list(inspect.signature(test).parameters) == [fixture]:
                test(device.get(interface))
                ran += 1
    assert ran >= 6
