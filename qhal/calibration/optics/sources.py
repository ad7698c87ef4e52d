"""What a source reports of its light, where a calibration cannot do without."""

from qhal.devices.source import Source
from qhal.devices.status import required


def output_dbm(source: Source) -> float:
    """Return the power that a source measures at its output, dBm. Raises DeviceError when it reports none."""
    status = source.status()
    return required(source.device.name, status, power_dbm=status.power_dbm)


def frequency_thz(source: Source) -> float:
    """Return the optical frequency to which a source is set, THz. Raises DeviceError when it is unknown."""
    status = source.status()
    return required(source.device.name, status, frequency_thz=status.frequency_thz)
