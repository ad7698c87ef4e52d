"""Finite-key bounds of decoy-state BB84 with biased bases: the secret bits of one block of detections.

The key comes from one basis, the phase error from the other; all intensities give key. Two decoys: Lim et al. [1]_. One
decoy: Rusca et al. [2]_. The two divide their failure probability among different numbers of terms (21 and 19) and are
never mixed. Both assume independent pulses, which dead times and afterpulses violate a little.

Counts are exact; mean photon numbers may have uncertainties (``UFloat``), which propagate to first order
(:mod:`qhal.records.uncertain`). They are no part of the failure probability: a key for use takes the unfavourable end.

.. [1] C. C. W. Lim, M. Curty, N. Walenta, F. Xu and H. Zbinden, Phys. Rev. A 89, 022307 (2014).
.. [2] D. Rusca, A. Boaron, F. Gruenenfelder, A. Martin and H. Zbinden, Appl. Phys. Lett. 112, 171104 (2018).
"""

import math
from dataclasses import dataclass
from typing import Any

from qhal.errors import OutOfRange
from qhal.link.decoy import binary_entropy
from qhal.link.link_errors import NotEnoughCounts
from qhal.records.uncertain import Uncertain, exp, log2, nominal

Counts = tuple[float, ...]
Numbers = tuple[Uncertain, ...]
_TERMS = {3: 21, 2: 19}


@dataclass(frozen=True, slots=True)
class IntensityDistribution:
    """Mean photon numbers of the intensities, brightest first, and their probabilities.

    Attributes
    ----------
    mean_photon_numbers
        Three (two decoys) with ``mu1 > mu2 + mu3`` and ``mu2 > mu3 >= 0``, or two (one decoy) with ``mu1 > mu2 > 0``.
    probabilities
        With which a pulse has each of them; positive, with the sum 1.

    Raises
    ------
    OutOfRange
        For numbers that do not fulfil this.

    Examples
    --------
    >>> intensities = IntensityDistribution((0.5, 0.1, 2e-4), (0.7, 0.2, 0.1))
    >>> round(intensities.photon_probability(1), 4)
    0.2304
    """

    mean_photon_numbers: Numbers
    probabilities: Counts

    def __post_init__(self) -> None:
        means = tuple(nominal(mean) for mean in self.mean_photon_numbers)
        probabilities = self.probabilities
        if len(means) not in _TERMS or len(probabilities) != len(means):
            raise OutOfRange(
                f"{len(means)} intensities with {len(probabilities)} probabilities: give 2 or 3 of each"
            )
        three = len(means) == 3
        if three and not (means[0] > means[1] + means[2] and means[1] > means[2] >= 0):
            raise OutOfRange(f"mean photon numbers {means}: need mu1 > mu2 + mu3 and mu2 > mu3 >= 0")
        if not three and not means[0] > means[1] > 0:
            raise OutOfRange(f"mean photon numbers {means}: need mu1 > mu2 > 0")
        if min(probabilities) <= 0 or abs(sum(probabilities) - 1) > 1e-9:
            raise OutOfRange(f"probabilities {probabilities} are not positive with the sum 1")

    def photon_probability(self, photons: int) -> Uncertain:
        """Return the probability that a pulse of any intensity has this number of photons (tau_n of the papers)."""
        pairs = zip(self.mean_photon_numbers, self.probabilities, strict=True)
        total: Uncertain = sum(p * exp(-mu) * mu**photons / math.factorial(photons) for mu, p in pairs)
        return total


@dataclass(frozen=True, slots=True)
class Security:
    """Parameters of the key's security.

    Attributes
    ----------
    secrecy, correctness
        Failure probabilities epsilon_sec and epsilon_cor, between 0 and 1.
    correction_efficiency
        Bits disclosed by error correction over Shannon's limit, at least 1.

    Raises
    ------
    OutOfRange
        For values outside these ranges.
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
    """Sifted bits and errors of a block by intensity (brightest first), in the key basis and in the test basis."""

    key: Counts
    key_errors: Counts
    test: Counts
    test_errors: Counts


@dataclass(frozen=True, slots=True)
class KeyBounds:
    """Bounds on the key of a block.

    Attributes
    ----------
    vacuum_events, single_photon_events
        Lower bounds on bits of the key basis from pulses with no and with one photon.
    phase_error
        Upper bound on the error of the single photons in the other basis.
    length
        Secret bits; negative when there is no key.
    """

    vacuum_events: Uncertain
    single_photon_events: Uncertain
    phase_error: Uncertain
    length: Uncertain


def key_bounds(intensities: IntensityDistribution, counts: BlockCounts, security: Security) -> KeyBounds:
    """Bound the key of a block, with two decoys or with one, by the number of intensities.

    Parameters
    ----------
    intensities
        Mean photon numbers and probabilities of the transmitter.
    counts
        Sifted bits and errors of the block (:meth:`~qhal.link.estimates.SiftedCounts.block`).
    security
        Failure probabilities and efficiency of error correction.

    Raises
    ------
    OutOfRange
        For counts that are negative or not one for each intensity.
    NotEnoughCounts
        If the counts bound no single photons.

    References
    ----------
    Two decoys: Lim et al., Phys. Rev. A 89, 022307 (2014), eqs. 1 to 5. One decoy: Rusca et al., Appl. Phys. Lett. 112,
    171104 (2018).

    Examples
    --------
    >>> intensities = IntensityDistribution((0.5, 0.1, 2e-4), (0.7, 0.2, 0.1))
    >>> counts = BlockCounts(
    ...     key=(1e8, 6e6, 5e3), key_errors=(1e6, 6e4, 2e3), test=(1e8, 6e6, 5e3), test_errors=(1e6, 6e4, 2e3)
    ... )
    >>> bounds = key_bounds(intensities, counts, Security())
    >>> f"{bounds.length:.3g} bits, phase error {bounds.phase_error:.3f}"
    '5.04e+07 bits, phase error 0.012'
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
    if nominal(single) <= 0 or nominal(test_single) <= 0:
        raise NotEnoughCounts(
            f"single photons: at least {single:.3g} in the key, {test_single:.3g} in the test"
        )
    wrong = _single_photon_errors(intensities, counts.test_errors, security.secrecy / terms)
    error = _at_most(0.5, wrong / test_single)
    phase = _at_most(0.5, error + _gamma(security.secrecy / terms, error, test_single, single))
    bits, errors = sum(counts.key), sum(counts.key_errors)
    disclosed = security.correction_efficiency * binary_entropy(min(errors / bits, 0.5)) * bits
    length = (
        vacuum
        + single * (1 - binary_entropy(phase))
        - disclosed
        - 6 * math.log2(terms / security.secrecy)
        - math.log2(2 / security.correctness)
    )
    return KeyBounds(vacuum, single, phase, length)


