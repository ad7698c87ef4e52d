"""Fit what the fibre does to polarization, from click matrices at several controller settings.

The four states and the four analysers lie on s1 and s2, so a click matrix shows the upper left 2x2 block of
the rotation ``R(angles) J`` times a visibility: controller R after fibre J. Taking differences over
opposite states and opposite detectors cancels the detectors' efficiencies exactly, if the leaks of a basis are alike.
A :class:`~qhal.link.receiver.ReceiverModel` puts its own analysers in the place of s1 and s2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import least_squares

from qhal.link.estimates import ClickMatrix
from qhal.link.link_errors import NotEnoughCounts
from qhal.link.receiver import ReceiverModel
from qhal.link.retarders import (
    Rotation,
    controller_rotation,
    retarder_rotations,
    rotation_from_vector,
    twist_rotations,
)

_SIGNS = np.array([1.0, -1.0])
_STEP = 1e-6


@dataclass(frozen=True, eq=False)
class Setting:
    """One controller setting and what was measured there.

    ``angles_deg``: one per paddle. ``block``: (2, 2), receiver basis by sender basis, the mean of
    ``(-1)^(bit sent + bit seen)``; 1 on the diagonal means aligned. ``sigma``: its standard uncertainties.
    """

    angles_deg: tuple[float, ...]
    block: NDArray[np.float64]
    sigma: NDArray[np.float64]


def correlations(matrix: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the blocks (..., 2, 2) of matrices (..., 4, 4) by state and detector, and the sums that they are over.

    A pair of bases without anything has a block of 0.
    """
    counts = np.asarray(matrix, np.float64)
    # Axes at the end: sender basis, sender bit, receiver basis, receiver bit.
    counts = counts.reshape(*counts.shape[:-2], 2, 2, 2, 2)
    total = counts.sum(axis=(-3, -1)).swapaxes(-1, -2)
    signed = np.einsum("...abcd,b,d->...ca", counts, _SIGNS, _SIGNS)
    return signed / np.where(total > 0, total, 1.0), total


def measured_setting(angles_deg: Sequence[float], matrix: ClickMatrix) -> Setting:
    """Reduce a click matrix to its block of correlations.

    Raises NotEnoughCounts when a pair of bases has no clicks.
    """
    block, total = correlations(matrix.counts)
    if not total.all():
        raise NotEnoughCounts(f"no clicks in some pair of bases: {total.astype(int).tolist()}")
    return Setting(tuple(angles_deg), block, np.sqrt((1 - block**2 + 1 / total) / total))


