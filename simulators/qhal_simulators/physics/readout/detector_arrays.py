"""A scenario's table of detectors, as arrays for the click sampler."""

import numpy as np

from qhal_simulators.physics.readout.click_kernels import Detectors
from qhal_simulators.physics.readout.click_sampler import normal_quantiles
from qhal_simulators.physics.receiver import detector_gates
from qhal_simulators.physics.scenario_tables import Scenario, four, timing_fwhm_ps

_FWHM_PER_SIGMA = 2.354820045


def detectors_of(scenario: Scenario) -> Detectors:
    """Return dead times, gates, recovery, afterpulses and jitter of the four detectors."""
    table = scenario.detectors
    return Detectors(
        dead_time_s=np.array(four(table.dead_time_ns)) * 1e-9,
        common_hold_off=table.common_hold_off,
        gate=detector_gates.sensitivity(
            table.gate_delay_ps,
            table.gate_period_ps,
            table.gate_width_ps,
            table.gate_rise_ps,
            table.gate_leak,
        ),
        gate_period_ps=table.gate_period_ps,
        recovery_s=np.array(four(table.recovery_time_ns)) * 1e-9,
        afterpulse_probability=np.array(four(table.afterpulse_probability)),
        trap_weights=np.cumsum(table.afterpulse_shares),
        trap_lifetimes_s=np.array(table.afterpulse_lifetimes_ns) * 1e-9,
        jitter_ps=np.outer(np.array(timing_fwhm_ps(scenario)) / _FWHM_PER_SIGMA, normal_quantiles()),
    )
