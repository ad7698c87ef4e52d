"""Decoy-state bounds with three intensities, none of them dark, and the asymptotic key rate.

Signal mu, decoy nu, vacuum w, with ``mu > nu + w`` and ``nu > w >= 0``: the general two-decoy form of [1]_. The gain
of the vacuum state is not taken for the background yield Y0: modulators of finite extinction leave light in it, and
the bounds would come out better than the truth.

Every argument is a plain number, or a ``UFloat`` whose errors then propagate to first order, correlations included
(:mod:`qhal.records.uncertain`). These are uncertainties of measured inputs, not a finite-key analysis
(:mod:`qhal.link.finite_key`).

.. [1] X. Ma, B. Qi, Y. Zhao and H.-K. Lo, Phys. Rev. A 72, 012326 (2005).
"""

import math
from dataclasses import dataclass
from typing import Any

from uncertainties import UFloat

from qhal.errors import OutOfRange
from qhal.link.intensities import Intensities
from qhal.link.link_errors import NotEnoughCounts
from qhal.records.uncertain import Uncertain, exp, nominal

_SECANT_SIGMAS = 0.1
"""Half the width of the secant that stands for the slope of the binary entropy, which is infinite at 0."""


@dataclass(frozen=True)
class DecoyBounds:
    """Bounds on the yield and error rate of empty and single-photon pulses.

    Attributes
    ----------
    background_yield
        Lower bound on Y0, clicks per empty pulse over all detectors.
    single_photon_yield
        Lower bound on Y1, clicks per single-photon pulse.
    single_photon_error
        Upper bound on e1, the error rate of single photons.
    """

    background_yield: Uncertain
    single_photon_yield: Uncertain
    single_photon_error: Uncertain


def background_yield_lower_bound(
    mean_photon_numbers: Intensities[Uncertain], gains: Intensities[Uncertain]
) -> Uncertain:
    """Return the lower bound on the background yield Y0; a yield cannot be negative.

    ``Y0 >= max(0, (nu Q_w exp(w) - w Q_nu exp(nu)) / (nu - w))``

    Parameters
    ----------
    mean_photon_numbers
        Photons per pulse at the transmitter's output.
    gains
        Probabilities of a click per pulse.

    Raises
    ------
    OutOfRange
        If the intensities do not fulfil ``mu > nu + w`` and ``nu > w >= 0``.

    References
    ----------
    Ma et al., Phys. Rev. A 72, 012326 (2005), eq. 18.
    """
    _, nu, w = _checked(mean_photon_numbers)
    bound: Any = (nu * gains.vacuum * exp(w) - w * gains.decoy * exp(nu)) / (nu - w)
    return max(0.0, bound, key=nominal)


def single_photon_yield_lower_bound(
    mean_photon_numbers: Intensities[Uncertain], gains: Intensities[Uncertain]
) -> Uncertain:
    """Return the lower bound on the single-photon yield Y1; a bound that is not positive states nothing.

    Parameters
    ----------
    mean_photon_numbers
        Photons per pulse at the transmitter's output.
    gains
        Probabilities of a click per pulse.

    Raises
    ------
    OutOfRange
        If the intensities do not fulfil ``mu > nu + w`` and ``nu > w >= 0``.

    References
    ----------
    Ma et al., Phys. Rev. A 72, 012326 (2005), eq. 21.

    Examples
    --------
    >>> means = Intensities(0.5, 0.1, 5e-4)
    >>> gains = Intensities(2.908e-2, 5.887e-3, 3.07e-5)
    >>> round(single_photon_yield_lower_bound(means, gains), 4)
    0.0573
    """
    mu, nu, w = _checked(mean_photon_numbers)
    background = background_yield_lower_bound(mean_photon_numbers, gains)
    multi_photon = (nu**2 - w**2) / mu**2 * (gains.signal * exp(mu) - background)
    few_photon = gains.decoy * exp(nu) - gains.vacuum * exp(w)
    bound: Uncertain = mu / ((mu - nu - w) * (nu - w)) * (few_photon - multi_photon)
    return bound


