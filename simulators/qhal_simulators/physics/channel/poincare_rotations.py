"""Polarization as rotations of the Poincare sphere (3 x 3 matrices acting on Stokes vectors).

Linear parts act on Stokes vectors by rotations; a global phase drops out, which is why SO(3) is enough for
everything that detectors see.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Rotation = NDArray[np.float64]
_NOMINAL = np.eye(3)[:2]

PADDLE_LOOPS: dict[str, tuple[float, float, float]] = {
    "1-2-1": (0.47, 0.94, 0.47),
    "2-3-2": (0.94, 1.41, 0.94),
    "1-1-1": (0.47, 0.47, 0.47),
}
"""Retardances in units of pi of a paddle controller, 18 mm loops of 125 um fibre at 1550 nm."""


def rotation(axis: Sequence[float] | NDArray[np.float64], angle_rad: float) -> Rotation:
    """Return the right-handed rotation about a unit vector (Rodrigues)."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=np.float64)
    turned: Rotation = np.eye(3) + math.sin(angle_rad) * cross + (1 - math.cos(angle_rad)) * (cross @ cross)
    return turned


def retarder(axis_angle_rad: float, retardance_rad: float) -> Rotation:
    """Return a linear retarder whose fast axis stands at an angle in the laboratory."""
    twice = 2 * axis_angle_rad
    return rotation((math.cos(twice), math.sin(twice), 0.0), retardance_rad)


def paddles(angles_rad: Sequence[float], retardances_rad: Sequence[float]) -> Rotation:
    """Return a paddle controller; light passes the first paddle first."""
    total: Rotation = np.eye(3)
    for angle, retardance in zip(angles_rad, retardances_rad, strict=True):
        total = retarder(angle, retardance) @ total
    return total


def best_angles_rad(
    fibre: Rotation,
    retardances_rad: Sequence[float],
    range_rad: float = math.radians(170.0),
    directions: NDArray[np.float64] = _NOMINAL,
) -> tuple[float, ...]:
    """Return the angles of three paddles that bring both bases nearest to their analysers, the ``directions`` (2, 3).

    Searched on a grid of 5 degrees, then by steps that shrink to 0.01 degrees.
    """

    def overlap(angles: NDArray[np.float64]) -> float:
        total = paddles(angles.tolist(), retardances_rad) @ fibre
        return float((directions @ total)[[0, 1], [0, 1]].sum())

    grid = np.arange(0.0, range_rad, math.radians(5.0))
    first, second, third = (
        np.array([retarder(angle, retardance) for angle in grid]) for retardance in retardances_rad
    )
    # Only the analysers and the two columns of the bases matter.
    left = directions @ third
    right = np.einsum("jab,ibc->jiac", second, first @ fibre[:, :2])
    overlaps = np.einsum("kra,jiar->ijk", left, right)
    place = np.unravel_index(int(np.argmax(overlaps)), overlaps.shape)
    angles = grid[list(place)]
    step = math.radians(2.5)
    while step > math.radians(0.005):
        moves = [np.clip(angles + step * np.array(move), 0.0, range_rad) for move in np.ndindex(3, 3, 3)]
        moves += [np.clip(angles - step * np.array(move), 0.0, range_rad) for move in np.ndindex(3, 3, 3)]
        best = max(moves, key=overlap)
        if overlap(best) > overlap(angles):
            angles = best
        else:
            step /= 2
    return tuple(angles.tolist())


def random_rotation(generator: np.random.Generator) -> Rotation:
    """Draw a rotation uniformly (a random unit quaternion)."""
    w, x, y, z = (quaternion := generator.normal(size=4)) / np.linalg.norm(quaternion)
    sine = math.sqrt(max(0.0, 1 - w * w))
    if sine == 0.0:
        return np.eye(3)
    return rotation((x / sine, y / sine, z / sine), 2 * math.acos(max(-1.0, min(1.0, w))))


def walk_step(generator: np.random.Generator, step_s: float, correlation_time_s: float) -> Rotation:
    """Draw one step of the isotropic polarization walk of a fibre.

    ``J' = exp(-i a.sigma) J`` with ``a ~ N(0, sigma^2 I)``, ``sigma^2 = 2 pi dp T`` and
    ``tau_p = 1 / (8 pi dp)``, so ``sigma^2 = T / (4 tau_p)``; on the sphere the angle is ``2 |a|`` and the
    mean overlap of Stokes vectors decays as ``exp(-t / tau_p)`` (Czegledi et al., arXiv:1507.00953).
    """
    vector = generator.normal(scale=math.sqrt(step_s / (4 * correlation_time_s)), size=3)
    length = float(np.linalg.norm(vector))
    return np.eye(3) if length == 0.0 else rotation(vector / length, 2 * length)
