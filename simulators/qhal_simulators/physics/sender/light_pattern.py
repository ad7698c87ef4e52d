"""What the modulators make of the pattern generator's waveforms: the pattern as light.

Each waveform passes a low-pass of one pole (the generator's analog bandwidth), as one that repeats for ever;
two intensity modulators and one polarization modulator act on a continuous wave.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qhal_simulators.physics.sender.modulator_kernels import add_up, fingerprints, settle, shine

FINE_STEPS = 4
"""Points per sample at which light is computed."""
SHAPE_STEPS = 256
"""Steps of the inverse cumulative distribution of the position in a slot."""
LARGEST_CLASSES = 256


@dataclass(frozen=True, slots=True)
class IntensityModulator:
    """``T = Tmin + (1 - Tmin) cos^2(pi (g V - V0) / (2 Vpi))`` with the amplifier's gain g."""

    channel: int
    v0_v: float
    vpi_v: float
    extinction_db: float
    amplifier_gain: float = 1.0

    @property
    def floor(self) -> float:
        """The least transmission relative to the full one."""
        return float(10 ** (-self.extinction_db / 10))

    @property
    def line(self) -> tuple[float, float]:
        """Slope and offset of the cosine's argument over volts."""
        slope = np.pi / (2 * self.vpi_v)
        return slope * self.amplifier_gain, -slope * self.v0_v


@dataclass(frozen=True, slots=True)
class PhaseModulator:
    """``phi = pi (g V - V0) / Vpi``: the polarization is ``s = (cos phi, sin phi, 0)``."""

    channel: int
    v0_v: float
    vpi_v: float
    amplifier_gain: float = 1.0

    @property
    def line(self) -> tuple[float, float]:
        """Slope and offset of the phase over volts."""
        slope = np.pi / self.vpi_v
        return slope * self.amplifier_gain, -slope * self.v0_v


@dataclass(frozen=True, eq=False, slots=True)
class LightPattern:
    """One period of the light, by slots of equal length.

    ``energy_s``: transmission integrated over each slot (seconds of full light). ``cumulative_s``: its running
    sum from 0. ``guide``: a slot at or before each equal step of cumulated energy. ``stokes`` (slots, 3):
    mean Stokes vector of a slot's light. ``shape_class``: which row of ``shapes`` says where in the slot the light
    is: an inverse cumulative distribution, position from 0 to 1. ``kind`` and ``kinds`` are the same as the sampler
    reads them: ``kinds`` (n, 4) holds Stokes vectors and shape classes that occur, ``kind`` says which a slot has.
    """

    energy_s: NDArray[np.float64]
    cumulative_s: NDArray[np.float64]
    guide: NDArray[np.int32]
    stokes: NDArray[np.float64]
    shape_class: NDArray[np.int64]
    shapes: NDArray[np.float32]
    kind: NDArray[np.int32]
    kinds: NDArray[np.float32]
    slot_s: float

    def __len__(self) -> int:
        return len(self.energy_s)

    @property
    def mean_transmission(self) -> float:
        """Mean power over a period relative to full light."""
        return float(self.cumulative_s[-1]) / (len(self) * self.slot_s)


