"""Bright light on a power meter, with the detectors isolated from it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qhal.calibration.optics.attenuators import set_total_attenuation
from qhal.devices.attenuator import Attenuator
from qhal.devices.detector import Detector
from qhal.devices.optical_switch import OpticalSwitch
from qhal.devices.power_meter import PowerMeter
from qhal.errors import DeviceError

_STEP_DB = 10.0


def isolate_detectors(
    detectors: Detector | None, switch: OpticalSwitch | None, ingress: int | None = None
) -> None:
    """Take the bias off and disconnect the ingress (where it is not known, all of the switch): attenuators open."""
    if detectors is not None:
        detectors.disable()
    if switch is not None and ingress is None:
        switch.set_pattern({})
    elif switch is not None and ingress is not None:
        switch.disconnect(ingress)


def connect_path(switch: OpticalSwitch, ingress: int, egress: int) -> None:
    """Connect an ingress to an egress, wherever either was connected before; all other paths stay as they are."""
    switch.set_pattern({**_others(switch, ingress, egress), ingress: egress})


def disconnect_path(switch: OpticalSwitch, ingress: int, egress: int) -> None:
    """Disconnect an ingress and an egress; all other paths stay as they are."""
    switch.set_pattern(_others(switch, ingress, egress))


def _others(switch: OpticalSwitch, ingress: int, egress: int) -> dict[int, int]:
    return {port: end for port, end in switch.read_pattern().items() if port != ingress and end != egress}


def read_powers_dbm(meter: PowerMeter, channel: int, readings: int, settle_s: float) -> list[float]:
    """Return readings one after the other. Raises DeviceError when the light is below the meter's range."""
    meter.device.clock.sleep_s(settle_s)
    powers_dbm = []
    for _ in range(readings):
        power_dbm = meter.read_power_dbm(channel)
        if power_dbm is None:
            raise DeviceError(
                f"{meter.device.name}: too dark at channel {channel}, below "
                f"{meter.capabilities.min_power_dbm:g} dBm"
            )
        powers_dbm.append(power_dbm)
    return powers_dbm


def find_level_dbm(
    attenuators: Sequence[Attenuator], meter: PowerMeter, channel: int, floor_dbm: float, settle_s: float
) -> float:
    """Open closed attenuators until a meter reads at least ``floor_dbm``; return what it would read at 0 dB.

    Steps of 10 dB keep a meter with a range of more than that from being overdriven. Raises DeviceError when it is
    still too dark with all open.
    """
    total_db = sum(each.capabilities.max_attenuation_db for each in attenuators)
    lowest_db = sum(each.capabilities.min_attenuation_db for each in attenuators)
    while True:
        achieved_db = sum(set_total_attenuation(total_db, attenuators))
        meter.device.clock.sleep_s(settle_s)
        power_dbm = meter.read_power_dbm(channel)
        if power_dbm is not None and power_dbm >= floor_dbm:
            return power_dbm + achieved_db
        if total_db <= lowest_db:
            raise DeviceError(
                f"{meter.device.name}: channel {channel} does not reach {floor_dbm:g} dBm with all attenuators open"
            )
        total_db = max(lowest_db, total_db - _STEP_DB)


def noise_db(readings_dbm: ArrayLike) -> float:
    """Return the standard deviation of single readings (rows, readings) about the mean of their row."""
    readings: NDArray[np.float64] = np.asarray(readings_dbm, np.float64)
    rows, each = readings.shape
    if each < 2:
        return 0.0
    return float(np.sqrt(readings.var(axis=1, ddof=1).sum() / rows))