@dataclass(frozen=True, eq=False)
class FibreFit:
    """The fibre's rotation ``J`` (3, 3), and what the paddles do, as fitted to the settings.

    ``retardances_rad``: one per paddle. ``twist``: see :func:`~qhal.link.retarders.twist_rotations`.
    ``visibility``: of the correlations, at most 1, beyond what the ``receiver`` says of them.

    ``reduced_chi2``: misfit per degree of freedom, near 1 or below when the model holds.
    """

    rotation: Rotation
    retardances_rad: tuple[float, ...]
    twist: float
    visibility: float
    reduced_chi2: float
    receiver: ReceiverModel

    def predicted_qber(self, angles_deg: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the error rate expected at angles (..., paddles), both bases together."""
        total = controller_rotation(angles_deg, self.retardances_rad, self.twist) @ self.rotation
        qber: NDArray[np.float64] = 0.5 - 0.5 * self.visibility * _agreement(self.receiver, total)
        return qber


def fit_fibre(
    settings: Sequence[Setting],
    nominal_retardances_rad: Sequence[float],
    *,
    retardance_uncertainty: float = 0.1,
    twist_uncertainty: float = 0.05,
    model_sigma: float = 0.01,
    receiver: ReceiverModel | None = None,
) -> FibreFit:
    """Fit J, retardances, twist and visibility to settings by least squares.

    ``retardance_uncertainty``: relative uncertainty of the nominal retardances, a Gaussian prior and the
    spread of the starts. ``twist_uncertainty``: the same of the twist about 0. ``model_sigma``: what paddle
    repeatability adds to each measured correlation. ``receiver``: ideal by default. For given retardances
    the best J follows from linear equations, so each start has the right J already. Raises
    NotEnoughCounts below three settings.
    """
    if len(settings) < 3:
        raise NotEnoughCounts(f"{len(settings)} settings do not determine a fibre, three are needed")
    receiver = receiver or ReceiverModel.ideal()
    analysers = receiver.correlators
    angles = np.array([setting.angles_deg for setting in settings])
    blocks = np.stack([setting.block for setting in settings])
    weights = 1 / np.sqrt(np.stack([setting.sigma for setting in settings]) ** 2 + model_sigma**2)
    nominal = np.array(nominal_retardances_rad)
    paddles = len(nominal)
    factors = product((1 - retardance_uncertainty, 1.0, 1 + retardance_uncertainty), repeat=paddles)
    tried = nominal * np.array(list(factors))
    controllers = controller_rotation(angles, tried[:, None, :])
    rotations, visibilities = _linear_starts(analysers @ controllers, blocks)
    models = visibilities[:, None, None, None] * (analysers @ controllers @ rotations[:, None])[..., :2]
    misfits = np.sum(((models - blocks) * weights) ** 2, axis=(1, 2, 3))

    best = None
    for i in np.argsort(misfits)[:2]:
        anchor = rotations[i]

        def residuals(x: NDArray[np.float64], anchor: Rotation = anchor) -> NDArray[np.float64]:
            """Return the weighted misfits (..., n) of parameters (..., 3 + paddles + 2)."""
            fibre = rotation_from_vector(x[..., :3]) @ anchor
            controller = controller_rotation(angles, x[..., None, 3:-2], x[..., None, -2])
            seen = analysers @ controller @ fibre[..., None, :, :]
            model = x[..., -1, None, None, None] * seen[..., :2]
            misfit = ((model - blocks) * weights).reshape(*x.shape[:-1], -1)
            prior = (x[..., 3:-2] / nominal - 1) / retardance_uncertainty
            return np.concatenate((misfit, prior, x[..., -2:-1] / twist_uncertainty), axis=-1)

        def jacobian(x: NDArray[np.float64]) -> NDArray[np.float64]:
            steps = _STEP * np.eye(len(x))
            slopes: NDArray[np.float64] = ((residuals(x + steps) - residuals(x - steps)) / (2 * _STEP)).T
            return slopes

        start = np.concatenate((np.zeros(3), tried[i], [0.0, visibilities[i]]))
        found = least_squares(residuals, start, jacobian, method="lm", xtol=1e-8, ftol=1e-8)
        if best is None or found.cost < best[0]:
            best = (float(found.cost), found.x, rotation_from_vector(found.x[:3]) @ anchor)
    assert best is not None  # there is always a start
    cost, x, rotation = best
    # The priors of retardances and twist count as data.
    freedom = blocks.size + paddles + 1 - len(x)
    retardances = tuple(float(value) for value in x[3:-2])
    return FibreFit(
        rotation=rotation,
        retardances_rad=retardances,
        twist=float(x[-2]),
        visibility=float(x[-1]),
        reduced_chi2=2 * cost / freedom,
        receiver=receiver,
    )


def _linear_starts(
    analysers: NDArray[np.float64], blocks: NDArray[np.float64]
) -> tuple[Rotation, NDArray[np.float64]]:
    """Solve ``A R_k V J P^T = block_k`` for the first two columns of V J, and take the nearest rotations.

    ``analysers``: A R_k (starts, settings, 2, 3); returns J (starts, 3, 3) and V (starts,).
    """
    rows = analysers.reshape(len(analysers), -1, 3)
    u, singular, v = np.linalg.svd(np.linalg.pinv(rows) @ blocks.reshape(-1, 2), full_matrices=False)
    frame = u @ v
    third = np.cross(frame[:, :, 0], frame[:, :, 1])
    return np.concatenate((frame, third[:, :, None]), axis=2), singular.mean(axis=1)


def _agreement(receiver: ReceiverModel, total: Rotation) -> NDArray[np.float64]:
    """Return the correlation (...) of bits in the sender's basis, both bases together, for rotations (..., 3, 3)."""
    weighted = receiver.basis_weights[:, None] * receiver.correlators
    agreement: NDArray[np.float64] = np.einsum("bj,...jb->...", weighted, total[..., :2])
    return agreement


def best_angles(fit: FibreFit, range_deg: tuple[float, float]) -> tuple[tuple[float, ...], float]:
    """Return the angles within a range that minimise the predicted error rate, and that rate.

    A grid of all paddles, then a search that halves its steps around the best points of it.
    """
    low, high = range_deg
    grid = np.linspace(low, high, 16)
    total = fit.rotation[None]
    for delta in fit.retardances_rad:
        paddle = twist_rotations(grid, fit.twist) @ retarder_rotations(grid, delta)
        total = (paddle[:, None] @ total[None, :]).reshape(-1, 3, 3)
    score = _agreement(fit.receiver, total)
    paddles = len(fit.retardances_rad)
    # The last paddle varies slowest in ``total``.
    at = np.unravel_index(np.argsort(score)[::-1][:12], (len(grid),) * paddles)
    points = np.stack([grid[index] for index in reversed(at)], axis=-1)
    moves = np.array(list(product((-1.0, 0.0, 1.0), repeat=paddles)))
    step = grid[1] - grid[0]
    while step > 0.02:
        step /= 2
        for _ in range(3):
            around = points[:, None, :] + step * moves
            rates = np.where(
                np.all((around >= low) & (around <= high), axis=-1), fit.predicted_qber(around), np.inf
            )
            points = np.take_along_axis(around, np.argmin(rates, axis=1)[:, None, None], axis=1)[:, 0]
    rates = fit.predicted_qber(points)
    winner = int(np.argmin(rates))
    return tuple(float(angle) for angle in points[winner]), float(rates[winner])
