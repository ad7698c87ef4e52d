"""Examples in docstrings give what they show."""

import doctest
import importlib
import pkgutil

import pytest

import qhal.devices.same_settings
import qhal.link
import qhal.records
import qhal.tags


def modules():
    names = [qhal.devices.same_settings.__name__]
    for package in (qhal.link, qhal.records, qhal.tags):
        names += [each.name for each in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    return names


@pytest.mark.parametrize("name", modules())
def test_examples_give_what_they_show(name):
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0


@pytest.mark.parametrize(
    "name",
    [
        "link.channel_model",
        "link.decoy",
        "link.finite_key",
        "link.measurement",
        "link.modulation",
        "link.pattern",
        "link.photonics",
        "link.planning",
        "link.skew",
        "link.statistics",
        "records.quantity",
        "tags.analysis.correction",
        "tags.analysis.correlation",
        "tags.analysis.rates",
        "tags.batch",
        "tags.formats",
        "tags.relay",
    ],
)
def test_public_modules_have_examples(name):
    module = importlib.import_module(f"qhal.{name}")
    assert doctest.testmod(module).attempted > 0
