"""The pattern of symbols that the sender repeats.

States are numbered ``2 * basis + bit``. On the Poincare sphere state (basis, bit) is
``s = (cos phi, sin phi, 0)`` with phi = 0 and pi in basis 0, pi/2 and 3 pi/2 in basis 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from qhal.errors import OutOfRange


class Intensity(IntEnum):
    """Index of an intensity in every table of this package."""

    SIGNAL = 0
    DECOY = 1
    VACUUM = 2


STATES = 4
STATE_PHASES_RAD = (0.0, np.pi, np.pi / 2, 3 * np.pi / 2)


@dataclass(frozen=True, eq=False)
class SymbolPattern:
    """One period of the sender's symbols.

    Attributes
    ----------
    intensity
        Intensity of each symbol (:class:`Intensity`), uint8, read-only.
    basis, bit
        Basis and bit of each symbol (0 or 1), uint8, read-only.
    period_ps
        Symbol period.
    mean_photon_numbers
        Of signal, decoy and vacuum, per pulse at the sender's output.

    Raises
    ------
    OutOfRange
        For arrays of different lengths, codes out of range, or intensities that do not descend.
    """

    intensity: NDArray[np.uint8]
    basis: NDArray[np.uint8]
    bit: NDArray[np.uint8]
    period_ps: float
    mean_photon_numbers: tuple[float, float, float]

    def __post_init__(self) -> None:
        for name, limit in (("intensity", 2), ("basis", 1), ("bit", 1)):
            values = np.array(getattr(self, name), dtype=np.uint8)
            if values.ndim != 1 or len(values) == 0 or len(values) != len(self.intensity):
                raise OutOfRange(f"{name} has shape {values.shape}, expected one entry per symbol")
            if values.max() > limit:
                raise OutOfRange(f"{name} holds {values.max()}, the largest allowed is {limit}")
            values.flags.writeable = False
            object.__setattr__(self, name, values)
        signal, decoy, vacuum = self.mean_photon_numbers
        if not signal > decoy > vacuum >= 0:
            raise OutOfRange(f"mean photon numbers {self.mean_photon_numbers} are not descending and >= 0")
        if not self.period_ps > 0:
            raise OutOfRange(f"a symbol period of {self.period_ps} ps is not positive")

    def __len__(self) -> int:
        return len(self.intensity)

    @property
    def duration_ps(self) -> float:
        """Duration of one period of the pattern."""
        return len(self) * self.period_ps

    @property
    def states(self) -> NDArray[np.uint8]:
        """State ``2 * basis + bit`` of each symbol, uint8."""
        states: NDArray[np.uint8] = 2 * self.basis + self.bit
        return states

    @property
    def intensity_counts(self) -> tuple[int, int, int]:
        """Number of signal, decoy and vacuum symbols in one period."""
        signal, decoy, vacuum = np.bincount(self.intensity, minlength=3)
        return int(signal), int(decoy), int(vacuum)

    @property
    def template(self) -> NDArray[np.float64]:
        """Mean photon number of each symbol, shifted and scaled to mean 0 and variance 1.

        Raises OutOfRange when all symbols have one intensity: such a pattern cannot be found in tags.
        """
        light = np.asarray(self.mean_photon_numbers, dtype=np.float64)[self.intensity]
        light -= light.mean()
        spread = float(light.std())
        if spread == 0:
            raise OutOfRange("all symbols of the pattern have the same intensity")
        return light / spread


def bb84_pattern(
    seed: int,
    symbols: int = 65536,
    fractions: Sequence[float] = (0.5, 0.25, 0.25),
    *,
    period_ps: float = 10_000.0,
    mean_photon_numbers: tuple[float, float, float] = (0.5, 0.1, 5e-4),
) -> SymbolPattern:
    """Return a shuffled pattern with an exact fraction of each intensity and the four states equally often in each.

    The pattern starts on a vacuum symbol, so that a generator that waits on its first sample is dark.

    Parameters
    ----------
    seed
        Seed of the shuffle.
    symbols
        Number of symbols.
    fractions
        Of signal, decoy, vacuum; each times ``symbols`` is a multiple of four.
    period_ps
        Symbol period.
    mean_photon_numbers
        Of signal, decoy, vacuum.

    Raises
    ------
    OutOfRange
        For fractions that do not give multiples of four.

    Examples
    --------
    >>> pattern = bb84_pattern(1, symbols=64)
    >>> pattern.intensity_counts
    (32, 16, 16)
    >>> pattern.duration_ps
    640000.0
    """
    products = [fraction * symbols for fraction in fractions]
    counts = [round(product) for product in products]
    exact = all(abs(product - count) < 1e-6 for product, count in zip(products, counts, strict=True))
    if len(counts) != 3 or not exact or sum(counts) != symbols or any(n <= 0 or n % STATES for n in counts):
        raise OutOfRange(
            f"fractions {tuple(fractions)} of {symbols} symbols are not three positive multiples of {STATES}"
        )
    intensity = np.repeat(np.arange(3), counts)
    state = np.arange(symbols) % STATES
    rng = np.random.default_rng(seed)
    # One vacuum symbol is set aside for the start; the rest is a uniform shuffle.
    first = counts[Intensity.SIGNAL] + counts[Intensity.DECOY] + int(rng.integers(counts[Intensity.VACUUM]))
    order = np.concatenate(([first], rng.permutation(np.delete(np.arange(symbols), first))))
    intensity, state = intensity[order], state[order]
    return SymbolPattern(
        intensity=intensity.astype(np.uint8),
        basis=(state // 2).astype(np.uint8),
        bit=(state % 2).astype(np.uint8),
        period_ps=period_ps,
        mean_photon_numbers=mean_photon_numbers,
    )
