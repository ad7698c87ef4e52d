"""Photons per pulse, errors of imperfect optics and of drift, and the fraction of a pulse in a window."""

import math

from qhal.errors import OutOfRange

PLANCK_J_S = 6.62607015e-34


def photon_energy_j(frequency_thz: float) -> float:
    """Return the energy of a photon. Raises OutOfRange for a frequency that is not positive."""
    if frequency_thz <= 0:
        raise OutOfRange(f"a frequency of {frequency_thz} THz is not positive")
    return PLANCK_J_S * frequency_thz * 1e12


def mean_photon_number(
    power_dbm: float, frequency_thz: float, pulse_rate_hz: float, loss_db: float = 0.0
) -> float:
    """Return photons per pulse of a mean power, behind a loss after the place where it was measured.

    Raises OutOfRange for a rate or frequency that is not positive.
    """
    if pulse_rate_hz <= 0:
        raise OutOfRange(f"a pulse rate of {pulse_rate_hz} Hz is not positive")
    return 1e-3 * 10 ** ((power_dbm - loss_db) / 10) / photon_energy_j(frequency_thz) / pulse_rate_hz


def loss_for_db(
    mean_photon_number_wanted: float, power_dbm: float, frequency_thz: float, pulse_rate_hz: float
) -> float:
    """Return the loss behind a measured power that leaves so many photons per pulse. Raises OutOfRange."""
    if mean_photon_number_wanted <= 0:
        raise OutOfRange(f"{mean_photon_number_wanted} photons per pulse are not positive")
    return 10 * math.log10(
        mean_photon_number(power_dbm, frequency_thz, pulse_rate_hz) / mean_photon_number_wanted
    )


def optical_error_of_extinction(extinction_db: float) -> float:
    """Return the fraction of photons in the wrong output of optics with this extinction ratio."""
    return 1 / (1 + 10 ** (extinction_db / 10))


def optical_error_of_visibility(visibility: float) -> float:
    """Return the fraction of photons in the wrong output of an interferometer. Raises OutOfRange outside [0, 1]."""
    if not 0 <= visibility <= 1:
        raise OutOfRange(f"a visibility of {visibility} is not between 0 and 1")
    return (1 - visibility) / 2


def fraction_in_window(window_ps: float, fwhm_ps: float) -> float:
    """Return the fraction of a Gaussian pulse within a window centred on it. Raises OutOfRange for widths <= 0."""
    if window_ps <= 0 or fwhm_ps <= 0:
        raise OutOfRange(f"a window of {window_ps} ps and a pulse of {fwhm_ps} ps must be positive")
    sigma = fwhm_ps / (2 * math.sqrt(2 * math.log(2)))
    return math.erf(window_ps / (2 * math.sqrt(2) * sigma))


def error_of_drift(elapsed_s: float, correlation_time_s: float) -> float:
    """Return the mean error rate that a basis aligned some time ago has from the fibre's polarization drift.

    The isotropic walk of Czegledi et al., arXiv:1507.00953: half of what the overlap has lost. Raises OutOfRange.
    """
    if elapsed_s < 0 or correlation_time_s <= 0:
        raise OutOfRange(
            f"{elapsed_s} s and a correlation time of {correlation_time_s} s: a time is negative or zero"
        )
    return -math.expm1(-elapsed_s / correlation_time_s) / 2
