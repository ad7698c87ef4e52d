"""Earlier schemas of a record, each brought to the next one."""

import ast
from collections.abc import Callable
from typing import Any

Document = dict[str, Any]


def _to_2(old: Document) -> Document:
    """Return a document of schema 1 in schema 2: its contributions have no known origin.

    Settings were texts, and the uncertainty of a path's loss was called ``tolerance_db``.
    """
    return {
        **old,
        "schema_version": 2,
        "instruments": [
            {**each, "settings": {name: _setting(text) for name, text in each["settings"].items()}}
            for each in old["instruments"]
        ],
        "path": [_with_uncertainty(element) for element in old["path"]],
        "inputs": _inputs(old["inputs"]),
        "quantities": [
            {
                **quantity,
                "contributions": [
                    {**line, "origin": {"type": "unknown"}} for line in quantity["contributions"]
                ],
            }
            for quantity in old["quantities"]
        ],
    }


def _setting(text: str) -> Any:
    """Return the number, truth value or sequence that a text of Python shows, or the text."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return list(value) if isinstance(value, tuple) else value


def _inputs(plan: Document) -> Document:
    parts = plan.get("path")
    if isinstance(parts, list) and all(isinstance(part, dict) for part in parts):
        return {**plan, "path": [_with_uncertainty(part) for part in parts]}
    return plan


def _with_uncertainty(part: Document) -> Document:
    return {"uncertainty_db" if key == "tolerance_db" else key: value for key, value in part.items()}


MIGRATIONS: dict[int, Callable[[Document], Document]] = {1: _to_2}
"""By schema version, the function that brings a document to the next version."""
