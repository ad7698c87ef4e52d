"""Spontaneous Raman scattering of a classical channel into the quantum channel.

The cross section follows from the Raman gain of silica: ``rho = 2 h nu_q C_R(|dnu|) (n_th + [nu_q < nu_p])
c / lambda_q^2`` per nanometre, with the unpolarised gain efficiency C_R of standard fibre (peak 0.42 1/(W km)
at 12.75 THz for a pump at 1454 nm, proportional to the pump's frequency). Measured effective values in the
C band are about half of that: ``scale`` 0.52 puts 1550 -> 1530 nm at 3.2e-9 /(km nm).
"""

import math

import numpy as np

from qhal_simulators.physics.light_units import PLANCK_J_S, SPEED_OF_LIGHT_M_PER_S, wavelength_nm

BOLTZMANN_J_PER_K = 1.380649e-23
_PEAK_PER_W_KM = 0.42
_PEAK_PUMP_NM = 1454.0
_LEAST_SHIFT_THZ = 0.01
"""Towards no shift gain goes to 0 and phonons to infinity; their product is finite and taken here."""
_PROFILE = np.array(
    [
        (0, 0), (0.5, 0.027), (1, 0.083), (2, 0.192), (3, 0.263), (4, 0.297), (5, 0.336), (6, 0.374), (7, 0.449),
        (8, 0.534), (9, 0.662), (10, 0.798), (11, 0.899), (12, 0.980), (12.75, 1), (13.5, 0.972), (14, 0.915),
        (14.5, 0.974), (15, 0.750), (15.5, 0.515), (16, 0.293), (17, 0.179), (18.5, 0.223), (20, 0.080),
        (22, 0.067), (24, 0.156), (26, 0.064), (28, 0.032), (30, 0.022), (32, 0.051), (34, 0.023), (36, 0.026),
        (38, 0.017), (40, 0.004),
    ]
)  # fmt: skip


def cross_section_per_km_nm(
    pump_thz: float, quantum_thz: float, temperature_k: float = 295.0, scale: float = 0.52
) -> float:
    """Return the fraction of pump power scattered forward (as much backward) per km and nm of bandwidth.

    Beyond 40 THz, where the profile ends, nothing is scattered.
    """
    shift_thz = max(abs(quantum_thz - pump_thz), _LEAST_SHIFT_THZ)
    if shift_thz > _PROFILE[-1, 0]:
        return 0.0
    profile = float(np.interp(shift_thz, _PROFILE[:, 0], _PROFILE[:, 1]))
    gain_per_w_km = _PEAK_PER_W_KM * profile * _PEAK_PUMP_NM / wavelength_nm(pump_thz)
    phonons = 1 / math.expm1(PLANCK_J_S * shift_thz * 1e12 / (BOLTZMANN_J_PER_K * temperature_k))
    stokes = 1.0 if quantum_thz < pump_thz else 0.0
    quantum_m = wavelength_nm(quantum_thz) * 1e-9
    hertz_per_nm = SPEED_OF_LIGHT_M_PER_S / quantum_m**2 * 1e-9
    energy_j = PLANCK_J_S * quantum_thz * 1e12
    return scale * 2 * energy_j * gain_per_w_km * (phonons + stokes) * hertz_per_nm


def forward_length_km(length_km: float, pump_db_per_km: float, quantum_db_per_km: float) -> float:
    """Return the effective length for light that travels with the pump: power out / (pump in * rho * B)."""
    pump, quantum = (loss * math.log(10) / 10 for loss in (pump_db_per_km, quantum_db_per_km))
    if abs(pump - quantum) * length_km < 1e-9:
        return length_km * math.exp(-quantum * length_km)
    return (math.exp(-pump * length_km) - math.exp(-quantum * length_km)) / (quantum - pump)


def backward_length_km(length_km: float, pump_db_per_km: float, quantum_db_per_km: float) -> float:
    """Return the effective length for light that travels against the pump, at the pump's end."""
    both = (pump_db_per_km + quantum_db_per_km) * math.log(10) / 10
    return length_km if both == 0 else -math.expm1(-both * length_km) / both