def light_pattern(
    volts: Mapping[int, NDArray[np.float32]],
    sample_rate_hz: float,
    samples_per_slot: int,
    modulators: tuple[IntensityModulator, IntensityModulator],
    polarizer: PhaseModulator,
    bandwidth_hz: float,
    effect: float = 0.0,
    memory_s: float = 1.0,
) -> LightPattern:
    """Compute the light of a repeating pattern; a channel that plays nothing is at 0 V.

    ``effect`` and ``memory_s``: see :func:`_after_bright_light`.
    A pattern whose length is not a multiple of ``samples_per_slot`` is treated sample by sample.
    """
    points = max((len(waveform) for waveform in volts.values()), default=samples_per_slot)
    grouped = samples_per_slot if points % samples_per_slot == 0 else 1
    fine_rate_hz = sample_rate_hz * FINE_STEPS

    def settled(channel: int) -> NDArray[np.float64]:
        curve = np.zeros(points * FINE_STEPS)
        if channel in volts:
            samples = np.resize(volts[channel], points).astype(np.float64)
            decay = 2 * np.pi * bandwidth_hz / fine_rate_hz
            settle(samples, FINE_STEPS, np.exp(-decay), np.exp(-decay / 2), curve)
        return curve

    by_slot = np.empty((points // grouped, grouped * FINE_STEPS))
    total, stokes = np.empty(len(by_slot)), np.zeros((len(by_slot), 3))
    parts = (*modulators, polarizer)
    slopes, offsets = np.array([part.line for part in parts]).T.copy()
    floors = np.array([modulator.floor for modulator in modulators])
    carver, decoy, phase = (settled(part.channel) for part in parts)
    shine(carver, decoy, phase, slopes, offsets, floors, by_slot, total, stokes)
    shape_class, shapes = _shapes(by_slot, total)
    energy = total / fine_rate_hz
    if effect:
        energy = energy * _after_bright_light(energy, effect, memory_s / (grouped / sample_rate_hz))
    cumulative = np.concatenate(([0.0], np.cumsum(energy)))
    kind, kinds = _kinds(stokes, shape_class, energy)
    return LightPattern(
        energy_s=energy,
        cumulative_s=cumulative,
        guide=_guide(cumulative),
        stokes=stokes,
        shape_class=shape_class,
        shapes=shapes,
        kind=kind,
        kinds=kinds,
        slot_s=grouped / sample_rate_hz,
    )


def _shapes(
    by_slot: NDArray[np.float64], total: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Sort slots into classes of alike shape; return each slot's class and the classes' mean shapes."""
    alike = np.empty(len(total), np.uint64)
    for steps in (64, 32, 16, 8, 4, 2, 1):
        fingerprints(by_slot, total, steps, alike)
        _, found = np.unique(alike, return_inverse=True)
        if found.max() < LARGEST_CLASSES:
            break
    classes: NDArray[np.int64] = found.astype(np.int64)
    count = int(classes.max()) + 1
    together = np.zeros((count, by_slot.shape[1]))
    add_up(by_slot, classes, together)
    return classes, np.array([_inverse(row) for row in together], np.float32)


def _kinds(
    stokes: NDArray[np.float64], shape_class: NDArray[np.int64], energy: NDArray[np.float64]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Collect slots that are alike to a thousandth: a table that stays in the processor's nearest memory.

    A kind has the mean Stokes vector of its light, so that the light of a pattern has it, too.
    """
    along, across, _ = np.rint(stokes * 1e3).astype(np.int64).T
    alike = (along * 4096 + across) * LARGEST_CLASSES + shape_class
    _, first, kind = np.unique(alike, return_index=True, return_inverse=True)
    weight = np.maximum(energy, 1e-300)
    total = np.bincount(kind, weight)
    means = [np.bincount(kind, weight * column) / total for column in stokes.T]
    kinds = np.column_stack((*means, shape_class[first])).astype(np.float32)
    return kind.astype(np.int32), kinds


def _after_bright_light(
    energy: NDArray[np.float64], effect: float, memory_slots: float
) -> NDArray[np.float64]:
    """Return by how much each slot is brighter for the light before it (the pattern effect of modulators).

    Right behind the brightest slot it is ``1 + effect``; the memory of a slot decays with ``memory_slots``.
    """
    turn = np.exp(-2j * np.pi * np.fft.rfftfreq(len(energy)))
    remembered = np.fft.rfft(energy / energy.max()) * turn / (1 - np.exp(-1 / memory_slots) * turn)
    factor: NDArray[np.float64] = np.maximum(1 + effect * np.fft.irfft(remembered, len(energy)), 0.0)
    return factor


def _guide(cumulative: NDArray[np.float64]) -> NDArray[np.int32]:
    slots = len(cumulative) - 1
    steps = np.linspace(0, cumulative[-1], slots + 1)
    found = np.searchsorted(cumulative, steps, side="right") - 1
    guide: NDArray[np.int32] = np.clip(found - 1, 0, slots - 1).astype(np.int32)
    return guide


def _inverse(power: NDArray[np.float64]) -> NDArray[np.float64]:
    cumulative = np.concatenate(([0.0], np.cumsum(power)))
    inverse: NDArray[np.float64] = np.interp(
        np.linspace(0, cumulative[-1], SHAPE_STEPS + 1), cumulative, np.linspace(0, 1, len(power) + 1)
    )
    return inverse
