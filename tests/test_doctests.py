"""The examples of the public names run as they stand."""

import doctest
import inspect
from importlib import import_module

import pytest

PACKAGES = ("qhal.link", "qhal.records", "qhal.tags")


def modules(package: str) -> list[str]:
    """Return the modules that define public names of a package."""
    public = import_module(package)
    homes = {inspect.getmodule(getattr(public, name)) for name in public.__all__}
    return sorted(home.__name__ for home in homes if home is not None and home.__name__.startswith(package))


@pytest.mark.parametrize("module", [each for package in PACKAGES for each in modules(package)])
def test_examples_run(module):
    result = doctest.testmod(import_module(module), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0
