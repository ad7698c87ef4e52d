"""Run a link: prepare its instruments, play a pattern, set the photon number, align the receiver, and measure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from qhal.clock import Clock
from qhal.devices.attenuator import Attenuator
from qhal.devices.detector import Detector
from qhal.devices.optical_switch import OpticalSwitch
from qhal.devices.pattern_generator import PatternGenerator
from qhal.devices.polarization_controller import PolarizationController
from qhal.devices.source import Source
from qhal.devices.time_tagger import TimeTagger
from qhal.errors import OutOfRange
from qhal.link.estimates import ClickMatrix
from qhal.link.measurement import NoiseRate, PatternCounter, PatternCounts, corrected_rate_hz
from qhal.link.modulation import TransmitterCalibration, waveforms
from qhal.link.pattern import SymbolPattern
from qhal.link.polarization import AlignmentResult, PolarizationAlignment
from qhal.link.skew import Receiver, estimate_skews_ps
from qhal.records.curve import AttenuatorCurve
from qhal.records.uncertain import Uncertain, from_db, nominal
from qhal.tags.batch import TagBatch


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkDevices:
    """The instruments of a link, from sender to tagger; open, and at one clock."""

    source: Source
    attenuator: Attenuator
    generator: PatternGenerator
    switch: OpticalSwitch
    polarization: PolarizationController
    detectors: Detector
    tagger: TimeTagger


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkSettings:
    """Operating point of a link.

    Attributes
    ----------
    frequency_thz, power_dbm
        Optical frequency and power of the source.
    connections
        Pattern of the switch, ingress to egress.
    bias_ua
        Bias current of each detector.
    dead_time_s
        Dead time of a detector.
    inputs
        Inputs of the tagger, of the detectors for H, V, D, A.
    threshold_v
        Discriminator level of these inputs.
    window_ps
        Detection window, centred on the pulse.
    sample_rate_hz, samples_per_symbol, pulse_samples
        Waveforms of the generator: its sample rate, samples of a symbol, samples in which the carver is open.
    """

    frequency_thz: float
    power_dbm: float
    connections: Mapping[int, int]
    bias_ua: tuple[float, ...]
    dead_time_s: float
    inputs: tuple[int, int, int, int] = (1, 2, 3, 4)
    threshold_v: float = 0.2
    window_ps: float = 3000.0
    sample_rate_hz: float = 1.2e9
    samples_per_symbol: int = 12
    pulse_samples: int = 2

    @property
    def period_ps(self) -> float:
        """Symbol period."""
        return self.samples_per_symbol / self.sample_rate_hz * 1e12

    @property
    def pulse_s(self) -> float:
        """Duration of a pulse at the carver."""
        return self.pulse_samples / self.sample_rate_hz


@dataclass(frozen=True, slots=True)
class SetPhotonNumber:
    """Attenuation and mean photon number of a signal pulse at the sender's output, with their budgets."""

    attenuation_db: Uncertain
    mean_photon_number: Uncertain


@dataclass(frozen=True, eq=False, slots=True)
class LinkMeasurement:
    """Counts of the pattern from ``start_s`` to ``stop_s`` of device time.

    ``missed_tags``: tags that the tagger or this reader lost.
    """

    start_s: float
    stop_s: float
    pattern: PatternCounts
    missed_tags: int


