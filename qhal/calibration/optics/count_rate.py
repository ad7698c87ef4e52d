"""Bias detectors, and set attenuators for a target count rate."""

import math
from collections.abc import Callable, Sequence

from qhal.calibration.optics.attenuators import set_total_attenuation
from qhal.devices.attenuator import Attenuator
from qhal.devices.detector import Detector
from qhal.devices.status import required
from qhal.errors import DeviceError, OutOfRange

SETTINGS = ("bias_ua", "trigger_mv")
"""Settings that a detector's results depend on."""
_SETTLE_S = 0.1
_STEP_DB = 10.0
_CLEARLY = 10.0
"""Counts above the dark ones, in their standard deviations, that are taken for light."""


def known_bias_ua(detectors: Detector) -> tuple[float, ...]:
    """Return the bias current of each channel, microamperes. Raises DeviceError when one is unknown."""
    status = detectors.status()
    return tuple(required(detectors.device.name, status, bias_ua=each) for each in status.bias_ua)


def bias_detectors(detectors: Detector, bias_ua: Sequence[float] | None) -> None:
    """Turn the bias on, at these currents or (None) those that are set, and wait until it has settled.

    Raises OutOfRange where none is set.
    """
    if bias_ua is not None:
        detectors.set_bias_ua(bias_ua)
    elif not any(detectors.status().bias_ua):
        raise OutOfRange(
            f"{detectors.device.name}: bias is 0 on every channel; give bias_ua, see dark-counts"
        )
    detectors.enable()
    detectors.device.clock.sleep_s(_SETTLE_S)


def approach_rate(
    attenuators: Sequence[Attenuator],
    count: Callable[[], tuple[float, float]],
    target_rate_hz: float,
    dark_hz: float | None = None,
) -> float:
    """Open attenuators until a count rate is near the target, in steps of 10 dB at most; return the total, dB.

    ``count`` returns counts and the seconds they took. The attenuators begin closed. ``dark_hz``: rate without any
    light; by default the first count is taken for the dark one, which is wrong where closed attenuators let much
    through. Raises DeviceError when all of them are open and it is still too dark.
    """
    total_db = sum(each.capabilities.max_attenuation_db for each in attenuators)
    lowest_db = sum(each.capabilities.min_attenuation_db for each in attenuators)
    set_total_attenuation(total_db, attenuators)
    if dark_hz is None:
        dark, dark_s = count()
        dark_hz = dark / dark_s
    rate_hz = 0.0
    while rate_hz < 0.7 * target_rate_hz:
        if total_db <= lowest_db:
            raise DeviceError(
                f"{attenuators[0].device.name}: only {rate_hz:.3g} /s with all attenuators open,"
                f" {target_rate_hz:.3g} /s are wanted"
            )
        counts, seconds = count()
        above = counts - dark_hz * seconds
        rate_hz = above / seconds if above > _CLEARLY * math.sqrt(dark_hz * seconds + 1) else 0.0
        step_db = _STEP_DB if rate_hz == 0 else min(_STEP_DB, 10 * math.log10(target_rate_hz / rate_hz))
        if rate_hz < 0.7 * target_rate_hz or rate_hz > 1.3 * target_rate_hz:
            total_db = max(lowest_db, round(total_db - step_db, 1))
            set_total_attenuation(total_db, attenuators)
    return total_db