def single_photon_error_upper_bound(
    mean_photon_numbers: Intensities[Uncertain],
    gains: Intensities[Uncertain],
    error_rates: Intensities[Uncertain],
) -> Uncertain:
    """Return the upper bound on the error rate of single photons.

    ``e1 <= (E_nu Q_nu exp(nu) - E_w Q_w exp(w)) / ((nu - w) Y1)``, with the lower bound on Y1.

    Parameters
    ----------
    mean_photon_numbers
        Photons per pulse at the transmitter's output.
    gains
        Probabilities of a click per pulse.
    error_rates
        Wrong bits over sifted bits.

    Raises
    ------
    OutOfRange
        If the intensities do not fulfil ``mu > nu + w`` and ``nu > w >= 0``.
    NotEnoughCounts
        If the bound on Y1 is not positive, or chance has made that on e1 negative.

    References
    ----------
    Ma et al., Phys. Rev. A 72, 012326 (2005), eq. 25.
    """
    _, nu, w = mean_photon_numbers
    single = single_photon_yield_lower_bound(mean_photon_numbers, gains)
    if nominal(single) <= 0:
        raise NotEnoughCounts(f"the gains {tuple(gains)} bound the single-photon yield by {single:.3g} only")
    wrong: Any = error_rates.decoy * gains.decoy * exp(nu) - error_rates.vacuum * gains.vacuum * exp(w)
    if nominal(wrong) < 0:
        raise NotEnoughCounts("the vacuum shows more errors than the decoy: no bound on single-photon errors")
    bound: Uncertain = wrong / ((nu - w) * single)
    return bound


def decoy_bounds(
    mean_photon_numbers: Intensities[Uncertain],
    gains: Intensities[Uncertain],
    error_rates: Intensities[Uncertain],
) -> DecoyBounds:
    """Bound Y0, Y1 and e1 from measured gains and error rates.

    Parameters
    ----------
    mean_photon_numbers
        Photons per pulse at the transmitter's output, from the record of a ``mean-photon-number`` calibration.
    gains
        Probabilities of a click per pulse (:meth:`~qhal.link.estimates.SiftedCounts.gains`).
    error_rates
        Wrong bits over sifted bits (:meth:`~qhal.link.estimates.SiftedCounts.error_rates`).

    Returns
    -------
    DecoyBounds
        With the uncertainties of all inputs.

    Raises
    ------
    OutOfRange
        If the intensities do not fulfil ``mu > nu + w`` and ``nu > w >= 0``.
    NotEnoughCounts
        If the gains do not bound the single-photon yield.

    Examples
    --------
    >>> from qhal.records.uncertain import statistical, systematic
    >>> scale = systematic("scale of the power meter", 1.0, 0.02)
    >>> means = Intensities(0.5 * scale, 0.1 * scale, 5e-4 * scale)
    >>> gains = Intensities(*(statistical("clicks", q, 1e-6) for q in (2.928e-2, 6.083e-3, 2.28e-4)))
    >>> rates = Intensities(*(statistical("errors", e, 1e-4) for e in (0.0153, 0.0279, 0.437)))
    >>> bounds = decoy_bounds(means, gains, rates)
    >>> f"{bounds.single_photon_yield:.2u}"
    '0.0575+/-0.0012'
    """
    return DecoyBounds(
        background_yield_lower_bound(mean_photon_numbers, gains),
        single_photon_yield_lower_bound(mean_photon_numbers, gains),
        single_photon_error_upper_bound(mean_photon_numbers, gains, error_rates),
    )


def binary_entropy(probability: Uncertain) -> Uncertain:
    """Return the binary entropy H2 of a probability, in bits.

    Of a probability with an uncertainty, the slope is that of the secant over +-0.1 standard uncertainties within
    [0, 1]: at 0 and 1 the derivative is infinite.

    Raises
    ------
    OutOfRange
        Outside [0, 1].

    Examples
    --------
    >>> binary_entropy(0.5)
    1.0
    """
    if not isinstance(probability, UFloat):
        return _binary_entropy(probability)
    value, step = probability.nominal_value, _SECANT_SIGMAS * probability.std_dev
    entropy = _binary_entropy(value)
    low, high = max(value - step, 0.0), min(value + step, 1.0)
    slope = (_binary_entropy(high) - _binary_entropy(low)) / (high - low) if high > low else 0.0
    uncertain: UFloat = entropy + slope * (probability - value)
    return uncertain


