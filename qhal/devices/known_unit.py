"""What is known of a unit without asking it: identity, capabilities, settings, and which of these changed."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qhal.devices.declaration import Capabilities, Identity
from qhal.devices.described import Described
from qhal.devices.same_settings import changed_settings

log = logging.getLogger("qhal")


@dataclass(slots=True)
class KnownUnit:
    """The unit as it was when it was last opened, and as it was set since.

    ``capabilities`` are those of the device and of each of its sub-devices. ``settings_changed``: settings that were
    not as before when the device was opened again, with the value before the first change and the last one.
    """

    identity: Identity | None = None
    capabilities: dict[Described, Capabilities] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    settings_changed: dict[str, tuple[str, str]] = field(default_factory=dict)

    def note(self, settings: Mapping[str, Any]) -> None:
        """Note what was set on purpose, which is not a change."""
        self.settings.update(settings)

    def reread(self, name: str, settings: Mapping[str, Any], tolerances: Mapping[str, float]) -> None:
        """Take the settings that a device of this name reads after reopening; report those that changed.

        One that is within its tolerance stays as it was before, so that a slow drift adds up.
        """
        changes = changed_settings(self.settings, settings, tolerances)
        unchanged = {key: value for key, value in self.settings.items() if key not in changes}
        self.settings = {**settings, **unchanged}
        for key, (old, new) in changes.items():
            first_old, _ = self.settings_changed.get(key, (str(old), ""))
            self.settings_changed[key] = (first_old, str(new))
            log.warning("%s: after reopening %s is %s, was %s", name, key, new, old)