@dataclass(slots=True)
class LinkSession:
    """A link in operation. Call its methods in the order of this class.

    The light of other users on the same fibre is not touched.

    Parameters
    ----------
    devices
        The instruments.
    clock
        Device clock of these instruments, as :attr:`qhal.node.Node.clock`.
    settings
        Operating point.

    Attributes
    ----------
    receiver
        Inputs of the tagger and their skews, zero until :meth:`measure_skews`.
    aligned_s
        Device time of the last alignment.
    """

    devices: LinkDevices
    clock: Clock
    settings: LinkSettings
    receiver: Receiver = field(init=False)
    aligned_s: float = field(init=False, default=math.nan)
    _pattern: SymbolPattern | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.receiver = Receiver(self.settings.inputs)

    @property
    def pattern(self) -> SymbolPattern:
        """Pattern that the generator plays. Raises OutOfRange before :meth:`play`."""
        if self._pattern is None:
            raise OutOfRange("no pattern is played yet: call play() first")
        return self._pattern

    def prepare(self) -> None:
        """Set all instruments, without light: source off and tuned, attenuator closed, detectors biased, inputs on."""
        devices, settings = self.devices, self.settings
        devices.source.disable()
        devices.attenuator.home()  # may open it, so the source is off before
        devices.attenuator.set_attenuation_db(devices.attenuator.capabilities.max_attenuation_db)
        devices.switch.set_pattern(settings.connections)
        devices.detectors.set_bias_ua(settings.bias_ua)
        devices.detectors.enable()
        for channel in settings.inputs:
            devices.tagger.set_threshold_v(channel, settings.threshold_v)
            devices.tagger.set_enabled(channel, True)
        devices.source.set_frequency_thz(settings.frequency_thz)
        devices.source.set_power_dbm(settings.power_dbm)

    def play(self, pattern: SymbolPattern, transmitter: TransmitterCalibration) -> None:
        """Play a pattern, and turn the source on behind the closed attenuator.

        Raises OutOfRange for a pattern with another symbol period than the settings', or beyond the generator's range.
        """
        settings = self.settings
        if not math.isclose(pattern.period_ps, settings.period_ps):
            raise OutOfRange(
                f"pattern of {pattern.period_ps:g} ps symbols; {settings.samples_per_symbol} samples at "
                f"{settings.sample_rate_hz:g} /s are {settings.period_ps:g} ps"
            )
        volts = waveforms(pattern, transmitter, settings.samples_per_symbol, settings.pulse_samples)
        self.devices.generator.play(volts, settings.sample_rate_hz)
        self._pattern = pattern
        self.devices.source.enable()

    def set_mean_photon_number(
        self, target: float, unattenuated: Uncertain, curve: AttenuatorCurve
    ) -> SetPhotonNumber:
        """Set the attenuator for a mean photon number of the signal; return the result, with its budget.

        Parameters
        ----------
        target
            Mean photon number of a signal pulse at the sender's output.
        unattenuated
            The same if the attenuator were at 0 dB.
        curve
            Calibrated curve of the attenuator.

        Raises
        ------
        OutOfRange
            If the curve does not reach the attenuation.
        """
        attenuator = self.devices.attenuator
        resolution_db = attenuator.capabilities.resolution_db
        set_db = curve.set_point_db(10 * math.log10(nominal(unattenuated) / target))
        set_db = attenuator.set_attenuation_db(round(set_db / resolution_db) * resolution_db)
        attenuation_db = curve.attenuation_db(set_db)
        return SetPhotonNumber(attenuation_db, unattenuated * from_db(-attenuation_db))

    def measure_skews(self, duration_s: float = 0.2) -> tuple[int, int, int, int]:
        """Measure the delays of the detectors relative to their mean, in ps, and use them from now on."""
        with self.devices.tagger.stream() as tags:
            batch = TagBatch.concatenate(tags.for_seconds(duration_s))
        skews, _ = estimate_skews_ps(batch, self.settings.inputs, self.settings.period_ps)
        self.receiver = Receiver(self.settings.inputs, skews)
        return skews

    def align(self, *, seed: int, duration_s: float = 0.2) -> tuple[AlignmentResult, ClickMatrix]:
        """Align the polarization; return the result, and the click matrix before it.

        Parameters
        ----------
        seed
            Seed of the random settings at which the fibre is measured.
        duration_s
            Time of the tagger for each setting.

        Raises
        ------
        AlignmentNotReachable
            If no setting of the controller reaches the target error rate.
        """
        controller = self.devices.polarization
        limits = controller.capabilities

        def measure() -> ClickMatrix:
            return self.measure(duration_s).pattern.counts.click_matrix()

        before = measure()
        alignment = PolarizationAlignment(
            controller.set_angles_deg,
            measure,
            range_deg=(limits.min_angle_deg, limits.max_angle_deg),
            seed=seed,
        )
        result = alignment.run()
        self.aligned_s = self.clock.now_s()
        return result, before

    def measure(self, duration_s: float) -> LinkMeasurement:
        """Count the pattern for a time of the tagger. Raises SynchronisationFailed if it is not in the tags."""
        counter = PatternCounter(
            self.pattern,
            self.receiver,
            window_ps=self.settings.window_ps,
            dead_time_ps=self.settings.dead_time_s * 1e12,
        )
        with self.devices.tagger.stream() as tags:
            start_s = self.clock.now_s()
            for batch in tags.for_seconds(duration_s):
                counter.push(batch)
            return LinkMeasurement(start_s, start_s + duration_s, counter.finish(), tags.missed)

    def measure_noise(self, duration_s: float) -> NoiseRate:
        """Count with the source off, for a time of the tagger, and turn it on again."""
        counts, live_s = np.zeros(256, np.int64), 0.0
        self.devices.source.disable()
        with self.devices.tagger.stream() as tags:
            start_s = self.clock.now_s()
            for batch in tags.for_seconds(duration_s):
                counts += np.bincount(batch.channels, minlength=256)
                live_s += batch.live_time_s()
        self.devices.source.enable()  # not after an error
        rates, uncertainties = corrected_rate_hz(
            counts[list(self.settings.inputs)], live_s, self.settings.dead_time_s
        )
        return NoiseRate(
            start_s, start_s + duration_s, float(rates.sum()), float(np.hypot.reduce(uncertainties))
        )
