"""Photons per pulse, errors of imperfect optics and of drift, and the fraction of a pulse in a window."""

import math

from qhal.errors import OutOfRange

PLANCK_J_S = 6.62607015e-34


def photon_energy_j(frequency_thz: float) -> float:
    """Return the energy of a photon.

    Raises
    ------
    OutOfRange
        For a frequency that is not positive.

    Examples
    --------
    >>> photon_energy_j(193.4)
    1.28148196701e-19
    """
    if frequency_thz <= 0:
        raise OutOfRange(f"a frequency of {frequency_thz} THz is not positive")
    return PLANCK_J_S * frequency_thz * 1e12


def mean_photon_number(
    power_dbm: float, frequency_thz: float, pulse_rate_hz: float, loss_db: float = 0.0
) -> float:
    """Return the mean photon number of a pulse from the mean power of a pulse train.

    Parameters
    ----------
    power_dbm
        Mean power at the meter.
    frequency_thz
        Optical frequency.
    pulse_rate_hz
        Pulses per second.
    loss_db
        Loss downstream of the meter.

    Raises
    ------
    OutOfRange
        For a rate or frequency that is not positive.

    Examples
    --------
    >>> round(mean_photon_number(-30.0, 193.4, 1e8, loss_db=50.0), 3)
    0.78
    """
    if pulse_rate_hz <= 0:
        raise OutOfRange(f"a pulse rate of {pulse_rate_hz} Hz is not positive")
    return 1e-3 * 10 ** ((power_dbm - loss_db) / 10) / photon_energy_j(frequency_thz) / pulse_rate_hz


def loss_for_db(target: float, power_dbm: float, frequency_thz: float, pulse_rate_hz: float) -> float:
    """Return the loss downstream of a power meter for a target mean photon number, in dB.

    The inverse of :func:`mean_photon_number`, with the same parameters.

    Raises
    ------
    OutOfRange
        For a target, rate or frequency that is not positive.

    Examples
    --------
    >>> round(loss_for_db(0.5, -30.0, 193.4, 1e8), 2)
    51.93
    """
    if target <= 0:
        raise OutOfRange(f"{target} photons per pulse are not positive")
    return 10 * math.log10(mean_photon_number(power_dbm, frequency_thz, pulse_rate_hz) / target)


def optical_error_of_extinction(extinction_db: float) -> float:
    """Return the fraction of photons in the wrong output of optics with an extinction ratio: ``1 / (1 + r)``.

    Examples
    --------
    >>> round(optical_error_of_extinction(20.0), 4)
    0.0099
    """
    return 1 / (1 + 10 ** (extinction_db / 10))


def optical_error_of_visibility(visibility: float) -> float:
    """Return the fraction of photons in the wrong output of an interferometer: ``(1 - V) / 2``.

    Raises
    ------
    OutOfRange
        For a visibility outside [0, 1].

    Examples
    --------
    >>> round(optical_error_of_visibility(0.98), 4)
    0.01
    """
    if not 0 <= visibility <= 1:
        raise OutOfRange(f"a visibility of {visibility} is not between 0 and 1")
    return (1 - visibility) / 2


def fraction_in_window(window_ps: float, fwhm_ps: float) -> float:
    """Return the fraction of a Gaussian pulse within a window centred on it.

    Parameters
    ----------
    window_ps
        Full width of the window.
    fwhm_ps
        Full width of the pulse at half maximum.

    Raises
    ------
    OutOfRange
        For a width that is not positive.

    Examples
    --------
    >>> round(fraction_in_window(400.0, 200.0), 4)
    0.9815
    """
    if window_ps <= 0 or fwhm_ps <= 0:
        raise OutOfRange(f"a window of {window_ps} ps and a pulse of {fwhm_ps} ps must be positive")
    sigma = fwhm_ps / (2 * math.sqrt(2 * math.log(2)))
    return math.erf(window_ps / (2 * math.sqrt(2) * sigma))


def error_of_drift(elapsed_s: float, correlation_time_s: float) -> float:
    """Return the mean error rate from polarization drift of the fibre since the last alignment.

    Isotropic random walk of the Stokes vector: ``(1 - exp(-t / T)) / 2``.

    Parameters
    ----------
    elapsed_s
        Time since the alignment.
    correlation_time_s
        Time in which the mean overlap with the aligned state falls to 1/e.

    Raises
    ------
    OutOfRange
        For a negative time, or a correlation time that is not positive.

    References
    ----------
    C. B. Czegledi et al., arXiv:1507.00953.

    Examples
    --------
    >>> round(error_of_drift(600.0, 86_400.0), 5)
    0.00346
    """
    if elapsed_s < 0 or correlation_time_s <= 0:
        raise OutOfRange(
            f"{elapsed_s} s and a correlation time of {correlation_time_s} s: a time is negative or zero"
        )
    return -math.expm1(-elapsed_s / correlation_time_s) / 2
