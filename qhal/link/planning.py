"""Choose intensities and probabilities for a link: those that give the most key per pulse from blocks of a size."""

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
    """How to run a link, and what comes of it.

    ``key_basis_probability``: with which both sides choose the basis of the key. ``pulses``: how many fill a block.
    ``rate_per_pulse``: secret bits per pulse sent.
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
    """Return the mean photon number that is best with infinite decoys and small transmission.

    The root of ``(1 - mu) e^-mu = f H2(e_d) / (1 - H2(e_d))``: Ma, Qi, Zhao and Lo, Phys. Rev. A 72, 012326 (2005).
    Raises NotEnoughCounts when that error leaves no key.
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
    """Return what a block of ``block_bits`` in the key basis is worth on a link as expected.

    ``secrecy_per_bit``: take the secrecy as this times the length of the key, as Lim 2014 does, instead of the fixed
    one of ``security``. Raises OutOfRange and NotEnoughCounts.
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
    """Return the plan with the largest rate per pulse, for two decoys (the weakest given) or one.

    A global search (differential evolution, seeded) and a local one. Raises OutOfRange for another number of decoys,
    NotEnoughCounts when no choice gives key.
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
