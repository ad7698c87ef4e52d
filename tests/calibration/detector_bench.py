"""Roles of the devices on the bench of detectors."""

_NAMES = {
    "source": "laser",
    "attenuator": "voa",
    "second_attenuator": "second-voa",
    "meter": "switch",
    "switch": "switch",
    "polarization": "polarization",
    "detectors": "detectors",
    "tagger": "tagger",
}


def devices(*left_out, **others):
    """Return the device of each role but those left out, and of ``others``."""
    return {role: name for role, name in _NAMES.items() if role not in left_out} | others
