"""Public names of a package, each imported when it is first used.

A package writes its imports once, for type checkers, and names them in ``__all__``; linters compare the two::

    if TYPE_CHECKING:
        from qhal.devices.attenuator import Attenuator

    __all__ = ["Attenuator"]

    if not TYPE_CHECKING:
        __getattr__, __dir__ = late(__name__, __file__)
"""

import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any


def late(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` of a package, after the imports in its own file."""

    @cache
    def homes() -> dict[str, str]:
        import ast

        imports = [
            node for node in ast.walk(ast.parse(Path(file).read_text())) if isinstance(node, ast.ImportFrom)
        ]
        return {alias.name: str(node.module) for node in imports for alias in node.names}

    def load(name: str) -> Any:
        module = sys.modules[package]
        if name not in module.__all__:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(homes()[name]), name)
        setattr(module, name, value)
        return value

    return load, lambda: sorted(sys.modules[package].__all__)
