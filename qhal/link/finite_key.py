"""Finite-key bounds of decoy-state BB84 with biased bases: what a block of so many counts is worth.

The key comes from one basis, the phase error from the other; all intensities give key. Two decoys: Lim, Curty,
Walenta, Xu and Zbinden, Phys. Rev. A 89, 022307 (2014). One decoy: Rusca, Boaron, Gruenenfelder, Martin and Zbinden,
Appl. Phys. Lett. 112, 171104 (2018). The two spend their failure probability on different numbers of terms (21 and 19)
and are never mixed. Both assume independent pulses: dead times and afterpulses break that a little.
"""

import math
from dataclasses import dataclass

from qhal.errors import OutOfRange
from qhal.link.decoy import binary_entropy
from qhal.link.errors import NotEnoughCounts

Counts = tuple[float, ...]
_TERMS = {3: 21, 2: 19}


@dataclass(frozen=True, slots=True)
class Intensities:
    """Mean photon numbers from the brightest on, and the probabilities with which they are chosen.

    Three of them (two decoys) with ``mu1 > mu2 + mu3`` and ``mu2 > mu3 >= 0``, or two (one decoy) with
    ``mu1 > mu2 > 0``. Probabilities are positive and sum to 1. Raises OutOfRange.
    """

    mean_photon_numbers: Counts
    probabilities: Counts

    def __post_init__(self) -> None:
        means, shares = self.mean_photon_numbers, self.probabilities
        if len(means) not in _TERMS or len(shares) != len(means):
            raise OutOfRange(
                f"{len(means)} intensities with {len(shares)} probabilities: give 2 or 3 of each"
            )
        three = len(means) == 3
        if three and not (means[0] > means[1] + means[2] and means[1] > means[2] >= 0):
            raise OutOfRange(f"mean photon numbers {means}: need mu1 > mu2 + mu3 and mu2 > mu3 >= 0")
        if not three and not means[0] > means[1] > 0:
            raise OutOfRange(f"mean photon numbers {means}: need mu1 > mu2 > 0")
        if min(shares) <= 0 or abs(sum(shares) - 1) > 1e-9:
            raise OutOfRange(f"probabilities {shares} are not positive with the sum 1")

    def photon_share(self, photons: int) -> float:
        """Return the probability that a pulse of any intensity has so many photons (tau_n in the papers)."""
        pairs = zip(self.mean_photon_numbers, self.probabilities, strict=True)
        return sum(p * math.exp(-mu) * mu**photons / math.factorial(photons) for mu, p in pairs)


@dataclass(frozen=True, slots=True)
class Security:
    """What is asked of a key: ``secrecy`` (epsilon_sec) and ``correctness`` (epsilon_cor), between 0 and 1.

    ``correction_efficiency``: f_EC, bits told per bit of Shannon's limit. Raises OutOfRange.
    """

    secrecy: float = 1e-9
    correctness: float = 1e-15
    correction_efficiency: float = 1.16

    def __post_init__(self) -> None:
        if not (0 < self.secrecy < 1 and 0 < self.correctness < 1 and self.correction_efficiency >= 1):
            raise OutOfRange(
                f"{self}: probabilities lie between 0 and 1, and no correction beats Shannon's limit"
            )


@dataclass(frozen=True, slots=True)
class BlockCounts:
    """Sifted bits and errors of a block by intensity, in the basis of the key and in that of the test."""

    key: Counts
    key_errors: Counts
    test: Counts
    test_errors: Counts


@dataclass(frozen=True, slots=True)
class KeyBounds:
    """What a block is worth.

    ``vacuum_events``, ``single_photon_events``: lower bounds on bits of the key basis from pulses with no and one
    photon. ``phase_error``: upper bound of the single photons' error in the other basis. ``length``: secret bits.
    """

    vacuum_events: float
    single_photon_events: float
    phase_error: float
    length: float


