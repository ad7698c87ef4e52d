"""What packages publish by entry points: dictionaries of ``name -> module:attribute`` or ``name -> module``.

An entry point that cannot be loaded does not keep the others from being used; it is told when a name is missing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from qhal.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Published:
    """``places`` by name, and why an entry point is not among them."""

    what: str
    places: Mapping[str, str]
    broken: tuple[str, ...] = ()

    def load(self, name: str) -> Any:
        """Import what a name stands for. Raises ConfigurationError for an unknown one, ModuleNotFoundError.

        The module itself is there, but one that it imports may be missing: that one's name is in ModuleNotFoundError.
        """
        if name not in self.places:
            reasons = "".join(f"; {reason}" for reason in self.broken)
            raise ConfigurationError(
                f"no {self.what} {name!r}; there are {', '.join(sorted(self.places)) or 'none'}{reasons}"
            )
        place = self.places[name]
        module, _, attribute = place.partition(":")
        try:
            imported = import_module(module)
            return getattr(imported, attribute) if attribute else imported
        except ModuleNotFoundError as error:
            if error.name is None or not module.startswith(error.name):
                raise
            raise ConfigurationError(f"{self.what} {name!r}: no module {error.name!r} for {place}") from error
        except OSError:
            raise  # of this process, not of the module
        except Exception as error:  # whatever a foreign module does at its import
            raise ConfigurationError(
                f"{self.what} {name!r}: {place} cannot be imported: {type(error).__name__}: {error}"
            ) from error


def published(group: str, what: str) -> Published:
    """Return what is published in an entry-point group."""
    places: dict[str, str] = {}
    broken = []
    for entry in entry_points(group=group):
        try:
            found = entry.load()
        except Exception as error:  # noqa: BLE001 - whatever a foreign module does at its import
            broken.append(
                f"entry point {entry.name} = {entry.value} cannot be loaded: {type(error).__name__}: {error}"
            )
            continue
        if isinstance(found, dict) and all(isinstance(each, str) for pair in found.items() for each in pair):
            places |= found
        else:
            broken.append(f"entry point {entry.name} = {entry.value} is not a dict of name: 'module:class'")
    return Published(what, places, tuple(broken))
