"""Expected gains and error rates of a link with threshold detectors, in closed form, for planning.

Models of [1]_ and [2]_, with the transmission of the whole system in the error term: the printed formula of [2]_ has
that of the channel, which contradicts the text of the paper.

.. [1] X. Ma, B. Qi, Y. Zhao and H.-K. Lo, Phys. Rev. A 72, 012326 (2005).
.. [2] C. C. W. Lim, M. Curty, N. Walenta, F. Xu and H. Zbinden, Phys. Rev. A 89, 022307 (2014).
"""

import math
from dataclasses import dataclass

from qhal.errors import OutOfRange

RANDOM = 0.5
"""Error rate of a click that is independent of the pulse."""


@dataclass(frozen=True, slots=True)
class ThresholdLink:
    """A channel and a receiver.

    Attributes
    ----------
    transmission
        From the transmitter's output to a click, detection efficiency included.
    dark_count_probability
        Per pulse and detector; any background that is independent of the pulse.
    optical_error
        Probability that a detected photon is in the wrong output.
    detectors
        Detectors that can click for one pulse: 2 with an active choice of basis, 4 with a passive one.
    afterpulse_probability
        Per click.

    Raises
    ------
    OutOfRange
        If a probability is outside [0, 1], or without a detector.

    Examples
    --------
    >>> link = ThresholdLink(transmission=0.05, dark_count_probability=1e-6, optical_error=0.012, detectors=4)
    >>> f"{link.gain(0.5):.4f}, {link.error_gain(0.5) / link.gain(0.5):.4f}"
    '0.0247, 0.0121'
    """

    transmission: float
    dark_count_probability: float
    optical_error: float
    detectors: int = 2
    afterpulse_probability: float = 0.0

    def __post_init__(self) -> None:
        probabilities = (
            self.transmission,
            self.dark_count_probability,
            self.optical_error,
            self.afterpulse_probability,
        )
        if not all(0 <= each <= 1 for each in probabilities) or self.detectors < 1:
            raise OutOfRange(
                f"{self}: probabilities lie between 0 and 1, and at least one detector is needed"
            )

    @property
    def background_yield(self) -> float:
        """Y0: probability that any of **all** detectors clicks for an empty pulse, not that of one detector."""
        return 1 - (1 - self.dark_count_probability) ** self.detectors

    def photon_yield(self, photons: int) -> float:
        """Return Y_n, the probability of a click for a pulse of n photons."""
        return 1 - (1 - self.background_yield) * (1 - self.transmission) ** photons

    def gain(self, mean_photon_number: float) -> float:
        """Return the probability of a click per pulse, afterpulses included.

        Parameters
        ----------
        mean_photon_number
            Photons per pulse at the transmitter's output.
        """
        lit = 1 - (1 - self.background_yield) * math.exp(-self.transmission * mean_photon_number)
        return lit * (1 + self.afterpulse_probability)

    def error_gain(self, mean_photon_number: float) -> float:
        """Return the probability of a wrong click per pulse: the gain times its error rate.

        Parameters
        ----------
        mean_photon_number
            Photons per pulse at the transmitter's output.
        """
        lit = 1 - math.exp(-self.transmission * mean_photon_number)
        click = 1 - (1 - self.background_yield) * (1 - lit)
        return (
            RANDOM * self.background_yield
            + self.optical_error * lit
            + RANDOM * self.afterpulse_probability * click
        )

    @property
    def single_photon_error(self) -> float:
        """e1: error rate of pulses with one photon."""
        wrong = (
            RANDOM * self.background_yield * (1 - self.transmission) + self.optical_error * self.transmission
        )
        return wrong / self.photon_yield(1)


def repeaterless_bound(transmission: float) -> float:
    """Return the secret bits per pulse that no protocol without repeaters exceeds: ``-log2(1 - transmission)``.

    Parameters
    ----------
    transmission
        Of the channel, in [0, 1).

    Raises
    ------
    OutOfRange
        Outside [0, 1).

    References
    ----------
    S. Pirandola, R. Laurenza, C. Ottaviani and L. Banchi, Nat. Commun. 8, 15043 (2017).

    Examples
    --------
    >>> repeaterless_bound(0.5)
    1.0
    """
    if not 0 <= transmission < 1:
        raise OutOfRange(f"a transmission of {transmission} is not at least 0 and below 1")
    return -math.log1p(-transmission) / math.log(2)