def key_bounds(intensities: Intensities, counts: BlockCounts, security: Security) -> KeyBounds:
    """Bound the key of a block, by two decoys or by one as the number of intensities says.

    Raises OutOfRange for counts that do not fit the intensities, NotEnoughCounts when they bound nothing.
    """
    number = len(intensities.mean_photon_numbers)
    for name in ("key", "key_errors", "test", "test_errors"):
        values = getattr(counts, name)
        if len(values) != number or min(values) < 0:
            raise OutOfRange(f"{name} counts {values}: need {number} that are not negative")
    terms = _TERMS[number]
    bound = _two_decoys if number == 3 else _one_decoy
    vacuum, single = bound(intensities, counts.key, counts.key_errors, security.secrecy / terms)
    _, test_single = bound(intensities, counts.test, counts.test_errors, security.secrecy / terms)
    if single <= 0 or test_single <= 0:
        raise NotEnoughCounts(
            f"single photons: {single:.3g} in the key, {test_single:.3g} in the test, at least"
        )
    wrong = _single_photon_errors(intensities, counts.test_errors, security.secrecy / terms)
    error = min(wrong / test_single, 0.5)
    phase = min(error + _gamma(security.secrecy / terms, error, test_single, single), 0.5)
    bits, errors = sum(counts.key), sum(counts.key_errors)
    told = security.correction_efficiency * binary_entropy(min(errors / bits, 0.5)) * bits
    length = (
        vacuum
        + single * (1 - binary_entropy(phase))
        - told
        - 6 * math.log2(terms / security.secrecy)
        - math.log2(2 / security.correctness)
    )
    return KeyBounds(vacuum, single, phase, length)


def _two_decoys(
    intensities: Intensities, counts: Counts, errors: Counts, epsilon: float
) -> tuple[float, float]:
    """Return the lower bounds on vacuum and single-photon events (Lim 2014, eqs. 2 and 3)."""
    del errors
    mu1, mu2, mu3 = intensities.mean_photon_numbers
    low, high = _scaled(intensities, counts, epsilon)
    tau0, tau1 = intensities.photon_share(0), intensities.photon_share(1)
    vacuum = max(0.0, tau0 * (mu2 * low[2] - mu3 * high[1]) / (mu2 - mu3))
    many = (mu2**2 - mu3**2) / mu1**2 * (high[0] - vacuum / tau0)
    single = tau1 * mu1 * (low[1] - high[2] - many) / (mu1 * (mu2 - mu3) - mu2**2 + mu3**2)
    return vacuum, single


def _one_decoy(
    intensities: Intensities, counts: Counts, errors: Counts, epsilon: float
) -> tuple[float, float]:
    """Return the lower bounds on vacuum and single-photon events (Rusca 2018).

    A vacuum event is wrong with probability 1/2, so errors bound how many there are.
    """
    mu1, mu2 = intensities.mean_photon_numbers
    low, high = _scaled(intensities, counts, epsilon)
    _, wrong = _scaled(intensities, errors, epsilon)
    tau0, tau1 = intensities.photon_share(0), intensities.photon_share(1)
    vacuum = max(0.0, tau0 * (mu1 * low[1] - mu2 * high[0]) / (mu1 - mu2))
    most = 2 * (tau0 * min(wrong) + _deviation(sum(counts), epsilon))
    many = mu2**2 / mu1**2 * high[0] + (mu1**2 - mu2**2) / mu1**2 * most / tau0
    single = tau1 * mu1 / (mu2 * (mu1 - mu2)) * (low[1] - many)
    return vacuum, single


def _single_photon_errors(intensities: Intensities, errors: Counts, epsilon: float) -> float:
    """Return the upper bound on errors of single photons, from the two dimmest intensities."""
    low, high = _scaled(intensities, errors, epsilon)
    brighter, dimmer = intensities.mean_photon_numbers[-2:]
    return max(0.0, intensities.photon_share(1) * (high[-2] - low[-1]) / (brighter - dimmer))


def _scaled(intensities: Intensities, counts: Counts, epsilon: float) -> tuple[Counts, Counts]:
    """Return ``e^k / p_k (n_k -+ deviation)``: what the counts of each intensity may have been on average.

    Hoeffding's inequality over all counts of the basis; counts cannot leave the range from 0 to their total.
    """
    total = sum(counts)
    deviation = _deviation(total, epsilon)
    weights = [
        math.exp(mu) / p
        for mu, p in zip(intensities.mean_photon_numbers, intensities.probabilities, strict=True)
    ]
    low = tuple(w * max(n - deviation, 0.0) for w, n in zip(weights, counts, strict=True))
    high = tuple(w * min(n + deviation, total) for w, n in zip(weights, counts, strict=True))
    return low, high


def _deviation(total: float, epsilon: float) -> float:
    return math.sqrt(total / 2 * math.log(1 / epsilon))


def _gamma(epsilon: float, error: float, test: float, key: float) -> float:
    """Return how much larger the phase error of the key may be than the error that the test showed."""
    spread = max((1 - error) * error, 1e-12)
    scale = (key + test) / (key * test)
    # An error rate so small that the logarithm would be negative adds nothing.
    inside = scale * spread / math.log(2) * math.log2(max(scale / spread / epsilon**2, 1.0))
    return math.sqrt(inside)
