"""A passive receiver of four detectors: the fraction of polarized light that each detects."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qhal.errors import OutOfRange

Array = NDArray[np.float64]


def detected_fractions(
    stokes: Array, directions: Array, offsets: Array, contrasts: Array, weights: Array
) -> Array:
    """Return the fraction of light (..., 3) at each detector (..., 4), as in :class:`ReceiverModel`, without checks."""
    signed = offsets + contrasts * (stokes @ directions.T)
    sides = np.stack((1 + signed, 1 - signed), axis=-1)
    seen: Array = weights * sides.reshape(*sides.shape[:-2], 4) / 4
    return seen


@dataclass(frozen=True, eq=False)
class ReceiverModel:
    """A receiver behind the paddles of a controller, detectors numbered ``2 * basis + bit``.

    Of light with Stokes vector s, detectors 0 and 1 of a basis see ``weight (1 + b + c a.s) / 4`` and
    ``weight (1 - b - c a.s) / 4``: ``directions`` (2, 3) are the unit vectors a, ``offsets`` (2) the b,
    ``contrasts`` (2) the c, ``weights`` (4) relative, 1 on average: splitting and efficiencies together. Directions
    are those that paddles at angle 0 have for s1. Raises OutOfRange for shapes and values that no receiver has.
    """

    directions: Array
    offsets: Array
    contrasts: Array
    weights: Array

    def __post_init__(self) -> None:
        for name, shape in (
            ("directions", (2, 3)),
            ("offsets", (2,)),
            ("contrasts", (2,)),
            ("weights", (4,)),
        ):
            values = np.array(getattr(self, name), np.float64)
            if values.shape != shape or not np.isfinite(values).all():
                raise OutOfRange(f"{name} {values.tolist()} are not {' x '.join(map(str, shape))} numbers")
            values.flags.writeable = False
            object.__setattr__(self, name, values)
        if np.any(np.abs(np.linalg.norm(self.directions, axis=1) - 1) > 1e-6):
            raise OutOfRange(f"directions {self.directions.tolist()} are not of length 1")
        if np.any(self.contrasts <= 0) or np.any(np.abs(self.offsets) >= 1):
            raise OutOfRange(
                f"contrasts {self.contrasts.tolist()} must be positive, offsets {self.offsets.tolist()} below 1"
            )
        if np.any(self.weights <= 0):
            raise OutOfRange(f"weights {self.weights.tolist()} are not positive")

    @classmethod
    def ideal(cls) -> Self:
        """Return an even receiver of perfect contrast, its analysers s1 and s2."""
        return cls(np.eye(3)[:2], np.zeros(2), np.ones(2), np.ones(4))

    def fractions(self, stokes: ArrayLike) -> Array:
        """Return the fraction of light (..., 3) at each detector (..., 4); 1/4 each if even and unpolarized."""
        light = np.asarray(stokes, np.float64)
        return detected_fractions(light, self.directions, self.offsets, self.contrasts, self.weights)

    @property
    def frame(self) -> Array:
        """The orthogonal pair of unit vectors (2, 3) nearest to both directions."""
        middle, across = self.directions[0] + self.directions[1], self.directions[0] - self.directions[1]
        middle, across = middle / np.linalg.norm(middle), across / np.linalg.norm(across)
        pair: Array = np.stack((middle + across, middle - across)) / np.sqrt(2)
        return pair

    @property
    def matrix(self) -> Array:
        """What detector (column) sees of state (row), ideal states in :attr:`frame`; all sixteen add up to 4."""
        first, second = self.frame
        seen = self.fractions(np.stack((first, -first, second, -second)))
        scaled: Array = 4 * seen / seen.sum()
        return scaled

    @property
    def basis_weights(self) -> Array:
        """Share of each basis (2) in the clicks of unpolarized light."""
        by_basis = self.fractions(np.zeros(3)).reshape(2, 2).sum(axis=1)
        fractions: Array = by_basis / by_basis.sum()
        return fractions

    @property
    def correlators(self) -> Array:
        """Vectors (2, 3): their products with a sender's basis are its correlations ``<(-1)^(bit sent + bit seen)>``.

        Unequal weights of the two detectors of a basis cancel, but for the part that multiplies the offset.
        """
        first, second = self.weights.reshape(2, 2).T
        scale = self.contrasts * (first + second) / (first + second + self.offsets * (first - second))
        vectors: Array = scale[:, None] * self.directions
        return vectors
