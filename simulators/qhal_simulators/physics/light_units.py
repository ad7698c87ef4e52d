"""Conversions between the units of light."""

import math

PLANCK_J_S = 6.62607015e-34
SPEED_OF_LIGHT_M_PER_S = 299_792_458.0


def watts(power_dbm: float) -> float:
    """Return power in watts."""
    return 1e-3 * 10 ** (power_dbm / 10)


def dbm(power_w: float) -> float:
    """Return power in dBm; minus infinity for none."""
    return 10 * math.log10(power_w * 1e3) if power_w > 0 else -math.inf


def transmission(loss_db: float) -> float:
    """Return the transmission of a loss."""
    return float(10 ** (-loss_db / 10))


def photon_energy_j(frequency_thz: float) -> float:
    """Return the energy of one photon."""
    return PLANCK_J_S * frequency_thz * 1e12


def wavelength_nm(frequency_thz: float) -> float:
    """Return the vacuum wavelength."""
    return SPEED_OF_LIGHT_M_PER_S / frequency_thz * 1e-3
