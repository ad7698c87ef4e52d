"""From symbols to the volts that a four-channel waveform generator plays.

CH1 decoy intensity (flat over the symbol), CH2 polarization, CH3 phase randomiser, CH4 pulse carver.
An intensity modulator transmits ``T = Tmin + (1 - Tmin) cos^2(pi (V - V0) / (2 Vpi))`` with
``Tmin = 10^(-extinction/10)``; a phase modulator turns by ``phi = pi (V - V0) / Vpi``. V is the voltage at
the modulator, which is ``amplifier_gain`` times that of the generator.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qhal.errors import OutOfRange
from qhal.link.pattern import STATE_PHASES_RAD, Intensity, SymbolPattern

DECOY_CHANNEL, POLARIZATION_CHANNEL, RANDOMISER_CHANNEL, CARVER_CHANNEL = 1, 2, 3, 4


@dataclass(frozen=True)
class IntensityModulator:
    """Calibration of an intensity modulator and its amplifier.

    ``v0_v``: voltage of full transmission, ``vpi_v``: from there to the extinction, both at the
    modulator. ``extinction_db``: ratio of full to least transmission (infinity is allowed).
    """

    v0_v: float
    vpi_v: float
    extinction_db: float
    amplifier_gain: float = 1.0

    @property
    def floor(self) -> float:
        """Least transmission relative to the full one."""
        return float(10 ** (-self.extinction_db / 10))

    def transmission(self, generator_v: float) -> float:
        """Return the transmission, relative to the full one, at a generator voltage."""
        angle = math.pi * (self.amplifier_gain * generator_v - self.v0_v) / (2 * self.vpi_v)
        return self.floor + (1 - self.floor) * math.cos(angle) ** 2

    def volts_for(self, transmission: float) -> float:
        """Return the generator voltage for a relative transmission, finite extinction included.

        A modulator closes on both sides of ``v0_v``: it is the side where that is nearer to 0 V. Raises OutOfRange
        below the floor that the extinction leaves and above 1.
        """
        if not self.floor <= transmission <= 1:
            raise OutOfRange(
                f"a transmission of {transmission:.3g} is outside [{self.floor:.3g}, 1]"
                f" of a modulator with {self.extinction_db} dB extinction"
            )
        fraction = (transmission - self.floor) / (1 - self.floor)
        vpi_v = min(self.vpi_v, -self.vpi_v, key=lambda each: abs(self.v0_v + each))
        return (self.v0_v + 2 * vpi_v / math.pi * math.acos(math.sqrt(fraction))) / self.amplifier_gain


@dataclass(frozen=True)
class PhaseModulator:
    """Calibration of a phase or polarization modulator: ``v0_v`` of phase 0, ``vpi_v`` per pi."""

    v0_v: float
    vpi_v: float
    amplifier_gain: float = 1.0

    def volts_for(self, phase_rad: ArrayLike) -> NDArray[np.float64]:
        """Return the generator voltages for phases."""
        return (self.v0_v + self.vpi_v * np.asarray(phase_rad, np.float64) / math.pi) / self.amplifier_gain


@dataclass(frozen=True)
class TransmitterCalibration:
    """The modulators of one transmitter."""

    decoy: IntensityModulator
    carver: IntensityModulator
    polarization: PhaseModulator
    randomiser: PhaseModulator


@dataclass(frozen=True)
class GeneratorLimits:
    """What the waveform generator can play; by default a Tektronix AWG5014 without option 01.

    ``length_step`` and ``minimum_points`` are those of its hardware sequencer.
    """

    range_v: float = 2.25
    resolution_bits: int = 14
    maximum_points: int = 16_200_000
    minimum_points: int = 960
    length_step: int = 4

    def check(self, channel: int, volts: NDArray[np.float64]) -> None:
        """Raise OutOfRange when a waveform (one value per point) cannot be played."""
        points = len(volts)
        if not self.minimum_points <= points <= self.maximum_points or points % self.length_step:
            raise OutOfRange(
                f"CH{channel}: {points} points, allowed {self.minimum_points} to {self.maximum_points}"
                f" in steps of {self.length_step}"
            )
        peak = float(np.abs(volts).max())
        if peak > self.range_v:
            raise OutOfRange(f"CH{channel}: {peak:.3f} V is beyond +-{self.range_v} V; check gain and bias")


def intensity_levels_v(pattern: SymbolPattern, modulator: IntensityModulator) -> tuple[float, float, float]:
    """Return the generator volts of signal (full), decoy (ratio solved exactly) and vacuum (extinction).

    The vacuum's mean photon number is what the extinction leaves, see :func:`achieved_mean_photon_numbers`.
    """
    signal, decoy, _ = pattern.mean_photon_numbers
    return modulator.volts_for(1.0), modulator.volts_for(decoy / signal), modulator.volts_for(modulator.floor)


def achieved_mean_photon_numbers(
    pattern: SymbolPattern, modulator: IntensityModulator, limits: GeneratorLimits | None = None
) -> tuple[float, float, float]:
    """Return what the generator's resolution and the extinction make of the wanted mean photon numbers.

    The levels are rounded to the steps of a generator whose amplitude and offset just span them; the
    signal is taken as exact, because an attenuator sets it.
    """
    limits = limits or GeneratorLimits()
    levels = intensity_levels_v(pattern, modulator)
    low, high = min(levels), max(levels)
    step = (high - low) / (2**limits.resolution_bits - 2)
    played = [low + round((level - low) / step) * step for level in levels]
    full = modulator.transmission(played[Intensity.SIGNAL])
    signal, decoy, vacuum = (
        pattern.mean_photon_numbers[0] * modulator.transmission(volts) / full for volts in played
    )
    return signal, decoy, vacuum


def waveforms(
    pattern: SymbolPattern,
    calibration: TransmitterCalibration,
    samples_per_symbol: int = 12,
    carve_samples: int = 2,
    *,
    carve_start: int | None = None,
    randomiser_seed: int = 0,
    limits: GeneratorLimits | None = None,
) -> Mapping[int, NDArray[np.float64]]:
    """Return the volts of each generator channel, ``len(pattern) * samples_per_symbol`` points each.

    ``carve_samples``: how long the carver opens in a symbol, from sample ``carve_start`` on (default: just
    after the middle, where the levels of the symbol have settled). ``randomiser_seed`` draws one phase per
    symbol, uniform over a full turn. Raises OutOfRange for what the generator cannot play.
    """
    limits = limits or GeneratorLimits()
    start = samples_per_symbol // 2 if carve_start is None else carve_start
    if carve_samples < 1 or start < 0 or start + carve_samples > samples_per_symbol:
        raise OutOfRange(
            f"samples {start} to {start + carve_samples} are not within the {samples_per_symbol} of a symbol"
        )
    levels = np.array(intensity_levels_v(pattern, calibration.decoy))[pattern.intensity]
    # A phase of 3 pi / 2 is played as -pi / 2, which needs a swing of 1.5 Vpi about the middle.
    wrapped = [math.remainder(phase, 2 * math.pi) for phase in STATE_PHASES_RAD]
    states = calibration.polarization.volts_for(wrapped)[pattern.states]
    turns = np.random.default_rng(randomiser_seed).uniform(-math.pi, math.pi, len(pattern))
    carve = np.full(samples_per_symbol, calibration.carver.volts_for(calibration.carver.floor))
    carve[start : start + carve_samples] = calibration.carver.volts_for(1.0)
    volts = {
        DECOY_CHANNEL: np.repeat(levels, samples_per_symbol),
        POLARIZATION_CHANNEL: np.repeat(states, samples_per_symbol),
        RANDOMISER_CHANNEL: np.repeat(calibration.randomiser.volts_for(turns), samples_per_symbol),
        CARVER_CHANNEL: np.tile(carve, len(pattern)),
    }
    for channel, waveform in volts.items():
        limits.check(channel, waveform)
    return volts
