"""Four-wave mixing: what classical channels make at frequencies where there was nothing.

Channels i, j and k give light at ``f_i + f_j - f_k``; a quantum channel there sees it however good its filter is.
``P = (d/3)^2 gamma^2 P_i P_j P_k e^(-aL) L_eff^2 eta``, with d = 3 for i = j and 6 otherwise, and the efficiency of
phase matching eta (Hill et al. 1978; Shibata, Braun and Waarts 1987).
"""

import math
from collections.abc import Iterator, Sequence

from qhal_simulators.physics.light_units import SPEED_OF_LIGHT_M_PER_S, wavelength_nm

GAMMA_PER_W_KM = 1.3

Channel = tuple[float, float]
"""Frequency in THz and power in W."""


def efficiency(
    shift_ik_thz: float, shift_jk_thz: float, carrier_thz: float, length_km: float, loss_db_per_km: float,
    dispersion_ps_per_nm_km: float,
) -> float:  # fmt: skip
    """Return eta, 1 for perfect phase matching, from the distances of channels i and j to k."""
    decay = loss_db_per_km * math.log(10) / 10
    wavelength_m = wavelength_nm(carrier_thz) * 1e-9
    dispersion_s_per_m2 = dispersion_ps_per_nm_km * 1e-6
    mismatch_per_m = (
        2 * math.pi * wavelength_m**2 / SPEED_OF_LIGHT_M_PER_S
        * shift_ik_thz * shift_jk_thz * 1e24 * dispersion_s_per_m2
    )  # fmt: skip
    mismatch = mismatch_per_m * 1e3
    if mismatch == 0:
        return 1.0
    if decay == 0:
        return (math.sin(mismatch * length_km / 2) / (mismatch * length_km / 2)) ** 2
    beat = 4 * math.exp(-decay * length_km) * math.sin(mismatch * length_km / 2) ** 2
    return decay**2 / (decay**2 + mismatch**2) * (1 + beat / math.expm1(-decay * length_km) ** 2)


def mixed_w(
    first: Channel, second: Channel, third: Channel, length_km: float, loss_db_per_km: float,
    dispersion_ps_per_nm_km: float, gamma_per_w_km: float = GAMMA_PER_W_KM,
) -> float:  # fmt: skip
    """Return the power at ``f_i + f_j - f_k`` at the fibre's end; powers are those launched."""
    (f_i, p_i), (f_j, p_j), (f_k, p_k) = first, second, third
    decay = loss_db_per_km * math.log(10) / 10
    effective_km = length_km if decay == 0 else -math.expm1(-decay * length_km) / decay
    degeneracy = 3 if f_i == f_j else 6
    eta = efficiency(
        f_i - f_k, f_j - f_k, f_i + f_j - f_k, length_km, loss_db_per_km, dispersion_ps_per_nm_km
    )
    product = (degeneracy / 3) ** 2 * gamma_per_w_km**2 * p_i * p_j * p_k
    return product * math.exp(-decay * length_km) * effective_km**2 * eta


def triples(
    channels: Sequence[Channel], target_thz: float, width_thz: float
) -> Iterator[tuple[Channel, Channel, Channel]]:
    """Yield the triples (i, j, k) whose product falls within ``width_thz`` around a target, each pair i, j once."""
    for place, first in enumerate(channels):
        for second in channels[place:]:
            for third in channels:
                if third[0] in (first[0], second[0]):
                    continue
                if abs(first[0] + second[0] - third[0] - target_thz) <= width_thz / 2:
                    yield first, second, third
