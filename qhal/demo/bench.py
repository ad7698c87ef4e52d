"""The metro link on its instruments: bring it up, align it, measure it. Only what a lab could do and know."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qhal.calibration.optics.sources import frequency_thz, output_dbm
from qhal.demo.calibrations import QUANTUM_POWER_DBM, BenchRecords, calibrate_modulators
from qhal.devices.pattern_generator import PatternGenerator
from qhal.link.estimates import ClickMatrix, SiftedCounts
from qhal.link.modulation import (
    CARVER_CHANNEL,
    DECOY_CHANNEL,
    IntensityModulator,
    PhaseModulator,
    TransmitterCalibration,
    achieved_mean_photon_numbers,
    waveforms,
)
from qhal.link.pattern import SymbolPattern, bb84_pattern
from qhal.link.photonics import photon_energy_j
from qhal.link.polarization import AlignmentResult, PolarizationAlignment
from qhal.link.sifting import Sifter
from qhal.link.skew import Receiver, estimate_skews_ps
from qhal.link.symbol_tags import SymbolTags
from qhal.link.sync import SymbolClock
from qhal.node.node import Node
from qhal.records.record import Record
from qhal.records.uncertain import from_db, nominal, systematic
from qhal.tags.batch import TagBatch

CHANNELS = (1, 2, 3, 4)
SAMPLE_RATE_HZ = 1.2e9
SAMPLES_PER_SYMBOL = 12
CARVE_SAMPLES = 2
PERIOD_PS = 10_000.0
WINDOW_PS = 3000.0
PHASE_BIN_PS = 100
SIGNAL_MEAN_PHOTON_NUMBER = 0.5
LASER_TOLERANCE_DB = 0.25
"""Standard uncertainty of the power that a laser reports, where it was not measured."""
_PATTERN_SEED = 1
_SKEW_S = 0.2
_ALIGNMENT_S = 0.2
_THRESHOLD_V = 0.2


@dataclass(frozen=True, eq=False)
class Measurement:
    """What one run of the pattern showed, with the span of world time it covers.

    ``qber_over_time``: rows of seconds, QBER of all intensities, its uncertainty. ``phase_histogram``: tags by
    place within the symbol, 0 is the pulse, bins of ``PHASE_BIN_PS``.
    """

    name: str
    start_s: float
    stop_s: float
    counts: SiftedCounts
    rates_hz: dict[int, float]
    missed: int
    qber_over_time: NDArray[np.float64]
    phase_histogram: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Background:
    """Rate of all detectors together without the quantum laser, dead time taken off; its uncertainty."""

    start_s: float
    stop_s: float
    rate_hz: float
    standard_uncertainty_hz: float


@dataclass(slots=True)
class MetroLink:
    """The devices of a node, with records of their calibrations and what data sheets say of the other parts.

    ``mean_photon_number`` of the signal and ``attenuation_db``, with their budgets, once it is up; ``aligned_s``: world
    time of the alignment.
    """

    node: Node
    sheet: dict[str, Any]
    bench: BenchRecords
    folder: Path
    tell: Callable[[str], None]
    pattern: SymbolPattern = field(init=False)
    modulators: dict[int, tuple[IntensityModulator, Record]] = field(init=False)
    receiver: Receiver = field(default_factory=Receiver)
    aligned_s: float = 0.0
    attenuation_db: Any = None
    mean_photon_number: Any = None

    # -- bringing up

    def bring_up(self) -> None:
        """Set every instrument, light last; leave the pattern playing at the wanted photon number."""
        node, sheet = self.node, self.sheet
        quantum, classical = node.source("quantum-laser"), node.source("classical-laser")
        self.tell("lasers off, attenuator homed and closed")
        quantum.disable()
        classical.disable()
        voa = node.attenuator("voa")
        voa.home()  # it may be transparent meanwhile, so there is no light yet
        voa.set_attenuation_db(voa.capabilities.max_attenuation_db)
        node.optical_switch("switch").set_pattern(
            {sheet["channel"]["switch_ingress"]: sheet["channel"]["switch_egress"]}
        )
        self.tell("detectors biased, tagger inputs on")
        detectors = node.detector("detectors")
        detectors.set_bias_ua(sheet["detectors"]["operating_ua"])
        detectors.enable()
        tagger = node.time_tagger("tagger")
        for channel in CHANNELS:
            tagger.set_threshold_v(channel, _THRESHOLD_V)
            tagger.set_enabled(channel, True)
        quantum.set_frequency_thz(sheet["receiver"]["quantum_frequency_thz"])
        quantum.set_power_dbm(QUANTUM_POWER_DBM)
        table = sheet["detectors"]
        self.modulators = calibrate_modulators(
            node, self.folder, tuple(table["operating_ua"]), table["dead_time_ns"], self.tell
        )
        wanted = bb84_pattern(_PATTERN_SEED, period_ps=PERIOD_PS)
        achieved = achieved_mean_photon_numbers(wanted, self._calibration().decoy)
        self.pattern = bb84_pattern(_PATTERN_SEED, period_ps=PERIOD_PS, mean_photon_numbers=achieved)
        self._play(node.pattern_generator("awg"))
        quantum.enable()
        self._attenuate()

    def _play(self, awg: PatternGenerator) -> None:
        self.tell(f"test pattern of {len(self.pattern)} symbols to the pattern generator")
        volts = waveforms(self.pattern, self._calibration(), SAMPLES_PER_SYMBOL, CARVE_SAMPLES)
        awg.play(volts, SAMPLE_RATE_HZ)

    def _attenuate(self) -> None:
        """Set the attenuator for the wanted signal, from the laser's report and the records; store the result."""
        parts = {part.name: part for part in self.node.path("quantum")}
        laser = self.node.source("quantum-laser")
        power_dbm = output_dbm(laser) - self.bench.unattenuated_db
        for name in ("modulators", "pad"):
            power_dbm -= systematic(f"loss of {name}", parts[name].loss_db or 0.0, parts[name].uncertainty_db)
        pulses_hz = SAMPLE_RATE_HZ / CARVE_SAMPLES
        open_photons = from_db(power_dbm) * 1e-3 / photon_energy_j(frequency_thz(laser)) / pulses_hz
        needed_db = 10 * math.log10(nominal(open_photons) / SIGNAL_MEAN_PHOTON_NUMBER)
        set_db = round(self.bench.attenuator.set_point_db(needed_db), 1)
        achieved_db = self.node.attenuator("voa").set_attenuation_db(set_db)
        self.attenuation_db = self.bench.attenuator.attenuation_db(achieved_db)
        self.mean_photon_number = open_photons * from_db(-self.attenuation_db)
        self.tell(f"attenuator at {nominal(self.attenuation_db):.2f} dB")

    def _calibration(self) -> TransmitterCalibration:
        """Return the modulators: carver and decoy as their records say, the others as the data sheet does."""
        table = self.sheet["transmitter"]

        def phase(part: str) -> PhaseModulator:
            return PhaseModulator(table[part]["v0_v"], table[part]["vpi_v"], table[part]["amplifier_gain"])

        decoy, carver = (self.modulators[channel][0] for channel in (DECOY_CHANNEL, CARVER_CHANNEL))
        return TransmitterCalibration(decoy, carver, phase("polarization"), phase("randomiser"))

    # -- measuring

    def find_skews(self) -> tuple[int, int, int, int]:
        """Measure the detectors' delays against each other and keep them."""
        with self.node.time_tagger("tagger").stream() as tags:
            batch = TagBatch.concatenate(tags.for_seconds(_SKEW_S))
        skews, _ = estimate_skews_ps(batch, CHANNELS, PERIOD_PS)
        self.receiver = Receiver(CHANNELS, skews)
        return skews

    def align(self, seed: int) -> tuple[AlignmentResult, ClickMatrix]:
        """Align the polarization; return the result and the click matrix before."""
        controller = self.node.polarization_controller("polarization")

        def measure() -> ClickMatrix:
            return self.measure("alignment", _ALIGNMENT_S).counts.click_matrix()

        before = measure()
        limits = controller.capabilities
        result = PolarizationAlignment(
            controller.set_angles_deg,
            measure,
            range_deg=(limits.min_angle_deg, limits.max_angle_deg),
            seed=seed,
        ).run()
        self.aligned_s = self.node.clock.now_s()
        return result, before

    def measure(self, name: str, duration_s: float) -> Measurement:
        """Play and count for a time of the tagger."""
        clock, sifter = SymbolClock(self.pattern, self.receiver, window_ps=WINDOW_PS), self._sifter()
        histogram = np.zeros(round(PERIOD_PS / PHASE_BIN_PS), np.int64)
        over_time: list[tuple[float, float, float]] = []
        tag_counts = np.zeros(max(CHANNELS) + 1)
        live_s, last, covered_s = 0.0, sifter.counts(), 0.0

        def take(parts: list[SymbolTags]) -> None:
            sifter.push(parts)
            for part in parts:
                place = np.floor(part.offsets_ps / PHASE_BIN_PS).astype(np.int64) + len(histogram) // 2
                histogram[:] += np.bincount(place % len(histogram), minlength=len(histogram))

        with self.node.time_tagger("tagger").stream() as tags:
            start_s = self.node.clock.now_s()
            for batch in tags.for_seconds(duration_s):
                take(clock.push(batch))
                tag_counts += np.bincount(batch.channels, minlength=len(tag_counts))
                live_s += batch.live_time_s()
                covered_s += (batch.stop_ps - batch.start_ps) * 1e-12
                counts = sifter.counts()
                qber = (counts - last).click_matrix().qber if (counts - last).clicks.any() else None
                if qber is not None and qber.sifted:
                    over_time.append((covered_s, qber.value, qber.standard_uncertainty))
                last = counts
            take(clock.finish())
            stop_s = start_s + duration_s
            missed = tags.missed
        rates = {channel: float(tag_counts[channel]) / live_s for channel in CHANNELS}
        return Measurement(
            name, start_s, stop_s, sifter.counts(), rates, missed, np.array(over_time), histogram
        )

    def measure_background(self, duration_s: float) -> Background:
        """Count without the quantum laser; every detector's own dead time is taken off."""
        laser = self.node.source("quantum-laser")
        laser.disable()
        dead_s = self.sheet["detectors"]["dead_time_ns"] * 1e-9
        counts, live_s = np.zeros(max(CHANNELS) + 1), 0.0
        with self.node.time_tagger("tagger").stream() as tags:
            start_s = self.node.clock.now_s()
            for batch in tags.for_seconds(duration_s):
                counts += np.bincount(batch.channels, minlength=len(counts))
                live_s += batch.live_time_s()
        laser.enable()
        observed = counts[list(CHANNELS)]
        rates = observed / (live_s - observed * dead_s)
        sigma = np.sqrt(np.maximum(observed, 1)) / (live_s - observed * dead_s) * (1 + rates * dead_s)
        return Background(start_s, start_s + duration_s, float(rates.sum()), float(np.hypot.reduce(sigma)))

    def set_classical_power_dbm(self, power_dbm: float | None) -> None:
        """Turn the classical channel on at a power of its laser, or off."""
        laser = self.node.source("classical-laser")
        if power_dbm is None:
            laser.disable()
            return
        laser.set_power_dbm(power_dbm)
        if not laser.read_emitting():
            laser.enable()

    def classical_power_dbm(self) -> float | None:
        """Return the power that the classical channel's laser reports; None when it is off."""
        laser = self.node.source("classical-laser")
        return output_dbm(laser) if laser.read_emitting() else None

    def _sifter(self) -> Sifter:
        return Sifter(self.pattern, self.sheet["detectors"]["dead_time_ns"] * 1e3)
