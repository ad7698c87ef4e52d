"""Choice of intensities and probabilities that give the most secret key per pulse, for a link and a block size."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import optimize

from qhal.errors import OutOfRange
from qhal.link.channel_model import ThresholdLink
from qhal.link.decoy import binary_entropy
from qhal.link.finite_key import BlockCounts, IntensityDistribution, KeyBounds, Security, key_bounds
from qhal.link.link_errors import NotEnoughCounts

_LEAST, _MOST = 1e-3, 1 - 1e-3
_FIXED_POINT_STEPS = 4


@dataclass(frozen=True, slots=True)
class KeyPlan:
    """Operating point of a link, and the key that it gives.

    Attributes
    ----------
    intensities
        Mean photon numbers and their probabilities.
    key_basis_probability
        Probability with which each side chooses the basis of the key.
    pulses
        Pulses that fill a block.
    bounds
        Bounds of the block.
    """

    intensities: IntensityDistribution
    key_basis_probability: float
    pulses: float
    bounds: KeyBounds

    @property
    def rate_per_pulse(self) -> float:
        """Secret bits per pulse sent; negative: no key."""
        return self.bounds.length / self.pulses


def best_signal(optical_error: float, correction_efficiency: float = 1.16) -> float:
    """Return the optimal mean photon number of the signal with infinitely many decoys and small transmission.

    The root of ``(1 - mu) exp(-mu) = f H2(e_d) / (1 - H2(e_d))``.

    Parameters
    ----------
    optical_error
        Probability e_d that a photon is detected in the wrong detector.
    correction_efficiency
        Efficiency f of the error correction.

    Raises
    ------
    NotEnoughCounts
        If the error leaves no key.

    References
    ----------
    X. Ma, B. Qi, Y. Zhao and H.-K. Lo, Phys. Rev. A 72, 012326 (2005), eq. 12.

    Examples
    --------
    >>> round(best_signal(0.033, 1.22), 2)
    0.48
    """
    entropy = binary_entropy(optical_error)
    needed = correction_efficiency * entropy / (1 - entropy) if entropy < 1 else math.inf
    if needed >= 1:
        raise NotEnoughCounts(f"an optical error of {optical_error:g} leaves no key")
    return float(optimize.brentq(lambda mu: (1 - mu) * math.exp(-mu) - needed, 0.0, 1.0))


def expected_plan(
    link: ThresholdLink,
    intensities: IntensityDistribution,
    key_basis_probability: float,
    block_bits: float,
    security: Security,
    secrecy_per_bit: float | None = None,
) -> KeyPlan:
    """Return the key of a block with the expected counts of a link.

    Parameters
    ----------
    link
        Model of the link.
    intensities
        Mean photon numbers and their probabilities.
    key_basis_probability
        Probability with which each side chooses the basis of the key.
    block_bits
        Sifted bits of a block in the key basis.
    security
        Security parameters.
    secrecy_per_bit
        Secrecy per bit of key, as Lim et al. (2014), instead of the fixed secrecy of ``security``.

    Raises
    ------
    OutOfRange
        For a probability or a size outside its range.
    NotEnoughCounts
        If the counts give no bounds.
    """
    if not 0 < key_basis_probability < 1 or block_bits <= 0:
        raise OutOfRange(f"key basis with probability {key_basis_probability}, blocks of {block_bits} bits")
    pairs = list(zip(intensities.mean_photon_numbers, intensities.probabilities, strict=True))
    gains = [p * link.gain(mu) for mu, p in pairs]
    wrong = [p * link.error_gain(mu) for mu, p in pairs]
    pulses = block_bits / (key_basis_probability**2 * sum(gains))
    key, test = pulses * key_basis_probability**2, pulses * (1 - key_basis_probability) ** 2

    def times(factor: float, values: Sequence[float]) -> tuple[float, ...]:
        return tuple(factor * value for value in values)

    counts = BlockCounts(times(key, gains), times(key, wrong), times(test, gains), times(test, wrong))
    bounds = key_bounds(intensities, counts, security)
    if secrecy_per_bit is not None:
        for _ in range(_FIXED_POINT_STEPS):
            secrecy = min(max(secrecy_per_bit * bounds.length, secrecy_per_bit), 0.5)
            bounds = key_bounds(intensities, counts, replace(security, secrecy=secrecy))
    return KeyPlan(intensities, key_basis_probability, pulses, bounds)


def best_plan(
    link: ThresholdLink,
    block_bits: float,
    security: Security | None = None,
    *,
    decoys: int = 2,
    weakest: float = 2e-4,
    secrecy_per_bit: float | None = None,
    seed: int = 0,
) -> KeyPlan:
    """Return the plan with the largest key rate per pulse.

    A global search (differential evolution), then a local one (Nelder-Mead).

    Parameters
    ----------
    link
        Model of the link.
    block_bits
        Sifted bits of a block in the key basis.
    security
        Security parameters, by default those of :class:`Security`.
    decoys
        Number of decoy intensities, 1 or 2.
    weakest
        Mean photon number of the weakest intensity of two decoys.
    secrecy_per_bit
        As in :func:`expected_plan`.
    seed
        Seed of the global search.

    Raises
    ------
    OutOfRange
        For another number of decoys.
    NotEnoughCounts
        If no choice gives key.
    """
    if decoys not in (1, 2):
        raise OutOfRange(f"{decoys} decoys: there are bounds for 1 and 2")
    wanted = security or Security()

    def plan(x: Sequence[float]) -> KeyPlan:
        signal = float(x[0])
        decoy = float(x[1]) * (signal - (weakest if decoys == 2 else 0.0))
        fraction, rest = float(x[2]), 1 - float(x[2])
        if decoys == 1:
            chosen = IntensityDistribution((signal, decoy), (fraction, rest))
        else:
            second = rest * float(x[4])
            chosen = IntensityDistribution((signal, decoy, weakest), (fraction, second, rest - second))
        return expected_plan(link, chosen, float(x[3]), block_bits, wanted, secrecy_per_bit)

    def loss(x: Sequence[float]) -> float:
        try:
            return -plan(x).rate_per_pulse
        except (OutOfRange, NotEnoughCounts):
            return 1.0

    ranges = [(0.05, 1.0), (0.02, 0.95), (_LEAST, _MOST), (0.02, _MOST), (_LEAST, _MOST)][: 3 + decoys]
    found = optimize.differential_evolution(
        loss, ranges, maxiter=120, popsize=12, tol=1e-9, seed=np.random.default_rng(seed), polish=False
    )
    found = optimize.minimize(
        loss,
        found.x,
        method="Nelder-Mead",
        bounds=ranges,
        options={"xatol": 1e-6, "fatol": 1e-14, "maxiter": 3000},
    )
    if found.fun >= 0:
        raise NotEnoughCounts(f"no intensities give key from blocks of {block_bits:g} bits on this link")
    return plan(found.x)
