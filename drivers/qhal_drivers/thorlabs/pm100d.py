"""Thorlabs PM100D and its family (PM100A, PM100USB, PM101, PM160, PM400): SCPI over VISA (USBTMC) or TCP.

Rests on the command tables of the PM100D, PM100USB and PM400 manuals and on independent public clients. The unit of a
reading, W or dBm, is set at the panel and read with each; the sensor head is part of the identity.
"""

import math
from collections.abc import Mapping
from typing import Any

from qhal.devices.declaration import ConnectionSpec, Declaration, Evidence, Identity, IdentityGrade, Options
from qhal.devices.interface import check_range
from qhal.devices.power_meter import PowerMeter, PowerMeterCapabilities
from qhal.devices.scpi_device import Idn, ScpiDevice, choice, command, number, query, scpi_proof
from qhal.transport import replies

_WAVELENGTHS_NM = (100.0, 20_000.0)


class Pm100dOptions(Options):
    """``floor_dbm``: lowest power at which readings of the sensor are of use, by its data sheet."""

    floor_dbm: float = -60.0


class Pm100d(ScpiDevice, PowerMeter):
    """A power meter with one sensor head; its readings are corrected for one wavelength."""

    options_model = Pm100dOptions
    options: Pm100dOptions
    declaration = Declaration(
        model="Thorlabs PM100D",
        connections={"main": ConnectionSpec(("tcp", "visa"), timeout_s=5.0)},
        identity=IdentityGrade.SERIAL,
        evidence=(Evidence.MANUAL, Evidence.CLIENTS),
    )
    idn = Idn("a Thorlabs power meter", maker="thorlabs", model="PM(100|101|160|400)")
    proofs = (scpi_proof("SENS:POW:UNIT?", rb"\s*(W|DBM)\s*"),)

    _read_sensor = query("SYST:SENS:IDN?", replies.label)
    _read_power = query("MEAS:POW?", number())
    _read_unit = query("SENS:POW:UNIT?", choice({"W": "W", "DBM": "dBm"}))
    _read_max_w = query("SENS:POW:RANG? MAX", number(low=1e-12, high=1e3))
    _read_wavelength_nm = query("SENS:CORR:WAV?", number(low=_WAVELENGTHS_NM[0], high=_WAVELENGTHS_NM[1]))
    _write_wavelength_nm = command("SENS:CORR:WAV {:.1f}")

    def set_wavelength_nm(self, wavelength_nm: float) -> float:
        """Set the wavelength of the correction and return what the unit reports. Raises OutOfRange, DeviceError."""
        target_nm = check_range(self, "wavelength", wavelength_nm, *_WAVELENGTHS_NM, "nm")
        with self.exclusive("set_wavelength_nm", target_nm):
            self._write_wavelength_nm(target_nm)
            reached_nm = self._read_wavelength_nm()
            self.note_settings(wavelength_nm=reached_nm)
        return reached_nm

    @property
    def setting_tolerances(self) -> Mapping[str, float]:
        """The resolution of the wavelength."""
        return {"wavelength_nm": 0.1}

    def _identify(self) -> Identity:
        identity, sensor = super()._identify(), self._read_sensor().split(",")
        return identity.model_copy(update={"shape": f"sensor {' '.join(sensor[:2])}"})

    def _read_capabilities(self) -> PowerMeterCapabilities:
        return PowerMeterCapabilities(
            channels=(1,), min_power_dbm=self.options.floor_dbm, max_power_dbm=_dbm(self._read_max_w())
        )

    def _read_settings(self) -> dict[str, Any]:
        return {"wavelength_nm": self.known(self._read_wavelength_nm)}

    def _read_power_dbm(self, channel: int) -> float:
        power, unit = self._read_power(), self._read_unit()
        return power if unit == "dBm" else _dbm(power)


def _dbm(power_w: float) -> float:
    """Return a power in dBm; minus infinity for none, or for the negative reading of a dark sensor."""
    return 10 * math.log10(power_w * 1e3) if power_w > 0 else -math.inf
