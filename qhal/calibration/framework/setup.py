"""The devices of a calibration, by role."""

from dataclasses import MISSING, dataclass, fields
from typing import get_args, get_type_hints

from qhal.devices.interface import Interface


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Devices by role: each field is a role, its type the interface; one with the default None can be left out."""

    @classmethod
    def roles(cls) -> dict[str, tuple[type[Interface], bool]]:
        """Return the interface of each role, and whether the role can be left out."""
        hints = get_type_hints(cls)
        return {
            field.name: (
                next(
                    (each for each in get_args(hints[field.name]) if each is not type(None)),
                    hints[field.name],
                ),
                field.default is not MISSING,
            )
            for field in fields(cls)
        }
