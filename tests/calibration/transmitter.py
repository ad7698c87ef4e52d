"""A transmitter with modulators that the plan of a calibration knows."""

_V0_V = {"carver": 0.35, "decoy": -0.2, "polarization": 0.1}
_VPI_V = {"carver": 4.3, "decoy": 3.8, "polarization": 2.9}
_GAIN = 2.0


def transmitter():
    """Return what the scenario's transmitter has."""
    return {
        "carver": _modulator("carver", 4) | {"extinction_db": 27.0},
        "decoy": _modulator("decoy", 1) | {"extinction_db": 31.0},
        "polarization": _modulator("polarization", 2),
    }


def in_plan():
    """Return the same as a plan says it: at the generator's connector."""
    return {name: {"v0_v": _V0_V[name] / _GAIN, "vpi_v": _VPI_V[name] / _GAIN} for name in _V0_V}


def _modulator(name, channel):
    return {"channel": channel, "v0_v": _V0_V[name], "vpi_v": _VPI_V[name], "amplifier_gain": _GAIN}
