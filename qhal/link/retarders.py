"""A fibre polarization controller as a row of linear retarders, in Stokes space.

A paddle with retardance delta at angle theta turns the Stokes vector by delta about the axis ``(cos 2
theta, sin 2 theta, 0)``. Light passes the first paddle first. The handedness of the turn cannot be seen by
a receiver that measures s1 and s2 only, so its sign does not matter here.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation as SpatialRotation

LOOPS_121_RAD = (0.47 * math.pi, 0.94 * math.pi, 0.47 * math.pi)
"""Retardances of a Thorlabs MPC320 with 1, 2 and 1 loops of standard fibre at 1550 nm."""

Rotation = NDArray[np.float64]


def retarder_rotations(angles_deg: ArrayLike, retardances_rad: ArrayLike) -> Rotation:
    """Return the Stokes rotations (..., 3, 3) of single paddles; the arguments broadcast."""
    twice = 2 * np.deg2rad(np.asarray(angles_deg, np.float64))
    delta = np.asarray(retardances_rad, np.float64)
    x, y, c, s = np.broadcast_arrays(np.cos(twice), np.sin(twice), np.cos(delta), np.sin(delta))
    rows = [
        [c + x * x * (1 - c), x * y * (1 - c), y * s],
        [x * y * (1 - c), c + y * y * (1 - c), -x * s],
        [-y * s, x * s, c],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def twist_rotations(angles_deg: ArrayLike, twist: ArrayLike) -> Rotation:
    """Return the Stokes rotations (..., 3, 3) of fibre twisted by turning paddles; the arguments broadcast.

    The light's ellipse turns by ``twist`` times the paddle's angle, the Stokes vector by twice that about s3
    (0.08 in silica if all of the turn stays in the fibre after the paddle).
    """
    turn = 2 * np.asarray(twist, np.float64) * np.deg2rad(np.asarray(angles_deg, np.float64))
    c, s = np.cos(turn), np.sin(turn)
    zero, one = np.zeros_like(c), np.ones_like(c)
    rows = [[c, -s, zero], [s, c, zero], [zero, zero, one]]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def controller_rotation(
    angles_deg: ArrayLike, retardances_rad: ArrayLike, twist: ArrayLike = 0.0
) -> Rotation:
    """Return the Stokes rotation (..., 3, 3) of all paddles, angles and retardances (..., paddles)."""
    paddles = retarder_rotations(angles_deg, retardances_rad)
    twists = twist_rotations(angles_deg, np.asarray(twist)[..., None])
    total: Rotation = twists[..., 0, :, :] @ paddles[..., 0, :, :]
    for i in range(1, paddles.shape[-3]):
        total = twists[..., i, :, :] @ paddles[..., i, :, :] @ total
    return total


def vector_of_rotation(rotation: Rotation) -> NDArray[np.float64]:
    """Return the vector of a rotation (3, 3): along its axis, its length the angle in radians, at most pi."""
    vector: NDArray[np.float64] = SpatialRotation.from_matrix(rotation).as_rotvec()
    return vector


def rotation_from_vector(vector: ArrayLike) -> Rotation:
    """Return the rotations (..., 3, 3) about ``vector`` (..., 3) by its length in radians (Rodrigues)."""
    v = np.asarray(vector, np.float64)
    angle = np.linalg.norm(v, axis=-1)[..., None, None]
    zero = np.zeros_like(v[..., 0])
    rows = [[zero, -v[..., 2], v[..., 1]], [v[..., 2], zero, -v[..., 0]], [-v[..., 1], v[..., 0], zero]]
    cross = np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
    # sinc keeps the limit of a zero rotation.
    first, second = np.sinc(angle / np.pi), 0.5 * np.sinc(angle / (2 * np.pi)) ** 2
    rotation: Rotation = np.eye(3) + first * cross + second * (cross @ cross)
    return rotation
