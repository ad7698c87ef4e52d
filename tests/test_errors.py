"""The tree of errors: every leaf is the built-in twin too, and the docstring draws them all."""

import inspect

from qhal import errors


def test_every_leaf_has_its_builtin_twin_and_stands_in_the_drawing():
    leaves = [
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.QhalError) and kind is not errors.QhalError
    ]
    assert leaves
    for leaf in leaves:
        twin = leaf.__bases__[1]
        assert twin.__module__ == "builtins"
        assert f"{leaf.__name__} " in (errors.__doc__ or "")
        assert f"({twin.__name__})" in (errors.__doc__ or "")
