"""The passive receiver: a splitter of any ratio, and an analyser of finite extinction in each basis."""

import numpy as np
from numpy.typing import NDArray

from qhal_simulators.physics.scenario_tables import ReceiverTable


class PassiveReceiver:
    """Fractions of the light with Stokes vector s that leave by the outputs H, V, D, A (2 * basis + bit).

    ``directions`` (2, 3): analysers, nominally s1 and s2. Of the light of its basis, output 0 gets
    ``(1 + b + c a.s) / 2`` and output 1 the rest, with b = e_1 - e_0 and c = 1 - e_0 - e_1 from the leaks of its
    eigenstates: ``offsets`` (2) and ``contrasts`` (2). ``split`` (4): twice the fraction of the light that goes to the
    output's basis.
    """

    def __init__(self, table: ReceiverTable) -> None:
        tilts = np.radians(table.analyser_tilt_deg)
        self.directions = np.array(
            [[np.cos(tilts[0]), np.sin(tilts[0]), 0.0], [-np.sin(tilts[1]), np.cos(tilts[1]), 0.0]]
        )
        leaks = np.array(table.leaks or (table.optical_error,) * 4).reshape(2, 2)
        self.offsets: NDArray[np.float64] = leaks[:, 1] - leaks[:, 0]
        self.contrasts: NDArray[np.float64] = 1 - leaks.sum(axis=1)
        self.split = 2 * np.repeat((table.basis_split, 1 - table.basis_split), 2)

    def analysers(self, rotation: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the analysers (2, 4), offset and scaled vector, seen from where ``rotation`` begins."""
        vectors = self.contrasts[:, None] * (self.directions @ rotation)
        return np.column_stack((self.offsets, vectors))

    def unpolarized(self) -> NDArray[np.float64]:
        """Return each output's fraction of unpolarized light (4), over the quarter of an ideal receiver."""
        sides = np.stack((1 + self.offsets, 1 - self.offsets), axis=1).ravel()
        fractions: NDArray[np.float64] = self.split * sides
        return fractions

    def matrix(self) -> NDArray[np.float64]:
        """Return the fraction of the light of state ``row``, ideal at the input, that leaves by output ``column``."""
        states = np.array([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, -1.0, 0.0]])
        analysers = self.analysers(np.eye(3))
        signed = analysers[:, 0] + states @ analysers[:, 1:].T
        sides = np.stack((1 + signed, 1 - signed), axis=2).reshape(4, 4)
        fractions: NDArray[np.float64] = self.split * sides / 4
        return fractions
