"""What a link of threshold detectors is expected to count, for planning: gains and errors in closed form.

Ma, Qi, Zhao and Lo, Phys. Rev. A 72, 012326 (2005), and Lim et al., Phys. Rev. A 89, 022307 (2014), with the system's
transmission in the error term: the printed formula has the channel's there, which contradicts the paper's own text.
"""

import math
from dataclasses import dataclass

from qhal.errors import OutOfRange

RANDOM = 0.5
"""Error rate of a click that has nothing to do with the pulse."""


@dataclass(frozen=True, slots=True)
class ThresholdLink:
    """A channel and a receiver.

    ``transmission``: from the sender's output to a click, detection efficiency included. ``dark_count_probability``:
    per pulse and detector, any background that is alike. ``detectors``: how many of them can click for a pulse (2
    behind an active choice of basis, 4 behind a passive one). ``optical_error``: of a photon that is detected.
    ``afterpulse_probability``: per click. Raises OutOfRange.
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
            raise OutOfRange(f"{self}: probabilities lie between 0 and 1, and there is a detector at least")

    @property
    def background_yield(self) -> float:
        """Y0: probability that any of **all** detectors clicks for an empty pulse, not that one of them does."""
        return 1 - (1 - self.dark_count_probability) ** self.detectors

    def photon_yield(self, photons: int) -> float:
        """Return Y_n: probability of a click for a pulse of n photons."""
        return 1 - (1 - self.background_yield) * (1 - self.transmission) ** photons

    def gain(self, mean_photon_number: float) -> float:
        """Return the probability of a click, afterpulses included."""
        lit = 1 - (1 - self.background_yield) * math.exp(-self.transmission * mean_photon_number)
        return lit * (1 + self.afterpulse_probability)

    def error_gain(self, mean_photon_number: float) -> float:
        """Return the probability of a click that is wrong (the gain times its error rate)."""
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

    Pirandola, Laurenza, Ottaviani and Banchi, Nat. Commun. 8, 15043 (2017). Raises OutOfRange outside [0, 1).
    """
    if not 0 <= transmission < 1:
        raise OutOfRange(f"a transmission of {transmission} is not at least 0 and below 1")
    return -math.log1p(-transmission) / math.log(2)