def _binary_entropy(probability: float) -> float:
    if not 0 <= probability <= 1:
        raise OutOfRange(f"{probability} is not a probability")
    if probability in (0.0, 1.0):
        return 0.0
    return -probability * math.log2(probability) - (1 - probability) * math.log2(1 - probability)


def gllp_rate_per_signal(
    signal: Uncertain,
    gain: Uncertain,
    error_rate: Uncertain,
    single_photon_yield: Uncertain,
    single_photon_error: Uncertain,
    *,
    correction_efficiency: float = 1.16,
    sifting: float = 0.5,
) -> Uncertain:
    """Return secret bits per signal pulse; negative when no key can be made.

    ``q (Y1 mu exp(-mu) (1 - H2(e1)) - f Q_mu H2(E_mu))``

    Parameters
    ----------
    signal
        Mean photon number mu of the signal.
    gain, error_rate
        Q_mu and E_mu of the signal.
    single_photon_yield, single_photon_error
        Bounds on Y1 and e1; an e1 above 1/2 counts as 1/2, where a photon carries no information.
    correction_efficiency
        Bits disclosed by error correction over Shannon's limit, f.
    sifting
        Fraction of the pulses that survive sifting, q.

    Raises
    ------
    OutOfRange
        If an error rate is not a probability.

    References
    ----------
    H.-K. Lo, X. Ma and K. Chen, Phys. Rev. Lett. 94, 230504 (2005), eq. 11.

    Examples
    --------
    >>> round(gllp_rate_per_signal(0.48, 2.137e-2, 0.033, 4.4385e-2, 0.0352, correction_efficiency=1.22), 5)
    0.00242
    """
    single = single_photon_yield * signal * exp(-signal)
    secret = single * (1 - binary_entropy(min(single_photon_error, 0.5, key=nominal)))
    rate: Uncertain = sifting * (secret - gain * correction_efficiency * binary_entropy(error_rate))
    return rate


def asymptotic_key_rate(
    mean_photon_numbers: Intensities[Uncertain],
    gains: Intensities[Uncertain],
    error_rates: Intensities[Uncertain],
    *,
    symbol_rate_hz: float,
    signal_fraction: float,
    correction_efficiency: float = 1.16,
    sifting: float = 0.5,
) -> Uncertain:
    """Return secret bits per second of an infinitely long run, from the signal pulses alone; negative means no key.

    The rate per signal pulse times ``symbol_rate_hz * signal_fraction``: dead time of the detectors is not subtracted.

    Parameters
    ----------
    mean_photon_numbers, gains, error_rates
        As in :func:`decoy_bounds`.
    symbol_rate_hz
        Pulses per second, of all intensities.
    signal_fraction
        Fraction of the pulses that are signals.
    correction_efficiency, sifting
        As in :func:`gllp_rate_per_signal`.

    Raises
    ------
    OutOfRange
        As :func:`decoy_bounds`.
    NotEnoughCounts
        As :func:`decoy_bounds`.
    """
    bounds = decoy_bounds(mean_photon_numbers, gains, error_rates)
    per_signal = gllp_rate_per_signal(
        mean_photon_numbers.signal,
        gains.signal,
        error_rates.signal,
        bounds.single_photon_yield,
        bounds.single_photon_error,
        correction_efficiency=correction_efficiency,
        sifting=sifting,
    )
    return symbol_rate_hz * signal_fraction * per_signal


def _checked(mean_photon_numbers: Intensities[Uncertain]) -> Intensities[Uncertain]:
    mu, nu, w = (nominal(mean) for mean in mean_photon_numbers)
    if not (mu > nu + w and nu > w >= 0):
        raise OutOfRange(f"mean photon numbers {(mu, nu, w)}: need mu > nu + w and nu > w >= 0")
    return mean_photon_numbers
