"""Decoy-state bounds with three intensities, none of them dark, and the asymptotic key rate.

Signal mu, decoy nu, weak w, with ``mu > nu + w`` and ``nu > w >= 0``. The general two-decoy form of Ma, Qi,
Zhao and Lo, Phys. Rev. A 72, 012326 (2005): the gain of the weakest state is not taken for the background
yield Y0, because modulators of finite extinction leave light in it and the bounds would come out better than
the truth.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qhal.errors import OutOfRange
from qhal.link.errors import NotEnoughCounts

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Estimate:
    """A value and its standard uncertainty (k = 1), both in one unit."""

    value: float
    standard_uncertainty: float


@dataclass(frozen=True)
class DecoyBounds:
    """Bounds on what one photon does, with statistical uncertainties.

    ``background_yield``: lower bound Y0^L, clicks per empty pulse over all detectors.
    ``single_photon_yield``: lower bound Y1^L, clicks per single-photon pulse.
    ``single_photon_error``: upper bound e1^U on the error rate of single photons.
    The uncertainties are those of the inputs, propagated linearly; they are not a finite-key analysis.
    """

    background_yield: Estimate
    single_photon_yield: Estimate
    single_photon_error: Estimate


def background_yield_lower_bound(mean_photon_numbers: Triple, gains: Triple) -> float:
    """Return Y0^L = max(0, (nu Q_w e^w - w Q_nu e^nu) / (nu - w)); a yield cannot be negative."""
    _, nu, w = _checked(mean_photon_numbers)
    _, decoy, weak = gains
    return max(0.0, (nu * weak * math.exp(w) - w * decoy * math.exp(nu)) / (nu - w))


def single_photon_yield_lower_bound(mean_photon_numbers: Triple, gains: Triple) -> float:
    """Return Y1^L; a value <= 0 means that the gains allow no statement."""
    mu, nu, w = _checked(mean_photon_numbers)
    signal, decoy, weak = gains
    background = background_yield_lower_bound(mean_photon_numbers, gains)
    many = (nu**2 - w**2) / mu**2 * (signal * math.exp(mu) - background)
    return mu / ((mu - nu - w) * (nu - w)) * (decoy * math.exp(nu) - weak * math.exp(w) - many)


def single_photon_error_upper_bound(mean_photon_numbers: Triple, gains: Triple, error_rates: Triple) -> float:
    """Return e1^U = (E_nu Q_nu e^nu - E_w Q_w e^w) / ((nu - w) Y1^L).

    Raises NotEnoughCounts when Y1^L is not positive or chance has made e1^U negative.
    """
    _, nu, w = mean_photon_numbers
    single = single_photon_yield_lower_bound(mean_photon_numbers, gains)
    if single <= 0:
        raise NotEnoughCounts(f"the gains {gains} bound the single-photon yield by {single:.3g} only")
    wrong = error_rates[1] * gains[1] * math.exp(nu) - error_rates[2] * gains[2] * math.exp(w)
    if wrong < 0:
        raise NotEnoughCounts("the vacuum shows more errors than the decoy: no bound on single-photon errors")
    return wrong / ((nu - w) * single)


def decoy_bounds(
    mean_photon_numbers: Triple, gains: Sequence[Estimate], error_rates: Sequence[Estimate]
) -> DecoyBounds:
    """Bound Y0, Y1 and e1 from measured gains and error rates.

    Each argument holds signal, decoy, vacuum in this order. Raises OutOfRange for intensities out of
    order and NotEnoughCounts when the gains do not bound the single-photon yield.
    """

    def of_gains(bound: Callable[[Triple, Triple], float]) -> Estimate:
        return _propagate(lambda q: bound(mean_photon_numbers, (q[0], q[1], q[2])), gains)

    error = _propagate(
        lambda x: single_photon_error_upper_bound(
            mean_photon_numbers, (x[0], x[1], x[2]), (x[3], x[4], x[5])
        ),
        [*gains, *error_rates],
    )
    return DecoyBounds(
        of_gains(background_yield_lower_bound), of_gains(single_photon_yield_lower_bound), error
    )


def binary_entropy(probability: float) -> float:
    """Return H2(p) in bits. Raises OutOfRange outside [0, 1]."""
    if not 0 <= probability <= 1:
        raise OutOfRange(f"{probability} is not a probability")
    if probability in (0.0, 1.0):
        return 0.0
    return -probability * math.log2(probability) - (1 - probability) * math.log2(1 - probability)


def gllp_rate_per_signal(
    signal: float,
    gain: float,
    error_rate: float,
    single_photon_yield: float,
    single_photon_error: float,
    *,
    correction_efficiency: float = 1.16,
    sifting: float = 0.5,
) -> float:
    """Return secret bits per signal pulse, ``q [Y1 mu e^-mu (1 - H2(e1)) - Q_mu f H2(E_mu)]``.

    Lo, Ma and Chen, Phys. Rev. Lett. 94, 230504 (2005), eq. 11. ``signal``: mu; ``gain``, ``error_rate``: of
    the signal; ``sifting``: q. An e1 above 1/2 counts as 1/2 (the photon then tells nothing).
    A negative rate means that no key can be made.
    """
    single = single_photon_yield * signal * math.exp(-signal)
    secret = single * (1 - binary_entropy(min(single_photon_error, 0.5)))
    return sifting * (secret - gain * correction_efficiency * binary_entropy(error_rate))


def asymptotic_key_rate(
    mean_photon_numbers: Triple,
    gains: Sequence[Estimate],
    error_rates: Sequence[Estimate],
    *,
    symbol_rate_hz: float,
    signal_fraction: float,
    correction_efficiency: float = 1.16,
    sifting: float = 0.5,
) -> Estimate:
    """Estimate secret bits per second of an infinitely long run, from the signal pulses alone.

    The rate per signal pulse times ``symbol_rate_hz * signal_fraction``: time in which a detector is dead
    is not taken off. Negative means no key. Raises what :func:`decoy_bounds` raises.
    """

    def rate(x: Sequence[float]) -> float:
        q, e = (x[0], x[1], x[2]), (x[3], x[4], x[5])
        return (symbol_rate_hz * signal_fraction) * gllp_rate_per_signal(
            mean_photon_numbers[0],
            q[0],
            e[0],
            single_photon_yield_lower_bound(mean_photon_numbers, q),
            single_photon_error_upper_bound(mean_photon_numbers, q, e),
            correction_efficiency=correction_efficiency,
            sifting=sifting,
        )

    return _propagate(rate, [*gains, *error_rates])


def _propagate(function: Callable[[Sequence[float]], float], inputs: Sequence[Estimate]) -> Estimate:
    """Propagate independent uncertainties linearly, by differences over a tenth of each.

    The inputs are probabilities, so a difference does not reach below zero.
    """
    values = [x.value for x in inputs]
    variance = 0.0
    for i, x in enumerate(inputs):
        step = 0.1 * x.standard_uncertainty
        if step:
            shifted = [*values[:i], x.value + step, *values[i + 1 :]]
            low = max(x.value - step, 0.0)
            back = [*values[:i], low, *values[i + 1 :]]
            slope = (function(shifted) - function(back)) / (x.value + step - low)
            variance += (slope * x.standard_uncertainty) ** 2
    return Estimate(function(values), math.sqrt(variance))


def _checked(mean_photon_numbers: Triple) -> Triple:
    mu, nu, w = mean_photon_numbers
    if not (mu > nu + w and nu > w >= 0):
        raise OutOfRange(f"mean photon numbers {mean_photon_numbers}: need mu > nu + w and nu > w >= 0")
    return mean_photon_numbers
