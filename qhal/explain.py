"""What pydantic found wrong in data of a user, in words that help: which key is meant, which are allowed."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError


def explain(error: ValidationError, model: type[BaseModel] | None = None) -> str:
    """Return one ``table.key: reason`` after the other.

    With the ``model`` that was to be read, an unknown key is told with the allowed ones.
    """
    reasons = []
    for found in error.errors():
        where = ".".join(str(part) for part in found["loc"]) or "file"
        reason = found["msg"].removeprefix("Value error, ")
        if found["type"] == "extra_forbidden" and found["loc"]:
            reason = _unknown(str(found["loc"][-1]), _keys(model, found["loc"]))
        reasons.append(f"{where}: {reason}")
    return "; ".join(reasons)


def _unknown(key: str, allowed: list[str]) -> str:
    if not allowed:
        return f"unknown key {key!r}; none is allowed"
    close = get_close_matches(key, allowed, 1)
    meant = f"did you mean {close[0]!r}? " if close else ""
    return f"unknown key {key!r}; {meant}allowed: {', '.join(allowed)}"


def _keys(model: type[BaseModel] | None, place: tuple[int | str, ...]) -> list[str]:
    """Return the keys of the table in which a place is."""
    inside = 0  # how deep in mappings and sequences: their keys and indices stand in the place, too
    for part in place[:-1]:
        if inside:
            inside -= 1
        elif model is not None and part in model.model_fields:
            model, inside = _table_in(model.model_fields[str(part)].annotation)
    return list(model.model_fields) if model is not None else []


def _table_in(kind: Any) -> tuple[type[BaseModel] | None, int]:
    """Return the table in a type such as ``dict[str, Table] | None``, and the depth of mappings and sequences."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind, 0
    for each in get_args(kind):
        table, depth = _table_in(each)
        if table is not None:
            return table, depth + (get_origin(kind) in (dict, list, tuple, Mapping, Sequence))
    return None, 0
