"""A train of equal pulses, carved by the transmitter, for calibrations of time.

The polarization goes through the four states from pulse to pulse, so that all detectors see the same light however the
fibre turns it. Pulses are further apart than dead times.
"""

import math
from typing import Annotated

import numpy as np
from pydantic import Field

from qhal.calibration.detectors import approach_rate, bias
from qhal.calibration.light import attenuate, bring_up, close
from qhal.calibration.plan import Plan, Positive
from qhal.calibration.run import Run
from qhal.calibration.tags import prepare_inputs
from qhal.devices.attenuator import Attenuator
from qhal.devices.detector import Detector
from qhal.devices.pattern_generator import PatternGenerator
from qhal.devices.source import Source
from qhal.devices.time_tagger import TimeTagger
from qhal.link.modulation import (
    GeneratorLimits,
    IntensityModulator,
    PhaseModulator,
    TransmitterCalibration,
    waveforms,
)
from qhal.link.pattern import STATES, SymbolPattern

_DARK_S = 1.0
_APPROACH_S = 0.2


class PulseTrainPlan(Plan):
    """How the pulses are made, and how bright they are at the detectors.

    ``samples_per_pulse`` at ``sample_rate_hz`` lie between pulses, ``carve_samples`` of them open the carver.
    ``..._v0_v``, ``..._vpi_v``: of the modulators, at the generator's connector, as the calibration ``modulator``
    finds them. ``rate_hz``: of clicks of the brightest detector. ``power_dbm``: of the source, None keeps what is set.
    ``bias_ua``: of the detectors, None keeps what is set. ``threshold_v``: of the tagger's inputs, one for each
    detector, from 1 on.
    """

    sample_rate_hz: Positive = 1.2e9
    samples_per_pulse: Annotated[int, Field(ge=4, le=10_000)] = 48
    carve_samples: Annotated[int, Field(ge=1)] = 2
    carver_v0_v: float = 0.0
    carver_vpi_v: Positive = 2.0
    decoy_v0_v: float = 0.0
    decoy_vpi_v: Positive = 2.0
    polarization_v0_v: float = 0.0
    polarization_vpi_v: Positive = 2.0
    rate_hz: Positive = 1e5
    power_dbm: float | None = None
    bias_ua: tuple[float, ...] | None = None
    threshold_v: float = 0.2

    @property
    def period_ps(self) -> float:
        """Time from pulse to pulse by the sender's clock."""
        return self.samples_per_pulse / self.sample_rate_hz * 1e12

    def pattern(self) -> SymbolPattern:
        """Return the pulses: signals in all states in turn, as many as the generator's sequencer needs."""
        limits = GeneratorLimits()
        turns = 1
        while (points := turns * STATES * self.samples_per_pulse) < limits.minimum_points or (
            points % limits.length_step
        ):
            turns += 1
        states = np.tile(np.arange(STATES, dtype=np.uint8), turns)
        nothing = np.zeros(len(states), np.uint8)
        return SymbolPattern(nothing, states // 2, states % 2, self.period_ps, (0.5, 0.1, 0.0))

    def transmitter(self) -> TransmitterCalibration:
        """Return the modulators, each swung from V0 towards 0 V; phases need not be random here."""
        perfect = float("inf")
        # Which way round the states come is all the same: it is the way that needs less voltage.
        polarization_vpi_v = math.copysign(self.polarization_vpi_v, -self.polarization_v0_v)
        return TransmitterCalibration(
            IntensityModulator(self.decoy_v0_v, self.decoy_vpi_v, perfect),
            IntensityModulator(self.carver_v0_v, self.carver_vpi_v, perfect),
            PhaseModulator(self.polarization_v0_v, polarization_vpi_v),
            PhaseModulator(0.0, 1.0),
        )


def light_up(
    run: Run,
    plan: PulseTrainPlan,
    source: Source,
    generator: PatternGenerator,
    attenuator: Attenuator,
    detectors: Detector,
    tagger: TimeTagger,
) -> None:
    """Play the pulses and open the attenuator until the brightest detector counts what is wanted.

    The attenuation found is kept in the table ``light``; a resumed run takes it from there.
    """
    prepare_inputs(tagger, plan.threshold_v, range(1, detectors.capabilities.channels + 1))
    source.disable()
    close([attenuator])
    bias(detectors, plan.bias_ua)
    generator.play(
        waveforms(plan.pattern(), plan.transmitter(), plan.samples_per_pulse, plan.carve_samples),
        plan.sample_rate_hz,
    )
    if not run.rows("light"):
        dark = detectors.read_counts(_DARK_S)
        bring_up(source, plan.power_dbm, [attenuator])

        def count() -> tuple[float, float]:
            reading = detectors.read_counts(_APPROACH_S)
            return max(reading.counts), reading.period_s

        dark_hz = max(dark.counts) / dark.period_s
        run.keep("light", attenuation_db=approach_rate([attenuator], count, plan.rate_hz, dark_hz))
    else:
        bring_up(source, plan.power_dbm, [attenuator])
    attenuate(run.rows("light")[0]["attenuation_db"], [attenuator])
