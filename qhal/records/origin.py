"""Origins of uncertainty contributions: what two results must have in common to share an error.

A contribution without an origin arose in the measurement of its own record.
"""

from typing import Annotated, Literal, TypeAlias

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

_CONFIG = ConfigDict(extra="forbid")


@dataclass(frozen=True, config=_CONFIG)
class RoleOrigin:
    """The instrument that had a role in the measurement, such as the power meter; an error of that unit."""

    role: str
    type: Literal["role"] = "role"


@dataclass(frozen=True, config=_CONFIG)
class UnitOrigin:
    """One unit of an instrument; without a serial number, ``name`` (NODE/DEVICE) identifies it."""

    manufacturer: str
    model: str
    serial_number: str
    name: str = ""
    type: Literal["unit"] = "unit"


@dataclass(frozen=True, config=_CONFIG)
class RecordOrigin:
    """Another record, by its id, whose value was used."""

    record: str
    type: Literal["record"] = "record"


@dataclass(frozen=True, config=_CONFIG)
class UnknownOrigin:
    """Not stored: records of schema 1 do not say where a contribution comes from."""

    type: Literal["unknown"] = "unknown"


Origin: TypeAlias = Annotated[
    RoleOrigin | UnitOrigin | RecordOrigin | UnknownOrigin, Field(discriminator="type")
]


def origin_text(origin: Origin | None) -> str:
    """Return an origin as one reads it in a budget; nothing for the record's own measurement."""
    match origin:
        case None:
            return ""
        case RoleOrigin():
            return origin.role
        case UnitOrigin():
            unit = " ".join(part for part in (origin.model, origin.serial_number) if part)
            return unit or origin.name
        case RecordOrigin():
            return origin.record
    return "origin unknown"
