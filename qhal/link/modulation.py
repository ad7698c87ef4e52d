"""From symbols to the volts of a four-channel waveform generator.

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

    Attributes
    ----------
    v0_v
        Voltage of full transmission, at the modulator.
    vpi_v
        Voltage from there to the extinction.
    extinction_db
        Ratio of maximum to minimum transmission; may be infinite.
    amplifier_gain
        Voltage at the modulator over that of the generator.

    Examples
    --------
    >>> modulator = IntensityModulator(v0_v=0.0, vpi_v=5.0, extinction_db=30.0, amplifier_gain=5.0)
    >>> modulator.volts_for(1.0)
    0.0
    >>> round(modulator.transmission(modulator.volts_for(0.2)), 6)
    0.2
    """

    v0_v: float
    vpi_v: float
    extinction_db: float
    amplifier_gain: float = 1.0

    @property
    def floor(self) -> float:
        """Minimum transmission relative to the maximum."""
        return float(10 ** (-self.extinction_db / 10))

    def transmission(self, generator_v: float) -> float:
        """Return the transmission at a generator voltage, relative to the maximum."""
        angle = math.pi * (self.amplifier_gain * generator_v - self.v0_v) / (2 * self.vpi_v)
        return self.floor + (1 - self.floor) * math.cos(angle) ** 2

    def volts_for(self, transmission: float) -> float:
        """Return the generator voltage for a relative transmission, with the finite extinction.

        Of the two sides of ``v0_v``, the one whose extinction is nearer to 0 V. Raises OutOfRange below the minimum
        transmission and above 1.
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
    """Limits of a waveform generator; by default of a Tektronix AWG5014 without option 01.

    ``length_step`` and ``minimum_points`` are those of its hardware sequencer.
    """

    range_v: float = 2.25
    resolution_bits: int = 14
    maximum_points: int = 16_200_000
    minimum_points: int = 960
    length_step: int = 4

    def check(self, channel: int, volts: NDArray[np.float64]) -> None:
        """Raise OutOfRange for a waveform (one value per point) beyond the limits."""
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
    """Return the generator volts of signal (maximum), decoy (exact ratio) and vacuum (extinction).

    The extinction sets the mean photon number of the vacuum: see :func:`achieved_mean_photon_numbers`.
    """
    signal, decoy, _ = pattern.mean_photon_numbers
    return modulator.volts_for(1.0), modulator.volts_for(decoy / signal), modulator.volts_for(modulator.floor)


def achieved_mean_photon_numbers(
    pattern: SymbolPattern, modulator: IntensityModulator, limits: GeneratorLimits | None = None
) -> tuple[float, float, float]:
    """Return the mean photon numbers with the finite resolution of the generator and the extinction.

    The signal is exact, because an attenuator sets it.

    Parameters
    ----------
    pattern
        Pattern with the target mean photon numbers.
    modulator
        Modulator of the intensities.
    limits
        Generator; its amplitude and offset just span the levels.

    Examples
    --------
    >>> from qhal.link import bb84_pattern
    >>> modulator = IntensityModulator(v0_v=0.0, vpi_v=5.0, extinction_db=30.0, amplifier_gain=5.0)
    >>> [round(mean, 4) for mean in achieved_mean_photon_numbers(bb84_pattern(1, symbols=64), modulator)]
    [0.5, 0.1, 0.0005]
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

    Parameters
    ----------
    pattern
        Pattern to play.
    calibration
        Modulators of the transmitter.
    samples_per_symbol
        Points of a symbol.
    carve_samples
        Points of a symbol in which the carver is open.
    carve_start
        First of them; by default the middle, where the levels of the symbol have settled.
    randomiser_seed
        Seed of the phases of the randomiser, uniform over 2 pi, one per symbol.
    limits
        Generator.

    Raises
    ------
    OutOfRange
        For a waveform beyond the limits of the generator.
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
    phases = np.random.default_rng(randomiser_seed).uniform(-math.pi, math.pi, len(pattern))
    carve = np.full(samples_per_symbol, calibration.carver.volts_for(calibration.carver.floor))
    carve[start : start + carve_samples] = calibration.carver.volts_for(1.0)
    volts = {
        DECOY_CHANNEL: np.repeat(levels, samples_per_symbol),
        POLARIZATION_CHANNEL: np.repeat(states, samples_per_symbol),
        RANDOMISER_CHANNEL: np.repeat(calibration.randomiser.volts_for(phases), samples_per_symbol),
        CARVER_CHANNEL: np.tile(carve, len(pattern)),
    }
    for channel, waveform in volts.items():
        limits.check(channel, waveform)
    return volts