def _two_decoys(
    intensities: IntensityDistribution, counts: Counts, errors: Counts, epsilon: float
) -> tuple[Any, Any]:
    """Return the lower bounds on vacuum and single-photon events (Lim 2014, eqs. 2 and 3)."""
    del errors
    mu1, mu2, mu3 = intensities.mean_photon_numbers
    low, high = _scaled(intensities, counts, epsilon)
    tau0, tau1 = intensities.photon_probability(0), intensities.photon_probability(1)
    vacuum = _at_least(0.0, tau0 * (mu2 * low[2] - mu3 * high[1]) / (mu2 - mu3))
    multi_photon = (mu2**2 - mu3**2) / mu1**2 * (high[0] - vacuum / tau0)
    single = tau1 * mu1 * (low[1] - high[2] - multi_photon) / (mu1 * (mu2 - mu3) - mu2**2 + mu3**2)
    return vacuum, single


def _one_decoy(
    intensities: IntensityDistribution, counts: Counts, errors: Counts, epsilon: float
) -> tuple[Any, Any]:
    """Return the lower bounds on vacuum and single-photon events (Rusca 2018).

    A vacuum event is wrong with probability 1/2, so errors bound the number of vacuum events.
    """
    mu1, mu2 = intensities.mean_photon_numbers
    low, high = _scaled(intensities, counts, epsilon)
    _, wrong = _scaled(intensities, errors, epsilon)
    tau0, tau1 = intensities.photon_probability(0), intensities.photon_probability(1)
    vacuum = _at_least(0.0, tau0 * (mu1 * low[1] - mu2 * high[0]) / (mu1 - mu2))
    max_vacuum = 2 * (tau0 * min(wrong, key=nominal) + _deviation(sum(counts), epsilon))
    multi_photon = mu2**2 / mu1**2 * high[0] + (mu1**2 - mu2**2) / mu1**2 * max_vacuum / tau0
    single = tau1 * mu1 / (mu2 * (mu1 - mu2)) * (low[1] - multi_photon)
    return vacuum, single


def _single_photon_errors(intensities: IntensityDistribution, errors: Counts, epsilon: float) -> Any:
    """Return the upper bound on errors of single photons, from the two weakest intensities (Lim 2014, eq. 4)."""
    low, high = _scaled(intensities, errors, epsilon)
    brighter, dimmer = intensities.mean_photon_numbers[-2:]
    return _at_least(0.0, intensities.photon_probability(1) * (high[-2] - low[-1]) / (brighter - dimmer))


def _scaled(
    intensities: IntensityDistribution, counts: Counts, epsilon: float
) -> tuple[list[Any], list[Any]]:
    """Return ``e^k / p_k (n_k -+ deviation)``: bounds on the average counts of each intensity.

    Hoeffding's inequality over all counts of the basis; counts cannot leave the range from 0 to their total.
    """
    total = sum(counts)
    deviation = _deviation(total, epsilon)
    weights = [
        exp(mu) / p for mu, p in zip(intensities.mean_photon_numbers, intensities.probabilities, strict=True)
    ]
    low = [w * max(n - deviation, 0.0) for w, n in zip(weights, counts, strict=True)]
    high = [w * min(n + deviation, total) for w, n in zip(weights, counts, strict=True)]
    return low, high


def _deviation(total: float, epsilon: float) -> float:
    return math.sqrt(total / 2 * math.log(1 / epsilon))


def _gamma(epsilon: float, error: Any, test: Any, key: Any) -> Any:
    """Return by how much the phase error of the key may exceed the error in the test (Lim 2014, eq. 5)."""
    spread = _at_least(1e-12, (1 - error) * error)
    scale = (key + test) / (key * test)
    # An error rate so small that the logarithm would be negative adds nothing.
    inside = scale * spread / math.log(2) * log2(_at_least(1.0, scale / spread / epsilon**2))
    return inside**0.5


def _at_least(bound: float, value: Any) -> Any:
    return value if nominal(value) > bound else bound


def _at_most(bound: float, value: Any) -> Any:
    return value if nominal(value) < bound else bound
