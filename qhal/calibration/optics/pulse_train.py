"""A train of equal pulses, carved by the transmitter, for calibrations of time.

The polarization goes through the four states from pulse to pulse, so that all detectors see the same light however the
fibre rotates it. Pulses are further apart than dead times.
"""

import math
from dataclasses import replace
from typing import Annotated

import numpy as np
from pydantic import Field

from qhal.calibration.framework.plan import Positive
from qhal.calibration.framework.points import Run
from qhal.calibration.optics.played_light import TransmitterPlan, count_dark, prepare_dark, set_count_rate
from qhal.calibration.optics.setups import TransmitterSetup
from qhal.link.modulation import (
    GeneratorLimits,
    TransmitterCalibration,
    waveforms,
)
from qhal.link.pattern import STATES, SymbolPattern


class PulseTrainPlan(TransmitterPlan):
    """A pulse each ``samples_per_pulse`` at ``sample_rate_hz``, ``carve_samples`` of which open the carver."""

    sample_rate_hz: Positive = 1.2e9
    samples_per_pulse: Annotated[int, Field(ge=4, le=10_000)] = 48
    carve_samples: Annotated[int, Field(ge=1)] = 2
    dark_s: Positive = 1.0

    @property
    def period_ps(self) -> float:
        """Time from pulse to pulse by the sender's clock."""
        return self.samples_per_pulse / self.sample_rate_hz * 1e12

    def pattern(self) -> SymbolPattern:
        """Return the pulses: signals in all states one after the other, as many as the generator's sequencer needs."""
        limits = GeneratorLimits()
        cycles = 1
        while (points := cycles * STATES * self.samples_per_pulse) < limits.minimum_points or (
            points % limits.length_step
        ):
            cycles += 1
        states = np.tile(np.arange(STATES, dtype=np.uint8), cycles)
        nothing = np.zeros(len(states), np.uint8)
        return SymbolPattern(
            intensity=nothing,
            basis=states // 2,
            bit=states % 2,
            period_ps=self.period_ps,
            mean_photon_numbers=(0.5, 0.1, 0.0),
        )

    def transmitter(self) -> TransmitterCalibration:
        """Return the modulators; which way round the states come is all the same, so it is what needs less voltage."""
        known = super().transmitter()
        swing_v = math.copysign(known.polarization.vpi_v, -known.polarization.v0_v)
        return replace(known, polarization=replace(known.polarization, vpi_v=swing_v))


def play_pulses(run: Run, plan: PulseTrainPlan, setup: TransmitterSetup) -> None:
    """Count in the dark, then play the pulses at the plan's count rate. Keeps tables ``dark`` and ``light``."""
    inputs = range(1, setup.detectors.capabilities.channels + 1)
    prepare_dark(plan, inputs, setup)
    count_dark(run, plan, inputs, setup.tagger)
    volts = waveforms(plan.pattern(), plan.transmitter(), plan.samples_per_pulse, plan.carve_samples)
    setup.generator.play(volts, plan.sample_rate_hz)
    set_count_rate(run, plan, setup)
